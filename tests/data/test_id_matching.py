"""Ids of deletion lists: exact first, then paths from another folder, without suffix, and patterns of the manifest."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.test_sources import GREY, LABELS, image_folder, opened
from unlearn_cli.data.dataset import Dataset
from unlearn_cli.data.id_matching import strip_folder
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.public_text import format_without_ids

SHAPE = [1, *GREY.shape[2:]]


def forget_images(folder: Path, **selection: Any) -> Dataset:
    return opened(image_folder(folder, GREY), SHAPE, forget=selection)


def counts(dataset: Dataset) -> dict[str, int]:
    return {notice.kind.partition(" that ")[0]: notice.count for notice in dataset.notices}


@pytest.mark.parametrize(
    ("ids", "expected", "kind"),
    [
        (["0/0.png", "1/3.png"], ["0/0.png", "1/3.png"], None),
        (["./0/0.png"], ["0/0.png"], "ids to forget"),
        (["images/0/0.png", "1/3.png"], ["0/0.png", "1/3.png"], "ids to forget"),
        (["0\\0.png"], ["0/0.png"], "ids to forget"),
        (["0/0", "1/3"], ["0/0.png", "1/3.png"], "ids to forget without a suffix, completed"),
        (["0/*"], ["0/0.png", "0/1.png", "0/2.png"], None),
        (["0/"], ["0/0.png", "0/1.png", "0/2.png"], None),
        (["images/1/*.png"], ["1/3.png", "1/4.png"], None),
        (["images/1/"], ["1/3.png", "1/4.png"], None),
        (["**3.png", "2/?.png"], ["1/3.png", "2/5.png"], None),
    ],
)
def test_ids_are_found_as_lists_of_files_are_written(
    ids: list[str], expected: list[str], kind: str | None, tmp_path: Path
) -> None:
    dataset = forget_images(tmp_path, ids=ids)
    assert dataset.split("forget").ids == expected
    assert list(counts(dataset)) == ([kind] if kind else [])


def test_absolute_paths_of_the_source_are_its_ids(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{tmp_path}/images/0/1.png\n", encoding="utf-8")
    dataset = forget_images(tmp_path, ids_file={"path": str(tmp_path / "list.txt")})
    assert dataset.split("forget").ids == ["0/1.png"] and sum(counts(dataset).values()) == 1


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"ids": ["test/0/0.png"]}, r"the id 'test/0/0\.png' to forget does not exist .* did you mean '0/0\.png'"),
        ({"ids": ["3/*"]}, r"no id matches the pattern '3/\*'"),
        ({"ids": ["*.png"]}, r"no id matches the pattern '\*\.png'; \* and \? do not match '/', but \*\* does"),
        ({"ids": ["9/"]}, "no id matches the pattern '9/'"),
        ({"ids": ["0/0.PNG"]}, "did you mean '0/0.png'"),
        ({"ids": [" 0/0.png"]}, "did you mean '0/0.png'"),
        ({"ids": ["**"]}, "selects all 6 records"),
    ],
)  # fmt: skip
def test_other_ids_are_refused(selection: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        forget_images(tmp_path, **selection)


def test_an_id_without_suffix_must_fit_one_record(tmp_path: Path) -> None:
    source = image_folder(tmp_path, GREY)
    (tmp_path / "images/0/0.jpg").write_bytes((tmp_path / "images/0/0.png").read_bytes())
    with pytest.raises(UserError, match=r"the id '0/0' has no suffix and fits 2 records: '0/0\.jpg', '0/0\.png'"):
        opened(source, SHAPE, forget={"ids": ["0/0"]})


def test_a_file_of_ids_has_no_patterns(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("0/*\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"forget\.ids_file: the id '0/\*' to forget does not exist"):
        forget_images(tmp_path, ids_file={"path": str(tmp_path / "list.txt")})


def test_an_id_with_a_star_is_an_id(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,f,y\na*,1,0\nab,2,1\nb,3,0\n", encoding="utf-8")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "id": "id"}}
    assert opened(source, [1], forget={"ids": ["a*"]}).split("forget").ids == ["a*"]
    assert opened(source, [1], forget={"ids": ["?b", "b"]}).split("forget").ids == ["ab", "b"]


def test_a_number_is_no_id_without_suffix(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,f,y\n1.5,1,0\n2,2,1\n", encoding="utf-8")
    with pytest.raises(UserError, match="the id '1' to forget does not exist"):
        opened({"table": {"path": str(tmp_path / "t.csv"), "label": "y", "id": "id"}}, [1], forget={"ids": [1]})


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("train/a/1.png", "a/1.png"), ("data/train/a/1.png", "a/1.png"), ("/d/data/train/a/1.png", "a/1.png"),
        ("test/a/1.png", "test/a/1.png"), ("/data/train/a/1.png", "/data/train/a/1.png"), ("a//1.png", "a/1.png"),
        ("data/a/1.png", "data/a/1.png"), ("train", "train"),
    ],
)  # fmt: skip
def test_only_the_folder_of_the_source_is_taken_from_the_front(name: str, path: str) -> None:
    assert strip_folder(name, Path("/d/data/train")) == path


@pytest.fixture
def persons(tmp_path: Path) -> dict[str, Any]:
    rows = "".join(f"{i},{i % 4:03d},{label}\n" for i, label in enumerate([*LABELS, 2, 1]))
    (tmp_path / "t.csv").write_text(f"f,person,y\n{rows}", encoding="utf-8")
    return {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "ignore": ["person"]}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.txt", "001\n\n  003 \n"),
        ("p.json", '["001", "003"]'),
        ("p.json", '[{"person": "001"}, {"person": "003"}]'),
        ("p.csv", "person,why\n001,a\n003,b\n"),
        ("p.tsv", "why\tperson\na\t001\nb\t003\n"),
    ],
)
def test_a_file_may_list_the_groups(name: str, text: str, persons: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    dataset = opened(persons, [1], forget={"groups_file": {"path": str(tmp_path / name), "column": "person"}})
    assert dataset.split("forget").rows.tolist() == [1, 3, 5, 7]
    assert dataset.split("train").groups is not None, "the column is that of the clusters, as of forget.groups"


def test_groups_and_their_file_are_joined(persons: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("key\n001\n", encoding="utf-8")
    file = {"path": str(tmp_path / "p.csv"), "column": "person", "values_column": "key"}
    both = {"groups": {"column": "person", "values": ["003", "001"]}, "groups_file": file}
    assert opened(persons, [1], forget=both).split("forget").rows.tolist() == [1, 3, 5, 7]
    (tmp_path / "p.csv").write_text("key\n1\n", encoding="utf-8")
    with pytest.raises(UserError, match="no record has person = 1; did you mean '001'"):
        opened(persons, [1], forget={"groups_file": file})
    (tmp_path / "p.csv").write_text("key\n", encoding="utf-8")
    with pytest.raises(UserError, match="contains no values"):
        opened(persons, [1], forget={"groups_file": file})
    with pytest.raises(ValueError, match="name two columns"):
        opened(persons, [1], forget={**both, "groups": {"column": "f", "values": [1]}})


def test_the_report_has_no_path_of_the_file(persons: dict[str, Any]) -> None:
    file = {"path": "requests/ada.txt", "column": "person"}
    text = {"version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [1]},
            "data": {"train": persons}, "forget": {"groups_file": file, "ids": ["ada/*"]}}  # fmt: skip
    public = format_without_ids(Manifest.model_validate(text))
    assert "ada" not in public and "person" in public


def test_a_list_without_a_header_is_told_from_one_with_another_column(persons: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("0\n3\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"the only column is '0': .* if the list has no header, save it as \.txt"):
        opened(persons, [1], forget={"ids_file": {"path": str(tmp_path / "p.csv")}})
    (tmp_path / "p.json").write_text(json.dumps([{"key": 1}]), encoding="utf-8")
    with pytest.raises(UserError, match="item 1: has no field 'id'; its fields: key"):
        opened(persons, [1], forget={"ids_file": {"path": str(tmp_path / "p.json")}})
