"""How columns become features, by the number of them that a network takes; and how the text of a table is written."""

from pathlib import Path

import pytest

from unlearn_cli.data.layouts.features import FeatureColumns, choose_readings, describe_readings
from unlearn_cli.data.layouts.layout import DataLayout
from unlearn_cli.data.layouts.recognise import recognise
from unlearn_cli.data.layouts.table_text import find_text_keys, has_header
from unlearn_cli.data.layouts.tables import fit_features

COLUMNS = FeatureColumns(
    order=["person", "colour", "a", "size", "b", "day"],
    numbers=["a", "b"],
    numbers_with_gaps=[],
    categories={"colour": ["blue", "green", "red"], "size": ["", "L", "S"]},
    dates={"day": ""},
    ignored=["person"],
)
ALL = {"colour": ["blue", "green", "red"]}


@pytest.mark.parametrize(("inputs", "keys"), [
    (2 + 4 + 3 + 3, {"one_hot": {**ALL, "size": ["L", "S"]}, "date_parts": {"day": ["year", "month", "day"]},
                     "ignore": ["person"]}),
    (2 + 3 + 3, {"one_hot": {"colour": ["blue", "green"], "size": ["L", "S"]}, "ignore": ["person", "day"]}),
    (2 + 1 + 1, {"ordinal": {**ALL, "size": ["L", "S"]}, "ignore": ["person", "day"]}),
    (2, {"ignore": ["person", "colour", "size", "day"]}),
])  # fmt: skip
def test_the_reading_has_the_number_of_inputs(inputs: int, keys: dict[str, object]) -> None:
    readings = choose_readings(COLUMNS, [inputs])
    assert keys in [reading.keys for reading in readings]
    assert {reading.size for reading in readings} == {inputs}


def test_encoded_columns_may_follow_all_numbers() -> None:
    names = [reading.keys.get("features") for reading in choose_readings(COLUMNS, [8])]
    assert names[:2] == [None, ["a", "b"]]


def test_recorded_categories_decide_the_number_of_features() -> None:
    recorded = {"colour": ("blue", "red"), "size": ("", "L")}
    (reading, *_) = choose_readings(COLUMNS, [2 + 3 + 3], recorded)
    assert reading.keys == {"one_hot": ["colour", "size"], "ignore": ["person", "day"]} and reading.is_exact
    assert choose_readings(COLUMNS, [2 + 4 + 30], recorded) == []


def test_a_text_that_was_recorded_as_an_empty_cell_is_missing() -> None:
    columns = FeatureColumns(["a", "work"], ["a"], [], {"work": ["?", "city", "state"]}, {})
    (reading, *_) = choose_readings(columns, [1 + 4], {"work": ("", "city", "state")})
    assert reading.missing == ["?"]


def test_what_the_columns_can_give() -> None:
    text = describe_readings(COLUMNS)
    sizes = {"one_hot": 9, "one column per category": 8, "ordinal": 4, "only the numbers": 2}
    assert text == ", ".join(f"{size} features with {name}" for name, size in sizes.items())


def read(path: Path, text: str | bytes) -> DataLayout:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return recognise(path)


def test_a_table_of_numbers_categories_dates_and_gaps(tmp_path: Path) -> None:
    rows = [
        f"{n}.5,{'xyz'[n % 3]},2020-01-{n % 20 + 1:02d},{'NA' if n == 3 else n % 4},id{n},{n % 2}" for n in range(30)
    ]
    layout = read(tmp_path / "t.csv", "a,kind,day,b,code,label\n" + "\n".join(rows) + "\n")
    assert layout.features is not None
    assert (layout.features.numbers, layout.features.numbers_with_gaps) == (["a"], ["b"])
    assert (dict(layout.features.categories), dict(layout.features.dates)) == ({"kind": ["x", "y", "z"]}, {"day": ""})
    table = layout.sources["train"]["table"]
    assert table["missing"] == ["NA"] and table["ignore"] == ["b", "code"] and layout.shape == [1 + 4 + 3]
    (fitted, *_) = fit_features(layout, [2 + 4 + 3])
    assert fitted.has_gaps and fitted.sources["test"]["table"]["one_hot"] == {"kind": ["x", "y", "z"]}
    assert fitted.sources["train"]["table"]["missing"] == ["NA"] and "data.train" in fitted.guesses


def test_dates_in_other_formats(tmp_path: Path) -> None:
    rows = [f"{n % 28 + 1}.{n % 12 + 1:02d}.2021,{n}.5,{n % 2}" for n in range(40)]
    layout = read(tmp_path / "t.csv", "day,a,label\n" + "\n".join(rows) + "\n")
    assert layout.sources["train"]["dates"] == {"day": "%d.%m.%Y"}


@pytest.mark.parametrize(("text", "keys"), [
    ("a,b\n1,2\n", {}),
    ("39, State-gov, 1\n50, Private, 0\n", {"header": False}),
    ("0,1,2\n5,6,7\n8,9,9\n", {}),
    ("5 1.5  a\n6 2.5  b\n", {"delimiter": "whitespace", "header": False}),
    ("a;b\n1;2\n", {}),
    ("name,b\nM\xfcller,2\n".encode("cp1252"), {"encoding": "cp1252"}),
    ("a,b\n1,2\n".encode("utf-16"), {"encoding": "utf-16"}),
    ("\ufeffa,b\n1,2\n", {}),
])  # fmt: skip
def test_how_the_text_is_written(text: str | bytes, keys: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    assert find_text_keys(path) == keys


def test_rows_of_only_text_have_a_header() -> None:
    assert has_header([["a", "b"], ["c", "d"]]) and has_header([["a"]]) and has_header([])


def test_files_of_splits_share_the_columns_of_train(tmp_path: Path) -> None:
    for name, cells in (("train", "abc"), ("test", "ab")):
        rows = [f"{n}.5,{cells[n % len(cells)]},{n % 2}" for n in range(12)]
        (tmp_path / f"{name}.csv").write_text("x,kind,label\n" + "\n".join(rows) + "\n")
    sources = recognise(tmp_path).sources
    assert sources["test"]["table"] == {**sources["train"]["table"], "path": tmp_path / "test.csv"}


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    rows = [f"{n}.5,{'' if n == 3 else n % 2}" for n in range(30)]
    layout = read(tmp_path / "t.csv", "x,label\n" + "\n".join(rows) + "\n")
    assert layout.classes == ["0", "1"] and layout.sources["train"]["table"]["unlabelled"] == "drop"
    assert layout.remarks == ["1 row without a label is left out"]


def test_an_index_of_pandas_is_no_feature_and_nan_is_an_empty_cell(tmp_path: Path) -> None:
    rows = [f"{n},{n}.5,{'nan' if n == 3 else n % 2}" for n in range(30)]
    layout = read(tmp_path / "t.csv", "Unnamed: 0,x,label\n" + "\n".join(rows) + "\n")
    table = layout.sources["train"]["table"]
    assert (layout.shape, layout.classes) == ([1], ["0", "1"])
    assert (table["missing"], table["unlabelled"]) == (["nan"], "drop") and "ignore" not in table


def test_typed_classes_are_named_as_the_manifest_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f'{{"x": {n}.5, "label": {n % 2}.0}}\n' for n in range(30)))
    assert recognise(path).classes == ["0", "1"]
