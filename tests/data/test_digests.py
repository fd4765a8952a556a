"""Digests in an array find what sets of bytes found: copies, halves, and the digest of a split's content."""

from hashlib import blake2b, sha256
from pathlib import Path

import numpy as np
import pytest

from tests.data.test_sources import opened
from unlearn_cli.data import digests
from unlearn_cli.data.dataset import Dataset
from unlearn_cli.data.digests import are_among, digest_samples, take_last_bits
from unlearn_cli.data.halves import take_half
from unlearn_cli.data.selection import find_duplicates
from unlearn_cli.evaluation.run_inputs import content_digest


def plain(samples: list[bytes]) -> list[bytes]:
    return [blake2b(sample, digest_size=16).digest() for sample in samples]


def test_all_bytes_of_a_digest_count_zeros_at_its_end_too() -> None:
    samples = [str(number).encode() for number in range(2000)]  # some of their digests end with a zero
    expected = plain(samples)
    assert any(digest.endswith(b"\0") for digest in expected)
    found = digest_samples(samples, len(samples))
    assert found.tobytes() == b"".join(expected)
    assert take_last_bits(found).tolist() == [digest[-1] & 1 for digest in expected]
    assert take_last_bits(found[::3]).tolist() == [digest[-1] & 1 for digest in expected[::3]]


@pytest.mark.parametrize("chunk", [1, 7, 2**16])
def test_known_digests_are_found(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "CHUNK", chunk)
    some, known = (
        digest_samples([b"%d" % n for n in numbers], len(numbers)) for numbers in (range(50), range(40, 90, 2))
    )
    assert np.flatnonzero(are_among(some, known)).tolist() == [40, 42, 44, 46, 48]
    assert not are_among(some, known[:0]).any()
    assert are_among(some[:0], known).shape == (0,)


def doubled(folder: Path) -> Dataset:
    """Forty samples, the last ten of which are copies of the first; five of these must be forgotten."""
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    x[30:] = x[:10]
    np.savez(folder / "x.npz", x=x, y=np.arange(40) % 2)
    source = {"npz": str(folder / "x.npz")}
    return opened(source, [2], test=source, forget={"ids": [0, 1, 2, 3, 4]})


def test_copies_and_halves_are_those_of_the_plain_digests(tmp_path: Path) -> None:
    dataset = doubled(tmp_path)
    train, forget = dataset.split("train"), dataset.split("forget")
    assert np.flatnonzero(train.copies_of(forget)).tolist() == [0, 1, 2, 3, 4, 30, 31, 32, 33, 34]
    mask = np.isin(np.arange(40), forget.rows)
    assert find_duplicates(train.records, mask).tolist() == [30, 31, 32, 33, 34]
    samples = train.records.inputs.take(train.rows)
    bits = np.array([digest[-1] & 1 for digest in plain([sample.tobytes() for sample in samples])])
    for bit, half in enumerate(("selection", "verdict")):
        assert take_half(dataset, half).split("test").rows.tolist() == np.flatnonzero(bits == bit).tolist()


def test_the_digest_of_a_splits_content_is_of_rows_labels_and_samples_in_this_order(tmp_path: Path) -> None:
    """Checkpoints say by it what they were trained on, and kept states what they go on with."""
    for split in doubled(tmp_path).splits.values():
        samples = plain([sample.tobytes() for sample in split.records.inputs.take(split.rows)])
        expected = sha256(split.rows.tobytes() + split.labels.tobytes() + b"".join(samples))
        assert content_digest(split) == expected.hexdigest()
