"""The records that methods receive: which they are, which copies are left out, and when there are too few."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.data.halves import get_selection_half, select_half, take_half
from unlearn_cli.data.held_out import MIN_HELD_OUT, add_held_out, count_copies, name_source
from unlearn_cli.data.records import ArrayInputs, Subset
from unlearn_cli.data.transforms.overlaps import mask_overlapping
from unlearn_cli.data.transforms.standardise import StandardisedInputs, Statistics
from unlearn_cli.data.transforms.windows import WindowInputs
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest

Rows = dict[str, np.ndarray]  # source -> one feature (n,)
RANDOM = np.random.default_rng(0)
TRAIN, TEST, VALIDATION = RANDOM.normal(size=40), RANDOM.normal(size=240), RANDOM.normal(size=60)


def write_sources(folder: Path, rows: Rows, group_size: int = 1) -> dict[str, Any]:
    sources = {}
    for name, values in rows.items():
        cells = [f"{name}{i},{name}-{i // group_size},{x!r},{i % 2}" for i, x in enumerate(values.tolist())]
        (folder / f"{name}.csv").write_text("\n".join(["id,person,x,y", *cells]) + "\n", encoding="utf-8")
        table = {"path": str(folder / f"{name}.csv"), "label": "y", "id": "id", "features": ["x"]}
        sources[name] = {"table": table}
    return sources


def opened(folder: Path, rows: Rows, **more: Any) -> Dataset:
    data = write_sources(folder, rows, more.pop("group_size", 1))
    data |= {key: more.pop(key) for key in ("group", "transform") if key in more}
    sections = {"data": data, "forget": {"ids": ["train0", "train1"]}, **more}
    content = {"version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [1]}}
    return open_dataset(Manifest.model_validate({**content, **sections}).data_sections)


def read_ids(dataset: Dataset, split: str) -> set[str]:
    return set(dataset.split(split).ids)


def test_the_selection_half_is_read_and_the_verdict_half_left(tmp_path: Path) -> None:
    dataset = opened(tmp_path, {"train": TRAIN, "test": TEST})
    with_input = add_held_out(dataset)
    expected = select_half(dataset.split("test"), "selection")
    assert with_input.split("held_out").ids == expected.ids
    reported = take_half(with_input, "verdict")
    assert not read_ids(reported, "held_out") & read_ids(reported, "test")
    assert len(read_ids(reported, "held_out") | read_ids(reported, "test")) == len(TEST)
    assert get_selection_half(reported).ids == get_selection_half(dataset).ids == expected.ids
    assert name_source(dataset) == "selection half of test"


def test_copies_of_trained_and_forgotten_records_are_left_out(tmp_path: Path) -> None:
    rows = {"train": TRAIN, "test": np.concatenate([TEST, TRAIN[:20]])}  # two to forget, one forgotten before
    (tmp_path / "forgotten.csv").write_text("id\ntrain5\n")
    dataset = opened(tmp_path, rows, forgotten={"ids_file": {"path": str(tmp_path / "forgotten.csv"), "column": "id"}})
    copies = {f"test{len(TEST) + i}" for i in range(20)}
    with_input = add_held_out(dataset)
    half = set(select_half(dataset.split("test"), "selection").ids)
    assert half & copies and read_ids(with_input, "held_out") == half - copies
    (notice,) = with_input.notices
    assert (notice.source, notice.count) == ("data.test", len(half & copies))


def test_equal_samples_of_persons_in_both_halves_are_left_out(tmp_path: Path) -> None:
    dataset = add_held_out(opened(tmp_path, {"train": TRAIN, "test": np.tile(TEST, 2)}, group="person", group_size=10))
    verdict = select_half(dataset.split("test"), "verdict")
    assert not dataset.split("held_out").copies_of(verdict).any()
    assert len(dataset.split("held_out")) < len(select_half(dataset.split("test"), "selection"))


def test_validation_is_read_without_copies_of_train_and_test(tmp_path: Path) -> None:
    more = np.concatenate([VALIDATION, TRAIN[:3], TEST[:4]])
    dataset = count_copies(opened(tmp_path, {"train": TRAIN, "test": TEST, "validation": more}))
    assert [notice.count for notice in dataset.notices] == [4, 3]
    assert {notice.source for notice in dataset.notices} == {"data.validation"}
    with_input = add_held_out(dataset)
    assert read_ids(with_input, "held_out") == {f"validation{i}" for i in range(len(VALIDATION))}
    assert len(with_input.split("validation")) == len(more)
    assert name_source(dataset) == "validation"


def test_validation_needs_no_test(tmp_path: Path) -> None:
    dataset = add_held_out(opened(tmp_path, {"train": TRAIN, "validation": VALIDATION}))
    assert len(dataset.split("held_out")) == len(VALIDATION)


def test_validation_is_transformed_and_labelled_as_test(tmp_path: Path) -> None:
    rows = {"train": TRAIN, "test": TEST[:20], "validation": TEST[:20]}
    dataset = opened(tmp_path, rows, group="person", transform=[{"standardise": {}}])
    test, validation = dataset.split("test"), dataset.split("validation")
    numbers = np.arange(20)
    assert (test.records.inputs.take(numbers) == validation.records.inputs.take(numbers)).all()
    assert (test.labels == validation.labels).all()
    assert validation.groups is not None
    retained = TRAIN[2:]
    expected = (TEST[:20] - retained.mean()) / retained.std()
    assert validation.records.inputs.take(numbers)[:, 0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("rows", "group_size", "reason"),
    [
        (
            {"test": TEST[: 2 * MIN_HELD_OUT - 1]},
            1,
            "data.test: is too small to be divided: its ",
        ),
        (
            {"test": TEST, "validation": VALIDATION[:49]},
            1,
            "has 49 never-seen records, but 50 are needed for methods",
        ),
        (
            {"validation": VALIDATION},
            60,
            r"records of 1 person or recording \(data.group\), but 2",
        ),
        ({"validation": np.tile(TRAIN, 3)}, 1, "data.validation: has 0 never-seen records, but 50"),
    ],
)
def test_too_few_records_are_refused(rows: Rows, group_size: int, reason: str, tmp_path: Path) -> None:
    dataset = opened(tmp_path, {"train": TRAIN, **rows}, group="person", group_size=group_size)
    with pytest.raises(UserError, match=reason):
        add_held_out(dataset)


def test_one_person_per_half_is_refused(tmp_path: Path) -> None:
    """Two persons of 120 records: each half has at most one of them, or none."""
    dataset = opened(tmp_path, {"train": TRAIN, "test": TEST}, group="person", group_size=120)
    with pytest.raises(UserError, match=r"its \w+ half has .*; add records, or set data.validation"):
        add_held_out(dataset)


def test_a_manifest_without_validation_has_the_digest_that_it_always_had() -> None:
    data = {"train": {"sklearn": {"name": "digits"}}}
    content = {"version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [64]}}
    manifest = Manifest.model_validate({**content, "data": data})
    assert manifest.digest == "d8ff35d743c830e370a440dc0d1604e2ab1e4178a0afe9faf486e68567b8505f"
    other = Manifest.model_validate({**content, "data": {**data, "validation": data["train"]}})
    assert other.digest != manifest.digest
    assert other.sections == {"data", "validation"}


@pytest.mark.parametrize("seed", range(5))
def test_overlapping_windows_are_those_that_share_a_row(seed: int) -> None:
    random = np.random.default_rng(seed)
    starts = np.sort(random.choice(60, 20, replace=False))
    windows = WindowInputs(ArrayInputs(np.zeros((70, 1), dtype=np.float32), (1,)), starts, 4)
    rows, others = np.split(random.permutation(20), [9])
    used = {row for start in starts[others].tolist() for row in range(start, start + 4)}
    expected = [bool(used & set(range(start, start + 4))) for start in starts[rows].tolist()]
    statistics = Statistics(np.zeros(1), np.ones(1))
    for inputs in (windows, StandardisedInputs(Subset(windows, np.arange(20)), statistics)):
        assert mask_overlapping(inputs, rows, others).tolist() == expected
    assert not mask_overlapping(windows.inputs, rows, others).any()


def test_overlapping_windows_of_the_halves_are_counted(tmp_path: Path) -> None:
    for name, rows in (("train", 100), ("test", 400)):
        lines = [f"{hour},{RANDOM.normal()!r},{hour % 3}" for hour in range(rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["hour,x,y", *lines]) + "\n")
    table = {"label": "y", "features": ["x"]}
    data = {name: {"table": {**table, "path": str(tmp_path / f"{name}.csv")}} for name in ("train", "test")}
    content = {"version": 1, "task": "regression", "model": {"architecture": "lstm_pair"}, "input": {"shape": [4, 1]}}
    transform = [{"window": {"length": 4, "time": "hour"}}]
    manifest = Manifest.model_validate({**content, "data": {**data, "transform": transform}})
    (notice,) = add_held_out(open_dataset(manifest.data_sections)).notices
    assert notice.kind.startswith("windows of its selection half that share rows with windows of the verdict half")
    assert notice.count > 150
