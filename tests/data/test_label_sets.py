"""Multilabel records: a column per label, cells of several labels, lists, arrays; what cannot be read is refused."""

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from safetensors.numpy import save_file

from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest

MARKS = [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]]  # of the labels cat, dog, old
CELLS = ["cat|old", "", "dog", "old| cat |dog"]


def opened(train: dict[str, Any], shape: list[int] = [1], **sections: Any) -> Dataset:
    test = sections.pop("test", None)
    content = {
        "version": 1,
        "task": "multilabel",
        "model": {"architecture": "mlp"},
        "input": {"shape": shape},
        "data": {"train": train, **({"test": test} if test else {})},
        **sections,
    }
    return open_dataset(Manifest.model_validate_json(json.dumps(content)).data_sections)


def refusal(train: dict[str, Any], **sections: Any) -> str:
    with pytest.raises((UserError, ValueError)) as caught:
        opened(train, **sections)
    text = str(caught.value)
    assert "\n" not in text or "validation error" in text
    return text


def csv(folder: Path, header: str, rows: list[str], name: str = "t.csv") -> str:
    (folder / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return str(folder / name)


def tags(folder: Path, cells: list[str] = CELLS, name: str = "t.csv", **keys: Any) -> dict[str, Any]:
    path = csv(folder, "f,tags", [f"{i},{cell}" for i, cell in enumerate(cells)], name)
    return {"table": {"path": path, "label": "tags", **keys}}


def check(dataset: Dataset, classes: list[str] = ["cat", "dog", "old"]) -> None:
    labels = dataset.split("train").labels
    assert dataset.classes == classes and dataset.num_outputs == len(classes)
    assert labels.dtype == np.uint8 and labels.tolist() == MARKS


def test_cells_of_several_labels_give_sorted_labels(tmp_path: Path) -> None:
    check(opened(tags(tmp_path)))


def test_the_manifest_chooses_the_separator_the_order_and_more_labels(tmp_path: Path) -> None:
    source = tags(tmp_path, [cell.replace("|", ";") for cell in CELLS], separator=";")
    labels = opened(source, classes=["old", "new", "dog", "cat"]).split("train").labels
    assert labels.tolist() == [[row[2], 0, row[1], row[0]] for row in MARKS]


def test_cells_may_be_renamed_and_repeat_a_label_which_is_counted(tmp_path: Path) -> None:
    dataset = opened(tags(tmp_path, ["cat|kitty", "dog"], label_names={"kitty": "cat"}))
    assert dataset.classes == ["cat", "dog"] and dataset.split("train").labels.tolist() == [[1, 0], [0, 1]]
    dataset = opened(tags(tmp_path, ["cat|cat", "dog"]))
    assert [(notice.kind, notice.count) for notice in dataset.notices] == [
        ("rows that list a label twice, which counts once", 1)
    ]


@pytest.mark.parametrize("cell", ['"[""cat"", ""old""]"', '"[ ""old"" , ""cat""]"'])
def test_a_csv_may_contain_json_lists(cell: str, tmp_path: Path) -> None:
    check(opened(tags(tmp_path, [cell, "[]", "dog", "cat|dog|old"])))


WORDS = [("1", "0"), ("true", "false"), ("True", "FALSE"), ("yes", "no"), ("1.0", "0.0"), ("1", "-1")]


@pytest.mark.parametrize("yes, no", WORDS)
def test_one_column_per_label(yes: str, no: str, tmp_path: Path) -> None:
    rows = [f"{i},{','.join(yes if mark else no for mark in marks)}" for i, marks in enumerate(MARKS)]
    check(opened({"table": {"path": csv(tmp_path, "f,cat,dog,old", rows), "label": ["cat", "dog", "old"]}}))


def test_minus_1_next_to_0_is_refused(tmp_path: Path) -> None:
    """In some sets of X-rays, 0 is absent and -1 is uncertain."""
    source = {"table": {"path": csv(tmp_path, "f,cat,dog", ["1,1,-1", "2,0,1"]), "label": ["cat", "dog"]}}
    with pytest.raises(UserError, match=r"line 2: column 'dog' contains '-1'; .* \(or 1 and -1, if no cell is 0\)"):
        opened(source)


def test_a_single_label_has_one_column_and_one_output(tmp_path: Path) -> None:
    dataset = opened({"table": {"path": csv(tmp_path, "f,ill", ["1,yes", "2,no"]), "label": ["ill"]}})
    assert dataset.num_outputs == 1 and dataset.split("train").labels.tolist() == [[1], [0]]


def test_columns_follow_the_order_of_the_classes_and_their_new_names(tmp_path: Path) -> None:
    path = csv(tmp_path, "f,c,d", ["1,1,0", "2,1,1"])
    source = {"table": {"path": path, "label": ["c", "d"], "label_names": {"c": "cat", "d": "dog"}}}
    dataset = opened(source, classes=["dog", "cat"])
    assert dataset.classes == ["dog", "cat"] and dataset.split("train").labels.tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_lists_of_typed_tables(suffix: str, tmp_path: Path) -> None:
    lists = [["cat", "old"], [], ["dog"], ["cat", "dog", "old"]]
    jsonl = tmp_path / "t.jsonl"
    jsonl.write_text("".join(json.dumps({"f": i, "tags": row}) + "\n" for i, row in enumerate(lists)))
    path = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        duckdb.execute(f"COPY (SELECT * FROM read_json('{jsonl}')) TO '{path}'")
    check(opened({"table": {"path": str(path), "label": "tags"}}))


def write_numbered(folder: Path, lists: list[list[int]]) -> str:
    """Write numbers of labels whose names are in the metadata, as Hugging Face's datasets do."""
    feature = {"_type": "Sequence", "feature": {"_type": "ClassLabel", "names": ["cat", "dog", "old"]}}
    metadata = json.dumps({"info": {"features": {"tags": feature}}})
    rows = ", ".join(f"({i}, {numbers}::BIGINT[])" for i, numbers in enumerate(lists))
    path, extra = folder / "t.parquet", f"KV_METADATA {{huggingface: '{metadata}'}}"
    duckdb.execute(f"COPY (SELECT * FROM (VALUES {rows}) AS t(f, tags)) TO '{path}' (FORMAT parquet, {extra})")
    return str(path)


def test_lists_of_numbers_get_the_names_that_the_file_lists(tmp_path: Path) -> None:
    numbers = [[k for k, mark in enumerate(row) if mark] for row in MARKS]
    check(opened({"table": {"path": write_numbered(tmp_path, numbers), "label": "tags"}}))
    message = refusal({"table": {"path": write_numbered(tmp_path, [[0], [3]]), "label": "tags"}})
    assert "row 1: column 'tags' contains '3', which is not a number from 0 to 2" in message


def test_booleans_of_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    rows = ", ".join(f"({i}, {', '.join('true' if mark else 'false' for mark in row)})" for i, row in enumerate(MARKS))
    duckdb.execute(f"COPY (SELECT * FROM (VALUES {rows}) AS t(f, cat, dog, old)) TO '{path}'")
    check(opened({"table": {"path": str(path), "label": ["cat", "dog", "old"]}}))


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.bool_])
def test_arrays_of_0_and_1(kind: str, dtype: type, tmp_path: Path) -> None:
    arrays = {"x": np.zeros((4, 1), np.float32), "y": np.array(MARKS).astype(dtype)}
    path = tmp_path / f"d.{kind}"
    np.savez(path, **arrays) if kind == "npz" else save_file(arrays, path)
    check(opened({kind: str(path)}, classes=["cat", "dog", "old"]))
    assert opened({kind: str(path)}).classes == ["0", "1", "2"]


CELL_ERRORS = {
    "cat||dog": "line 3: column 'tags' contains an empty label",
    "cat|": "line 3: column 'tags' contains an empty label",
    '"[""cat"", null]"': "line 3: column 'tags' contains an empty label",
    '"[""cat"", 1.5]"': "line 3: column 'tags' contains '1.5', which is neither text nor an integer",
    "\"['cat', 'dog']\"": "is not a JSON list; write",
}


@pytest.mark.parametrize("cell", CELL_ERRORS)
def test_a_cell_that_cannot_be_read_is_refused_with_its_line(cell: str, tmp_path: Path) -> None:
    assert CELL_ERRORS[cell] in refusal(tags(tmp_path, ["cat", cell, "dog"]))


@pytest.mark.parametrize("cell, state", [("2", "contains '2'"), ("", "is empty"), ("-1", "contains '-1'")])
def test_a_column_of_a_label_has_only_0_and_1(cell: str, state: str, tmp_path: Path) -> None:
    path = csv(tmp_path, "f,cat,dog", ["1,1,0", f"2,0,{cell}"])
    message = refusal({"table": {"path": path, "label": ["cat", "dog"]}})
    assert f"line 3: column 'dog' {state}; expected 1 or 0" in message and "1 of 2 rows differ" in message


def test_an_unknown_label_is_refused_with_its_line_and_the_nearest(tmp_path: Path) -> None:
    train, test = tags(tmp_path), tags(tmp_path, ["cat", "dogg"], "test.csv")
    message = refusal(train, test=test)
    assert "data.test: label 'dogg' (line 3) is not one of the 3 labels; did you mean 'dog'" in message


def test_the_line_is_that_of_the_file_also_where_rows_are_chosen(tmp_path: Path) -> None:
    test = {**tags(tmp_path, ["cat", "cat", "dogg"], "test.csv"), "rows": {"every": 2}}
    assert "label 'dogg' (line 4)" in refusal(tags(tmp_path), test=test)


def test_without_any_label_the_manifest_must_list_them(tmp_path: Path) -> None:
    empty = {"table": {"path": csv(tmp_path, "f,tags", ["1,", "2,"]), "label": "tags"}}
    assert "no record has a label; list the labels as 'classes'" in refusal(empty)
    assert opened(empty, classes=["a"]).split("train").labels.tolist() == [[0], [0]]


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (np.zeros(4), None, "expected an array of 0 and 1, (n, K)"),
        (np.zeros((3, 2)), None, "expected an array of 0 and 1, (n, K)"),
        (np.array([[0, 1], [1, 0], [0, 2], [0, 0]]), None, "'y' contains 2 in row 2, column 1; expected 1 for each"),
        (np.full((4, 2), np.nan), None, "'y' contains nan in row 0, column 0"),
        (np.zeros((4, 2)), ["a", "b", "c"], "the array of labels has 2 columns, but there are 3 labels"),
    ],
)
def test_arrays_of_another_form_are_refused(
    labels: np.ndarray, classes: list[str] | None, expected: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 1), np.float32), y=labels)
    sections = {"classes": classes} if classes else {}
    assert expected in refusal({"npz": str(tmp_path / "d.npz")}, **sections)


def test_sources_with_one_label_per_record_are_refused_by_the_manifest(tmp_path: Path) -> None:
    for source in ({"sklearn": "digits"}, {"imagefolder": "data"}, {"webdataset": "a.tar"}):
        assert "needs table, npz or safetensors" in refusal(source)
    path = csv(tmp_path, "f,cat,dog", ["1,1,0"])
    columns = {"table": {"path": path, "label": ["cat", "dog"]}}
    assert "'bird' is only in one of them" in refusal(columns, classes=["cat", "bird", "dog"])
    assert "'dog' is only in one of them" in refusal(columns, test={"table": {"path": path, "label": ["cat"]}})
    assert "an empty cell is a record without labels; omit 'unlabelled'" in refusal(tags(tmp_path, unlabelled="drop"))


@pytest.mark.parametrize(
    ("forget", "selected"),
    [
        ({"classes": ["dog"]}, [2, 3]),
        ({"classes": ["cat", "dog"]}, [0, 2, 3]),
        ({"ids": ["1"]}, [1]),
        ({"classes": ["dog"], "ids": ["1"]}, [1, 2, 3]),
        ({"where": [{"column": "f", "op": ">=", "value": 2}]}, [2, 3]),
    ],
)
def test_a_label_selects_the_records_that_have_it(forget: dict[str, Any], selected: list[int], tmp_path: Path) -> None:
    dataset = opened(tags(tmp_path), test=tags(tmp_path, ["dog|old", "cat", ""], "test.csv"), forget=forget)
    assert dataset.split("forget").rows.tolist() == selected
    assert dataset.split("forget").labels.tolist() == [MARKS[row] for row in selected]
    assert dataset.forget_classes is None
    if "classes" in forget:
        assert dataset.split("test_forget").rows.tolist()[:1] == [0]


def test_an_unknown_label_to_forget_is_refused(tmp_path: Path) -> None:
    assert "forget.classes: no class 'dgo'; did you mean 'dog'" in refusal(tags(tmp_path), forget={"classes": ["dgo"]})
