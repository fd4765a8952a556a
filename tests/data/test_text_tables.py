"""Tables of text as people have them: suffixes, compression, delimiters, encodings, headers, forms of labels."""

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.test_sources import opened, samples
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest

ROWS = [("1.5", "20", "b"), ("2", "-3", "a"), ("0", "4", "a")]
NUMBERS = [[1.5, 20.0], [2.0, -3.0], [0.0, 4.0]]


def write_rows(path: Path, delimiter: str, *, header: str = "f,g,y", encoding: str = "utf-8", before: str = "") -> Path:
    lines = [header.replace(",", delimiter)] if header else []
    text = before + "\n".join([*lines, *(delimiter.join(row) for row in ROWS)]) + "\n"
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def check(path: Path, label: str = "y", **keys: Any) -> None:
    dataset = opened({"table": {"path": str(path), "label": label, **keys}}, [2])
    assert samples(dataset.split("train")).tolist() == NUMBERS
    assert dataset.classes == ["a", "b"]
    assert dataset.split("train").labels.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [
        ("t.tsv", "\t"), ("t.txt", "\t"), ("t.txt", ";"), ("t.data", ","), ("t.data", ", "), ("t.csv", "|"),
        ("t.csv.gz", ","), ("t.tsv.gz", "\t"), ("T.CSV.GZ", ";"),
    ],
)  # fmt: skip
def test_the_delimiter_is_detected_in_every_kind_of_text_table(name: str, delimiter: str, tmp_path: Path) -> None:
    check(write_rows(tmp_path / name.lower() if name.isupper() else tmp_path / name, delimiter))


@pytest.mark.parametrize(
    ("cells", "keys"),
    [
        (("1234,5", "-,5", "2"), {"decimal": ","}),
        (("1.234,5", "-0,5", "2"), {"decimal": ",", "thousands": "."}),
        (("1,234.5", "-0.5", "2"), {"thousands": ","}),
        (("1'234.5", "-.5", "2"), {"thousands": "'"}),
        (("$1,234.5", "-$0.5", "$ 2"), {"thousands": ",", "units": ["$"]}),
        (("1234.5%", "$-0.5", "2 %"), {"units": ["%", "$"]}),
        (("1.234,5\u00a0€", "-,5 €", "2"), {"decimal": ",", "thousands": ".", "units": ["€"]}),
        (("1234.5 kg", "-0.5kg", "2g"), {"units": ["g", "kg"]}),
        (("1.2345e3e", "-0.5", "2e0"), {"units": ["e"]}),
    ],
)
def test_marks_within_numbers(cells: tuple[str, ...], keys: dict[str, Any], tmp_path: Path) -> None:
    rows = [f"{cell};{label}" for cell, label in zip(cells, ("a,b", "a", "a"), strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["f;y", *rows]) + "\n")
    table, forget = {"path": str(tmp_path / "t.csv"), "label": "y", **keys}, {"column": "f", "op": ">", "value": 2.5}
    dataset = opened({"table": table}, [1], forget={"where": [forget]})
    assert samples(dataset.split("train")).tolist() == [[1234.5], [-0.5], [2.0]] and dataset.classes == ["a", "a,b"]
    assert dataset.split("forget").rows.tolist() == [0]


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("$1.50", "fix the cell, or set units: ['$'], list"),
        ("12 %", "set units: ['%'], list"),
        ("€ 1.234,50", "set units: ['€'] and decimal: ',' and thousands: '.', list"),
        ("1 234,5", "set decimal: ',' and thousands: ' ', list"),
        ("1'234", 'set thousands: "\'", list'),
        ("5k", "fix the cell, list"),  # 5000
        ("<5", "fix the cell, list"),
        ("(5)", "fix the cell, list"),  # -5
        ("\u22125", "fix the cell, list"),  # another minus
        ("5\u200b", "fix the cell, list"),
        ("10:30", "fix the cell, list"),
    ],
)
def test_keys_that_make_a_cell_a_number_are_named(cell: str, advice: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"f;y\n{cell};a\n2;b\n")
    with pytest.raises(UserError, match=re.escape("is not a number; ") + f".*{re.escape(advice)}"):
        opened({"table": {"path": str(tmp_path / "t.csv"), "label": "y"}}, [1])
    numeric = {"table": {"path": str(tmp_path / "t.csv"), "label": "f", "features": ["y"]}}
    with pytest.raises(UserError, match=re.escape(advice.partition(", list")[0])):
        opened(numeric, [1], task="regression")


@pytest.mark.parametrize("unit", ["", " $", "5", "-", ".", "\u2212", "<", "("])
def test_units_have_no_digits_signs_or_blanks_at_the_ends(unit: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a unit next to numbers"):
        opened({"table": {"path": str(tmp_path / "t.csv"), "label": "y", "units": [unit]}}, [1])
    with pytest.raises(ValueError, match="a mark of 'units' is also that of"):
        opened({"table": {"path": str(tmp_path / "t.csv"), "label": "y", "units": ["'"], "thousands": "'"}}, [1])


def test_numbers_with_wrong_groups_are_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("f;y\n1.23,5;a\n2;b\n")
    table = {"path": str(tmp_path / "t.csv"), "label": "y", "decimal": ",", "thousands": "."}
    with pytest.raises(UserError, match=r"t\.csv:2: column 'f' contains text: '1.23,5' is not a number"):
        opened({"table": table}, [1])
    with pytest.raises(ValueError, match="'decimal' and 'thousands' are both ','"):
        opened({"table": {**table, "thousands": ","}}, [1])


def test_a_tsv_may_have_more_commas_than_tabs(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("a,b,c\ty\n1\tx\n2\tz\n", encoding="utf-8")
    dataset = opened({"table": {"path": str(tmp_path / "t.tsv"), "label": "y"}}, [1])
    assert dataset.classes == ["x", "z"]


@pytest.mark.parametrize("delimiter", [" ", "^", ":", "whitespace", "]"])
def test_the_manifest_may_name_the_delimiter(delimiter: str, tmp_path: Path) -> None:
    written = "  \t " if delimiter == "whitespace" else delimiter
    check(write_rows(tmp_path / "t.txt", written), delimiter=delimiter)


def test_columns_separated_by_blanks_may_have_leading_blanks_and_quotes(tmp_path: Path) -> None:
    (tmp_path / "t.data").write_text('  18.0   307.0\t"chevrolet malibu"  \n 9.5  1.0  "b"\n', encoding="utf-8")
    source = {
        "path": str(tmp_path / "t.data"),
        "label": "name",
        "delimiter": "whitespace",
        "header": ["f", "g", "name"],
    }
    dataset = opened({"table": source}, [2])
    assert dataset.classes == ["b", "chevrolet malibu"]
    assert samples(dataset.split("train")).tolist() == [[18.0, 307.0], [9.5, 1.0]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "cp1252", "shift_jis"])
def test_the_manifest_may_name_the_encoding(encoding: str, tmp_path: Path) -> None:
    check(write_rows(tmp_path / "t.csv.gz", ",", encoding=encoding), encoding=encoding)
    (tmp_path / "t.csv").write_bytes("f,y\n1,é\n2,b\n".encode("cp1252"))
    dataset = opened({"table": {"path": str(tmp_path / "t.csv"), "label": "y", "encoding": "cp1252"}}, [1])
    assert dataset.classes == ["b", "é"]


@pytest.mark.parametrize("delimiter", [",", ", "])
def test_a_file_without_a_header_has_numbered_columns_or_names_of_the_manifest(delimiter: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "t.data", delimiter, header="")
    check(path, "column_2", header=False)
    check(path, "y", header=["f", "g", "y"])
    check(path, "07", header=["f", "1e5", "07"])


def test_the_lines_before_a_table_can_be_skipped(tmp_path: Path) -> None:
    check(write_rows(tmp_path / "t.data", ", ", header="", before="|1x3 Cross; validator\n"), "column_2",
          header=False, skip_lines=1)  # fmt: skip
    path = write_rows(tmp_path / "t.csv", ";", before="made by\r\nsome, tool\r\n")
    check(path, skip_lines=2)
    path.write_text(path.read_text(encoding="utf-8") + "1;2\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"t\.csv:7: the row has 2 cells, but the first line names 3 columns"):
        check(path, skip_lines=2)


def test_an_index_without_a_name_is_not_a_feature_and_is_counted(tmp_path: Path) -> None:
    for name in ("", "Unnamed: 0"):
        (tmp_path / "t.csv").write_text(f"{name},f,y\n0,5,a\n1,6,b\n", encoding="utf-8")
        dataset = opened({"table": {"path": str(tmp_path / "t.csv"), "label": "y"}}, [1])
        assert samples(dataset.split("train")).tolist() == [[5.0], [6.0]]
        assert [notice.count for notice in dataset.notices] == [1]
    with_id = opened({"table": {"path": str(tmp_path / "t.csv"), "label": "y", "id": "Unnamed: 0"}}, [1])
    assert with_id.split("train").ids == ["0", "1"] and not with_id.notices
    named = opened({"table": {"path": str(tmp_path / "t.csv"), "label": "y", "features": ["Unnamed: 0"]}}, [1])
    assert samples(named.split("train")).tolist() == [[0.0], [1.0]]


def test_labels_may_have_other_names(tmp_path: Path) -> None:
    (tmp_path / "a.data").write_text("1, <=50K\n2, >50K\n", encoding="utf-8")
    (tmp_path / "a.test").write_text("|1x3 Cross validator\n1, <=50K.\n2, >50K.\n", encoding="utf-8")
    (tmp_path / "a.test").rename(tmp_path / "test.data")
    shared = {"label": "column_1", "header": False}
    names = {"<=50K.": "<=50K", ">50K.": ">50K"}
    test = {"table": {"path": str(tmp_path / "test.data"), "skip_lines": 1, "label_names": names, **shared}}
    dataset = opened({"table": {"path": str(tmp_path / "a.data"), **shared}}, [1], test=test)
    assert dataset.classes == ["<=50K", ">50K"]
    assert dataset.split("test").labels.tolist() == [0, 1]


def test_labels_that_are_numbers_may_have_names(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("f,y\n1,0\n2,1\n3,1\n", encoding="utf-8")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "label_names": {"0": "cat", "1": "dog"}}}
    dataset = opened(source, [1], forget={"classes": ["cat"]})
    assert dataset.classes == ["cat", "dog"]
    assert dataset.split("forget").rows.tolist() == [0]


def test_one_column_per_class_gives_the_label(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("f,zebra,ant\n1,0,1\n2,1,0\n3,0.0,1.0\n", encoding="utf-8")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": ["zebra", "ant"]}}
    dataset = opened(source, [1])
    assert dataset.classes == ["zebra", "ant"], "the order of the columns"
    assert dataset.split("train").labels.tolist() == [1, 0, 1]
    assert samples(dataset.split("train")).tolist() == [[1.0], [2.0], [3.0]]
    with (tmp_path / "t.csv").open("a", encoding="utf-8") as file:
        file.write("4,1,1\n")
    with pytest.raises(UserError, match=r"line 5: expected one 1 .* 1 of 4 rows differ"):
        opened(source, [1])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"delimiter": ";;"}, "expected one character"),
        ({"delimiter": '"'}, "expected one character"),
        ({"encoding": "utf-9"}, "is not an encoding"),
        ({"encoding": "punycode"}, "is not an encoding"),
        ({"header": ["a", "a"]}, "lists a name twice"),
        ({"header": []}, "at least 1 item"),
        ({"skip_lines": -1}, "greater than or equal to 0"),
        ({"label": ["a", "a"]}, "lists a column twice"),
    ],
)
def test_a_wrong_key_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        opened({"table": {"path": "t.csv", "label": "y", **keys}}, [2])


@pytest.mark.parametrize("key", ["delimiter", "encoding", "header", "skip_lines", "missing"])
def test_keys_of_text_are_refused_for_other_tables(key: str) -> None:
    values = {"delimiter": ";", "encoding": "utf-16", "header": False, "skip_lines": 1, "missing": ["NA"]}
    with pytest.raises(ValueError, match=f"'{key}' is only for csv"):
        opened({"table": {"path": "t.parquet", "label": "y", key: values[key]}}, [2])


def test_damage_is_told_in_one_line(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "t.csv.gz", ",")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UserError, match="the gzip compression is damaged"):
        check(path)
    path.write_bytes(b"f,g,y\n")
    with pytest.raises(UserError, match=r"is not compressed with gzip; remove \.gz from its name"):
        check(path)
    (tmp_path / "t.csv").write_bytes(b"f,y\n1,\x81\n")
    with pytest.raises(UserError, match="is not text in the encoding cp1252"):
        check(tmp_path / "t.csv", encoding="cp1252")
    with pytest.raises(UserError, match="encoding: cp1252"):
        check(tmp_path / "t.csv")
    with pytest.raises(UserError, match=r"has one column; set its delimiter, such as delimiter: whitespace"):
        check(write_rows(tmp_path / "t.txt", "^"))


def test_unused_keys_do_not_change_the_digest_of_a_manifest() -> None:
    section = {"path": "t.csv", "label": "y"}
    digests = set()
    for more in ({}, {"encoding": "utf-8", "skip_lines": 0}, {"skip_lines": 1}):
        text = {"version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [2]},
                "data": {"train": {"table": {**section, **more}}}}  # fmt: skip
        digests.add(Manifest.model_validate(text).digest)
    assert len(digests) == 2


def test_large_text_is_read_alike_with_and_without_compression(tmp_path: Path) -> None:
    text = "f;y\n" + "".join(f"{i};{i % 2}\n" for i in range(3000))
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    (tmp_path / "t.txt.gz").write_bytes(gzip.compress(text.encode()))
    plain, packed = (
        samples(opened({"table": {"path": str(tmp_path / name), "label": "y"}}, [1]).split("train"))
        for name in ("t.txt", "t.txt.gz")
    )
    assert np.array_equal(plain, packed) and len(plain) == 3000


@pytest.mark.parametrize("delimiter", [" ", ","])
def test_names_of_rows_as_r_writes_them_are_left_out(delimiter: str, tmp_path: Path) -> None:
    rows = ['"f" "y"', *(f'"{number}" {number / 2} "{"ab"[number % 2]}"' for number in range(30))]
    (tmp_path / "t.txt").write_text("\n".join(rows).replace(" ", delimiter) + "\n", encoding="utf-8")
    keys = {"delimiter": "whitespace"} if delimiter == " " else {}
    dataset = opened({"table": {"path": str(tmp_path / "t.txt"), "label": "y", **keys}}, [1])
    assert samples(dataset.split("train"))[:3].tolist() == [[0.0], [0.5], [1.0]]
    assert [notice.count for notice in dataset.notices] == [1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"PK\x03\x04\0\0", "is a zip archive or an Excel file; unpack it, or export the table as csv"),
        ("t.csv", gzip.compress(b"f,y\n", mtime=0), "is compressed with gzip; its name must end in .gz"),
        ("t.csv", b"PAR1\x15\x04", "is a parquet file; its name must end in .parquet"),
        ("t.txt", b"\x80\x04\x95\0", "is a pickle, which could run code; export the table as csv or parquet"),
        ("t.csv", b"\n<!DOCTYPE HTML><html>", "is a web page; fetch the file again"),
        ("t.csv", b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS, not the file itself"),
        ("t.csv", b' [{"f": 1}]', "is a JSON array; write one object per line into a file .jsonl"),
        ("t.jsonl", b'[\n{"f": 1}]', "is a JSON array; write one object per line into a file .jsonl"),
        ("t.parquet", b"<html>", "is a web page; fetch the file again"),
        ("t.parquet", b"x" * 9, "is not a parquet file; fetch or write it again"),
        ("t.parquet", b"PAR1" + b"x" * 9, "is cut off; fetch or write it again"),
        ("t.parquet", b"", "is empty; name a file with rows"),
        ("t.jsonl", b"", "is empty; name a file with rows"),
        ("t.jsonl", b"1\n2\n", "its first line is not a JSON object; expected one object per line"),
        ("t.zip", b"PK", "unknown kind of table; .*; unpack the archive, and name its folder or file"),
        ("t.json", b"[]", "unknown kind of table; .*; write one object per line into a file .jsonl"),
        ("t.xlsx", b"PK", "unknown kind of table; .*; export the table as csv"),
    ],
)
def test_files_that_are_not_what_their_name_says(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"data.train: .*{re.escape(name)}: {message}"):
        opened({"table": {"path": str(tmp_path / name), "label": "y"}}, [1])


@pytest.mark.parametrize("header", ["PAR1,y", "BZh,y", "[f],y", "%PDF,y"])
def test_text_that_begins_like_another_format(header: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n1,a\n2,b\n")
    assert opened({"table": {"path": str(tmp_path / "t.csv"), "label": "y"}}, [1]).classes == ["a", "b"]


@pytest.mark.parametrize("comment", ["# made by a tool, on a day", "sep=,"])
def test_a_comment_before_the_table_is_named(comment: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{comment}\nf,y\n1,a\n2,b\n")
    with pytest.raises(UserError, match="the first line looks like a comment; if it is, set skip_lines: 1"):
        opened({"table": {"path": str(path), "label": "y"}}, [1])
    assert opened({"table": {"path": str(path), "label": "y", "skip_lines": 1}}, [1]).classes == ["a", "b"]


def test_signs_that_are_not_visible_are_shown(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("f,y\n5\u00a0,a\n2,b\n")
    with pytest.raises(UserError, match=re.escape("text: '5\\xa0' is not a number")):
        opened({"table": {"path": str(tmp_path / "t.csv"), "label": "y"}}, [1])


def test_labels_that_stand_for_an_empty_cell_are_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("f,y\n1,a\n2,NaN\n3,b\n4,NaN\n")
    table = {"path": str(tmp_path / "t.csv"), "label": "y"}
    (notice,) = opened({"table": table}, [1]).notices
    assert notice.kind.startswith("labels such as NaN or null, which are a class") and notice.count == 2
    with pytest.raises(UserError, match="or omit rows without a label with unlabelled: drop"):
        opened({"table": {**table, "missing": ["NaN"]}}, [1])
    dataset = opened({"table": {**table, "missing": ["NaN"], "unlabelled": "drop"}}, [1])
    assert (dataset.classes, dataset.notices) == (["a", "b"], ())
