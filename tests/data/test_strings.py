"""Packed strings behave as Python's own: the same order, the same equality, whatever bytes they are made of."""

import random

import numpy as np
import pytest

from unlearn_cli.data import strings
from unlearn_cli.data.strings import Strings, concatenate, iterate_sorted, pack, to_strings

LETTERS = ["a", "b", "/", "\0", "\u00e9", "\u6570", "\udce9", "\U0001f600", "z", "0"]  # a surrogate among them


def words(n: int, longest: int) -> list[str]:
    draw = random.Random(n)
    return ["".join(draw.choices(LETTERS, k=draw.randrange(longest + 1))) for _ in range(n)]


@pytest.mark.parametrize("n", [0, 1, 2, 50, 3000])
@pytest.mark.parametrize("longest", [0, 1, 8, 9, 40])
def test_they_are_what_was_packed_and_sort_as_python_sorts(n: int, longest: int) -> None:
    listed = words(n, longest)
    packed = pack([listed[: n // 3], listed[n // 3 :]])
    assert packed.tolist() == [packed.text(row) for row in range(n)] == listed
    assert packed[packed.order()].tolist() == sorted(listed)
    assert packed.astype(str).tolist() == np.array(listed, dtype=str).tolist()


def test_some_of_them_are_picked_by_rows_in_any_order() -> None:
    listed, rows = words(500, 12), np.random.default_rng(0).integers(0, 500, 800)
    picked = pack([listed])[rows]
    assert picked.tolist() == [listed[row] for row in rows]
    assert picked[picked.order()].tolist() == sorted(picked.tolist())
    assert picked[10:20].tolist() == picked.tolist()[10:20]
    assert concatenate([picked, pack([]), pack([listed])]).tolist() == picked.tolist() + listed


def test_they_are_counted_found_and_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strings, "CHUNK", 7)
    listed = words(300, 2)
    packed = pack([listed])
    different, numbers = packed.factorize()
    assert different == sorted(set(listed))
    assert [different[number] for number in numbers] == listed
    wanted = set(listed[:5]) | {"not there"}
    assert packed.are_among(wanted).tolist() == [text in wanted for text in listed]
    assert [text for chunk in packed.chunks() for text in chunk] == listed


def test_a_string_that_is_there_twice_is_named_and_the_most_frequent_first() -> None:
    assert pack([["b", "a", "c"]]).find_duplicate() is None
    assert pack([]).find_duplicate() is None
    assert pack([["b", "a", "b", "c", "a", "c", "c"]]).find_duplicate() == "c"
    assert pack([["b", "a", "b", "a"]]).find_duplicate() == "a"


def test_numbers_become_the_strings_that_numpy_makes_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strings, "CHUNK", 3)
    for values in (np.arange(11), np.array([0.1, 1e20, -3.0, np.nan]), np.array(["x", "yy"])):
        assert to_strings(values).tolist() == values.astype(str).tolist()
    assert to_strings(np.array([True, False])).tolist() == ["true", "false"], "as YAML and JSON write them"
    packed = pack([["x"]])
    assert to_strings(packed) is packed


@pytest.mark.parametrize("values", [
    np.arange(1200), np.arange(1200)[::-7], np.array([5, -10, -1, 0, 10**18]), np.arange(0), np.array([0.5, -3, 20.25]),
    np.array(["b", "a", "\u00e9", "ab"]), np.array([2**63 + 1, 3], dtype=np.uint64),
], ids=str)  # fmt: skip
def test_values_come_in_the_order_of_their_text(values: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strings, "CHUNK", 100)
    expected = sorted(values.astype(str).tolist())
    assert [text for chunk in iterate_sorted(values) for text in chunk] == expected
    assert [text for chunk in iterate_sorted(to_strings(values)) for text in chunk] == expected


def test_they_take_few_bytes_each_and_tell_nothing_when_they_are_printed() -> None:
    packed = pack([[f"person-{row:08d}" for row in range(10_000)]])
    assert len(packed.content) + packed.starts.nbytes + packed.sizes.nbytes < 28 * len(packed)
    assert isinstance(packed, Strings) and "person" not in repr(packed)
