"""`data.group`: which person or recording a record belongs to, from every format, and what goes by it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from unlearn_cli.data.dataset import Dataset, Split, open_dataset
from unlearn_cli.data.halves import take_half
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest

PERSONS, EACH = 24, 5


def write_table(path: Path, persons: range, column: str = "person") -> dict[str, Any]:
    lines = [f"x,y,{column}"]
    lines += [f"{person + number / 10},{'ab'[number % 2]},p{person:02}" for number in range(EACH) for person in persons]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"table": {"path": str(path), "label": "y", "features": ["x"]}}


def opened(folder: Path, group: str | None = "person", test_column: str = "person", **more: Any) -> Dataset:
    data: dict[str, Any] = {
        "train": write_table(folder / "train.csv", range(PERSONS)),
        "test": write_table(folder / "test.csv", range(PERSONS // 2, 2 * PERSONS), test_column),
    }
    if group is not None:
        data["group"] = group
    return open_dataset(manifest(data, **more).data_sections)


def manifest(data: dict[str, Any], **more: Any) -> Manifest:
    return Manifest.model_validate({
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [1]},
        "data": data, **more,
    })  # fmt: skip


def groups_of(split: Split) -> np.ndarray:
    assert split.groups is not None
    return split.groups


def test_a_person_of_train_and_test_has_one_number(tmp_path: Path) -> None:
    dataset = opened(tmp_path)
    train, test = groups_of(dataset.split("train")), groups_of(dataset.split("test"))
    assert len(np.unique(train)) == PERSONS
    assert len(np.intersect1d(train, test)) == PERSONS // 2
    assert train[0] == train[PERSONS]  # rows go through the persons again and again


def test_without_a_group_records_are_independent(tmp_path: Path) -> None:
    assert opened(tmp_path, None).split("train").groups is None


def test_the_column_of_forget_groups_is_the_default(tmp_path: Path) -> None:
    forget = {"groups": {"column": "person", "values": ["p01"]}}
    dataset = opened(tmp_path, None, forget=forget)
    assert len(np.unique(groups_of(dataset.split("forget")))) == 1
    assert len(np.unique(groups_of(dataset.split("retain")))) == PERSONS - 1
    assert len(np.unique(groups_of(opened(tmp_path, "id", forget=forget).split("train")))) == PERSONS * EACH


@pytest.mark.parametrize(
    ("group", "forget", "told"),
    [
        ("person", None, "data.group: data.test: .*no column 'person'.*'persn'.*one cluster: add that column"),
        ("perso", None, "data.group: data.train: .*no column 'perso'; did you mean 'person'"),
        (None, {"groups": {"column": "person", "values": ["p01"]}},
         "forget.groups.column: data.test: .*no column 'person'.*set data.group to another one"),
        (None, {"groups": {"column": "perso", "values": ["p01"]}}, "^data.train: .*did you mean 'person'"),
    ],
)  # fmt: skip
def test_a_column_that_a_source_lacks_is_refused(
    group: str | None, forget: dict[str, Any] | None, told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        opened(tmp_path, group, "persn", **({"forget": forget} if forget else {}))


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_of_arrays_the_group_is_a_key(kind: str, tmp_path: Path) -> None:
    arrays = {"x": np.zeros((6, 1), np.float32), "y": np.arange(6) % 2, "who": np.array([5, 5, 6, 6, 7, 7])}
    path = tmp_path / f"data.{kind}"
    if kind == "npz":
        np.savez(path, allow_pickle=False, **arrays)
    else:
        save_file(arrays, path)
    dataset = open_dataset(manifest({"train": {kind: {"path": str(path)}}, "group": "who"}).data_sections)
    assert np.unique(groups_of(dataset.split("train")), return_counts=True)[1].tolist() == [2, 2, 2]
    with pytest.raises(UserError, match=r"data.group: .*no column 'whom'; did you mean 'who'"):
        open_dataset(manifest({"train": {kind: {"path": str(path)}}, "group": "whom"}).data_sections)


def test_a_record_without_a_group_is_a_cluster_of_its_own_and_counted(tmp_path: Path) -> None:
    rows = "\n".join(f"{k % 7}.{k},{'' if k < 3 else f'p{k % 4}'},{k % 2}" for k in range(12))
    (tmp_path / "t.csv").write_text(f"x,who,y\n{rows}\n", encoding="utf-8")
    table = {"path": str(tmp_path / "t.csv"), "label": "y", "features": ["x"]}
    dataset = open_dataset(manifest({"train": {"table": table}, "group": "who"}).data_sections)
    assert np.unique(groups_of(dataset.split("train")), return_counts=True)[1].tolist().count(1) == 3
    assert [(one.kind, one.count) for one in dataset.notices] == [
        ("records without a group, each a separate cluster", 3)
    ]


def test_no_person_lies_in_both_halves(tmp_path: Path) -> None:
    dataset = opened(tmp_path)
    selection, verdict = (groups_of(take_half(dataset, half).split("test")) for half in ("selection", "verdict"))
    assert not len(np.intersect1d(selection, verdict))
    assert len(selection) + len(verdict) == len(dataset.split("test"))
    assert min(len(np.unique(selection)), len(np.unique(verdict))) > PERSONS // 3


def test_the_half_of_a_person_depends_on_nobody_else(tmp_path: Path) -> None:
    first = opened(tmp_path)
    halves = [set(groups_of(take_half(first, "selection").split("test")).tolist())]
    data = {"group": "person", "train": write_table(tmp_path / "train.csv", range(PERSONS)),
             "test": write_table(tmp_path / "test.csv", range(PERSONS, 3 * PERSONS))}  # fmt: skip
    other = open_dataset(manifest(data).data_sections)
    here = set(groups_of(other.split("test")).tolist())
    both = here & set(groups_of(first.split("test")).tolist())
    chosen = set(groups_of(take_half(other, "selection").split("test")).tolist())
    assert chosen & both == halves[0] & both


def test_one_person_cannot_be_halved(tmp_path: Path) -> None:
    data = {"train": write_table(tmp_path / "train.csv", range(3)), "group": "person",
            "test": write_table(tmp_path / "test.csv", range(7, 8))}  # fmt: skip
    dataset = open_dataset(manifest(data).data_sections)
    with pytest.raises(UserError, match="half has no group of records; add more, or use --half all"):
        for half in ("selection", "verdict"):
            take_half(dataset, half)


def test_windows_of_one_series_are_one_group(tmp_path: Path) -> None:
    rows = [f"{hour},{series},{hour % 7}.5,{hour % 3}" for series in ("s1", "s2", "s3") for hour in range(10)]
    (tmp_path / "rows.csv").write_text("hour,series,x,y\n" + "\n".join(rows) + "\n", encoding="utf-8")
    table = {"path": str(tmp_path / "rows.csv"), "label": "y", "features": ["x"]}
    window = {"window": {"length": 4, "time": "hour", "series": "series"}}
    described = Manifest.model_validate({
        "version": 1, "task": "regression", "model": {"architecture": "lstm_pair"}, "input": {"shape": [4, 1]},
        "data": {"train": {"table": table}, "transform": [window]},
    })  # fmt: skip
    groups = groups_of(open_dataset(described.data_sections).split("train"))
    assert np.unique(groups, return_counts=True)[1].tolist() == [6, 6, 6]
