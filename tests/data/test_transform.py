"""What `data.transform` makes of samples: words, windows, standardised features, larger images, against hand counts."""

import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from tests.tiny import invoke
from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.data.stores import MemoryStore, StreamedStore, open_store
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest

HOURS = 20


def described(shape: list[int], train: dict[str, Any], transform: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    data = {"train": train, "transform": transform, **({"test": more.pop("test")} if "test" in more else {})}
    model = more.pop("model", {"architecture": "mlp", "arguments": {"hidden": [4]}})
    return {"version": 1, "task": "regression", "model": model, "input": {"shape": shape}, "data": data, **more}


def opened(shape: list[int], train: dict[str, Any], transform: list[dict[str, Any]], **more: Any) -> Dataset:
    return open_dataset(Manifest.model_validate(described(shape, train, transform, **more)).data_sections)


def samples(dataset: Dataset, name: str = "train") -> np.ndarray:
    split = dataset.split(name)
    return split.records.inputs.take(split.rows)


def csv(path: Path, header: str, *rows: str) -> str:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return str(path)


# Words.


def texts(folder: Path) -> dict[str, Any]:
    rows = ["1.5,The cat,A CAT sat!", '2.5,"One, two three four five",?', "0.5,x,the cat"]
    return {"table": {"path": csv(folder / "t.csv", "score,a,b", *rows), "label": "score", "text": ["a", "b"]}}


def test_words_are_lower_cased_hashed_cut_off_and_padded_on_the_left(tmp_path: Path) -> None:
    def number(word: str) -> int:
        return 1 + zlib.crc32(word.encode()) % 99

    found = samples(opened([2, 4], texts(tmp_path), [{"tokens": {"length": 4, "buckets": 100}}]))
    assert found.dtype == np.float32
    the, cat = number("the"), number("cat")
    assert found.tolist() == [
        [[0, 0, the, cat], [0, number("a"), cat, number("sat")]],
        [[number("one"), number("two"), number("three"), number("four")], [0, 0, 0, 0]],
        [[0, 0, 0, number("x")], [0, 0, the, cat]],
    ]


def test_no_word_has_the_number_of_padding_or_one_beyond_the_buckets(tmp_path: Path) -> None:
    rows = [f"1,word{i}" for i in range(500)]
    table = {"path": csv(tmp_path / "t.csv", "score,a", *rows), "label": "score", "text": ["a"]}
    found = samples(opened([1, 1], {"table": table}, [{"tokens": {"length": 1, "buckets": 7}}]))
    assert set(found.ravel().astype(int).tolist()) == {1, 2, 3, 4, 5, 6}


def test_pairs_are_copies_of_each_other_when_their_words_are(tmp_path: Path) -> None:
    rows = ["1,The cat,a", "2,the CAT.,A", "3,a,the cat"]
    table = {"path": csv(tmp_path / "t.csv", "score,a,b", *rows), "label": "score", "text": ["a", "b"]}
    digests = opened([2, 3], {"table": table}, [{"tokens": {"length": 3, "buckets": 2**20}}]).split(
        "train").records.fingerprints  # fmt: skip
    assert digests[0] == digests[1] != digests[2]


# Windows. Row i holds i and 100 - i; its label is 10 i.


def hours(path: Path, unlabelled: tuple[int, ...] = (), gaps: tuple[int, ...] = ()) -> dict[str, Any]:
    rows = [
        f"{'NA' if i in unlabelled else 10 * i},{'' if i in gaps else i},{100 - i},h{i},{i // 10}" for i in range(HOURS)
    ]
    return {
        "path": csv(path, "y,up,down,name,half", *rows), "label": "y", "id": "name", "ignore": ["half"],
        "missing": ["NA"], "unlabelled": "drop",
    }  # fmt: skip


def window_of(own: int, length: int, ahead: int) -> list[list[int]]:
    return [[row, 100 - row] for row in range(own - ahead - length + 1, own - ahead + 1)]


@pytest.mark.parametrize(("length", "ahead", "every"), [(3, 2, 1), (4, 1, 3), (1, 0, 5), (5, 4, 2)])
def test_a_window_holds_the_rows_that_end_ahead_of_its_record(
    length: int, ahead: int, every: int, tmp_path: Path
) -> None:
    window = {"window": {"length": length, "ahead": ahead, "every": every}}
    dataset = opened([length, 2], {"table": hours(tmp_path / "h.csv")}, [window])
    records = dataset.split("train").records
    own = list(range(length + ahead - 1, HOURS, every))
    assert samples(dataset).tolist() == [window_of(row, length, ahead) for row in own]
    assert dataset.split("train").labels.tolist() == [10.0 * row for row in own]
    assert records.ids.tolist() == [f"h{row}" for row in own]
    assert records.column("half").tolist() == [str(row // 10) for row in own]
    assert records.inputs.take(np.array([1])).tolist() == [window_of(own[1], length, ahead)]


def test_windows_begin_at_the_first_row_at_the_earliest_and_need_enough_rows(tmp_path: Path) -> None:
    table = {"table": hours(tmp_path / "h.csv")}
    assert len(opened([15, 2], table, [{"window": {"length": 15, "ahead": 5}}]).split("train")) == 1
    with pytest.raises(UserError, match="20 rows are too few for a window of 15 rows that ends 6 rows before"):
        opened([15, 2], table, [{"window": {"length": 15, "ahead": 6}}])


def test_rows_are_cut_after_windows_so_that_those_of_test_look_back_into_train(tmp_path: Path) -> None:
    table = hours(tmp_path / "h.csv")
    train, test = {"table": table, "rows": {"first": 0.75}}, {"table": table, "rows": {"last": 0.25}}
    dataset = opened([3, 2], train, [{"window": {"length": 3, "ahead": 2}}], test=test)
    assert dataset.split("train").labels.tolist() == [10.0 * row for row in range(4, 16)]
    assert dataset.split("test").labels.tolist() == [10.0 * row for row in range(16, 20)]
    assert samples(dataset, "test")[0].tolist() == window_of(16, 3, 2)


def test_what_is_forgotten_is_chosen_by_the_records_own_row(tmp_path: Path) -> None:
    table = {"table": hours(tmp_path / "h.csv")}
    window = [{"window": {"length": 3, "ahead": 2}}]
    for forget, rows in (
        ({"where": [{"column": "half", "op": "==", "value": 0}]}, range(4, 10)),
        ({"groups": {"column": "half", "values": [1]}}, range(10, 20)),
        ({"ids": ["h7", "h12"]}, (7, 12)),
    ):
        dataset = opened([3, 2], table, window, forget=forget)
        assert dataset.split("forget").labels.tolist() == [10.0 * row for row in rows]
        assert samples(dataset, "forget").tolist() == [window_of(row, 3, 2) for row in rows]


def test_rows_without_a_label_are_no_records_but_are_seen_by_windows(tmp_path: Path) -> None:
    table = {"table": hours(tmp_path / "h.csv", unlabelled=(5, 6))}
    dataset = opened([3, 2], table, [{"window": {"length": 3, "ahead": 1}}])
    own = [row for row in range(3, HOURS) if row not in (5, 6)]
    assert dataset.split("train").labels.tolist() == [10.0 * row for row in own]
    assert samples(dataset).tolist() == [window_of(row, 3, 1) for row in own]


def test_every_counts_rows_not_labels_so_that_records_stay_on_one_grid(tmp_path: Path) -> None:
    table = {"table": hours(tmp_path / "h.csv", unlabelled=(5, 8))}
    dataset = opened([3, 2], table, [{"window": {"length": 3, "ahead": 1, "every": 2}}])
    assert dataset.split("train").labels.tolist() == [10.0 * row for row in range(3, HOURS, 2) if row != 5]


def test_without_windows_rows_without_a_label_are_dropped_or_refused(tmp_path: Path) -> None:
    table = hours(tmp_path / "h.csv", unlabelled=(0, 5))
    dataset = opened([2], {"table": table}, [])
    assert dataset.split("train").records.ids.tolist() == [f"h{row}" for row in range(HOURS) if row not in (0, 5)]
    with pytest.raises(UserError, match="column 'y' is empty in row 0"):
        opened([2], {"table": table | {"unlabelled": "refuse"}}, [])


def test_windows_are_copies_of_each_other_exactly_when_all_their_rows_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", x=np.array([1, 2, 1, 2, 1, 1, 2.0])[:, None], y=np.arange(7.0))
    records = opened([2, 1], {"npz": str(tmp_path / "w.npz")}, [{"window": {"length": 2}}]).split("train").records
    found = records.inputs.take(np.arange(len(records)))[:, :, 0].tolist()
    assert found == [[1, 2], [2, 1], [1, 2], [2, 1], [1, 1]]
    digests = records.fingerprints.tolist()
    assert [digests.index(digest) for digest in digests] == [found.index(window) for window in found]
    assert records.inputs.fingerprints(np.array([4, 0])).tolist() == [digests[4], digests[0]]


def test_windows_are_made_when_they_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", x=np.zeros((20000, 2), np.float32), y=np.arange(20000.0))
    records = opened([5000, 2], {"npz": str(tmp_path / "w.npz")}, [{"window": {"length": 5000}}]).split("train").records
    assert len(records) == 15000
    assert len(pickle.dumps(records.inputs)) < 2**20  # all windows would be 600 MB


# Standardising.


def two_features(folder: Path, changed: dict[int, float] | None = None) -> dict[str, Any]:
    x = np.stack([np.arange(8.0), np.full(8, 0.1)], axis=1)
    for row, value in (changed or {}).items():
        x[row] = value
    np.savez(folder / "f.npz", x=x, y=np.arange(8.0), part=np.arange(8) % 4)
    return {"npz": str(folder / "f.npz"), "rows": {"where": [{"column": "part", "op": "not in", "value": [3]}]}}


FORGET_PART_0 = {"where": [{"column": "part", "op": "==", "value": 0}]}


def of_retain(folder: Path, changed: dict[int, float] | None = None, **more: Any) -> Dataset:
    train = two_features(folder, changed)
    test = {**train, "rows": {"where": [{"column": "part", "op": "in", "value": [3]}]}}
    transform = [{"standardise": more.pop("standardise", {})}]
    return opened([2], train, transform, test=test, forget=FORGET_PART_0, **more)


def test_the_statistics_are_those_of_retain_and_a_constant_becomes_0(tmp_path: Path) -> None:
    dataset = of_retain(tmp_path)
    retained = np.array([1, 2, 5, 6.0])
    mean, std = retained.mean(), np.sqrt(((retained - 3.5) ** 2).mean())
    for name, rows in (("train", [0, 1, 2, 4, 5, 6]), ("retain", retained), ("forget", [0, 4]), ("test", [3, 7])):
        expected = [[(row - mean) / std, 0] for row in rows]
        assert samples(dataset, name) == pytest.approx(np.array(expected), abs=1e-6), name
    assert samples(dataset).dtype == np.float32


def test_no_forgotten_and_no_test_record_changes_the_statistics(tmp_path: Path) -> None:
    before = samples(of_retain(tmp_path), "retain")
    for row in (0, 4, 3, 7):  # forgotten, forgotten, test, test
        assert np.array_equal(samples(of_retain(tmp_path, {row: 1e6}), "retain"), before)
    assert not np.allclose(samples(of_retain(tmp_path, {5: 1e6}), "retain"), before)


def test_without_a_selection_the_statistics_are_those_of_train(tmp_path: Path) -> None:
    found = samples(opened([2], two_features(tmp_path), [{"standardise": {}}]))
    assert found[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert found[:, 0].std() == pytest.approx(1, abs=1e-6)


def test_fixed_numbers_take_the_place_of_statistics(tmp_path: Path) -> None:
    dataset = of_retain(tmp_path, standardise={"mean": [1.0, 0.0], "std": [2.0, 0.1]})
    assert samples(dataset, "test") == pytest.approx(np.array([[1, 1], [3, 1]]))
    zero = of_retain(tmp_path, standardise={"mean": [1.0, 0.0], "std": [2.0, 0.0]})
    assert samples(zero, "test").tolist() == [[1, 0], [3, 0]]


def test_an_empty_cell_becomes_the_mean_and_counts_for_nothing(tmp_path: Path) -> None:
    rows = ["0,1,", "0,,", "0,5,", "0,NA,7"]
    table = {"path": csv(tmp_path / "t.csv", "y,a,b", *rows), "label": "y", "missing": ["NA"]}
    found = samples(opened([2], {"table": table}, [{"standardise": {"missing": "mean"}}]))
    assert found.tolist() == [[-1, 0], [0, 0], [1, 0], [0, 0]]
    for steps in ([], [{"standardise": {}}]):
        with pytest.raises(UserError, match="column 'a' is empty in row 1"):
            opened([2], {"table": table}, steps)


def test_series_of_an_array_are_standardised_feature_by_feature(tmp_path: Path) -> None:
    series = np.random.default_rng(0).normal([3, -8], [2, 0.1], (6, 5, 2))
    np.savez(tmp_path / "s.npz", x=series, y=np.arange(6.0))
    found = samples(opened([5, 2], {"npz": str(tmp_path / "s.npz")}, [{"standardise": {}}]))
    assert found == pytest.approx((series - series.mean(axis=(0, 1))) / series.std(axis=(0, 1)), abs=1e-5)


@pytest.mark.parametrize("order", [1, -1])
def test_a_row_counts_once_however_many_windows_it_lies_in(order: int, tmp_path: Path) -> None:
    """Rows 0 to 17 lie in windows of retain; those from 18 on, and gaps, do not count."""
    table = {"table": hours(tmp_path / "h.csv", gaps=(3,))}
    steps = [{"window": {"length": 3, "ahead": 2}}, {"standardise": {"missing": "mean"}}][::order]
    found = samples(opened([3, 2], table, steps))
    up = np.array([row for row in range(18) if row != 3], dtype=float)
    down = 100 - np.arange(18.0)
    for i, own in enumerate(range(4, HOURS)):
        seen = np.arange(own - 4, own - 1)
        expected = np.stack([(seen - up.mean()) / up.std(), (100 - seen - down.mean()) / down.std()], axis=1)
        expected[seen == 3, 0] = 0
        assert found[i] == pytest.approx(expected, abs=1e-5)


def test_rows_that_only_forgotten_windows_see_do_not_count(tmp_path: Path) -> None:
    table = {"table": hours(tmp_path / "h.csv")}
    forget = {"where": [{"column": "y", "op": ">=", "value": 150}]}
    steps = [{"window": {"length": 3, "ahead": 2}}, {"standardise": {}}]
    found = samples(opened([3, 2], table, steps, forget=forget))
    seen = np.arange(13.0)  # the last retained record is row 14, whose window ends with row 12
    assert found[0, :, 0] == pytest.approx((np.arange(3) - seen.mean()) / seen.std(), abs=1e-6)


# Images.


def test_enlarging_repeats_every_pixel(tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)  # (N, H, W, C)
    np.savez(tmp_path / "i.npz", x=images, y=np.arange(2.0))
    dataset = opened([3, 6, 6], {"npz": str(tmp_path / "i.npz")}, [{"enlarge": 3}])
    found = samples(dataset)
    assert found.dtype == np.uint8
    for y, x in np.ndindex(6, 6):
        assert np.array_equal(found[:, :, y, x], images[:, y // 3, x // 3])
    plain = opened([3, 2, 2], {"npz": str(tmp_path / "i.npz")}, []).split("train").records.fingerprints
    assert np.array_equal(dataset.split("train").records.fingerprints, plain)


# All together.


def test_streamed_samples_are_those_in_memory(tmp_path: Path) -> None:
    cases = {
        "tokens": opened([2, 3], texts(tmp_path), [{"tokens": {"length": 3, "buckets": 50}}]),
        "windows": opened([3, 2], {"table": hours(tmp_path / "h.csv", gaps=(3,))},
                          [{"window": {"length": 3}}, {"standardise": {"missing": "mean"}}]),
        "enlarge": opened([1, 16, 16], {"sklearn": "digits"}, [{"enlarge": 2}], task="classification"),
    }  # fmt: skip
    for name, dataset in cases.items():
        inputs, cpu = dataset.split("train").records.inputs, torch.device("cpu")
        shape = inputs.take(np.arange(1)).shape[1:]
        sent = pickle.loads(pickle.dumps(inputs))  # what a worker process may be given
        memory, streamed = open_store(inputs, shape, cpu, 2**30), open_store(sent, shape, cpu, 1)
        assert (type(memory), type(streamed)) == (MemoryStore, StreamedStore)
        chunks = [np.array([2, 0]), np.array([1])]
        for one, other in zip(memory.fetch(chunks), streamed.fetch(chunks), strict=True):
            assert torch.equal(one, other), name


def test_several_arrays_of_different_length_may_lie_in_one_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=np.ones((3, 2)), b=np.arange(3.0), c=np.zeros((5, 2)), d=np.arange(5.0))
    train, test = ({"npz": {"path": str(tmp_path / "two.npz"), "inputs": x, "labels": y}} for x, y in ("ab", "cd"))
    dataset = opened([2], train, [], test=test)
    assert dataset.split("train").labels.tolist() == [0, 1, 2]
    assert dataset.split("test").labels.tolist() == [0, 1, 2, 3, 4]


def test_a_transformed_source_trains_and_unlearns_to_the_same_bytes_again(tmp_path: Path) -> None:
    table = hours(tmp_path / "h.csv", unlabelled=(6,), gaps=(3,))
    train, test = {"table": table, "rows": {"first": 0.75}}, {"table": table, "rows": {"last": 0.25}}
    steps = [{"window": {"length": 3, "ahead": 2}}, {"standardise": {"missing": "mean"}}]
    forget = {"where": [{"column": "half", "op": "==", "value": 0}]}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(described([3, 2], train, steps, test=test, forget=forget)))
    flags = ["-m", tmp_path / "m.yaml", "--device", "cpu", "--quiet"]
    flags += ["--set", "epochs=2"]
    for out in ("one", "two"):
        place = tmp_path / out
        assert invoke("train", *flags, "-o", place / "original").exit_code == 0
        checkpoint = place / "original" / "model.safetensors"
        finetune = ["--method", "finetune", "--force"]
        assert invoke("unlearn", checkpoint, *flags, "-o", place / "unlearned", *finetune).exit_code == 0
    for name in ("original", "unlearned"):
        one, two = ((tmp_path / out / name / "model.safetensors").read_bytes() for out in ("one", "two"))
        assert one == two
