"""Every cell of a csv is what is written: of unquoted ones without blanks at the ends, of quoted ones all of it."""

import os
from pathlib import Path

import duckdb
import numpy as np
import pytest

from unlearn_cli.data.tables import csv_layout
from unlearn_cli.data.tables.csv_layout import inspect_csv, split_rows
from unlearn_cli.data.tables.equal_names import EQUAL_NAMES
from unlearn_cli.data.tables.locked_connection import connect
from unlearn_cli.data.tables.table_file import UNENDED, TableFile
from unlearn_cli.errors import UserError

QUOTED = ["a", "b", '"', " ", ",", "\n", "é", "7", "\t", "\r\n"]
AS_WRITTEN = ["007", "1e5", "yes", "T", "true", "0x1f", "2013-1-1", "NULL", "1.0", "1", "#a", "nan", "'a'", "\\N"]
BARE = ["a", "b", " ", "7", '"', "é", "\t", "'", "#", "\\"]


def made_up(seed: int) -> tuple[str, list[list[str]]]:
    """Return the text of a csv, and its cells by the rule."""
    random = np.random.default_rng(seed)
    width, line_end = int(random.integers(1, 4)), ["\n", "\r\n", "\r"][random.integers(0, 3)]
    lines, rows = [",".join(f"c{i}" for i in range(width))], []
    for _ in range(random.integers(0, 5)):
        cells, row = [], []
        for _ in range(width):
            text = "".join(random.choice(QUOTED if (quoted := random.random() < 0.4) else BARE, random.integers(0, 5)))
            if quoted:
                before, after = (["", "", " "][random.integers(0, 3)] for _ in range(2))
                cells.append(before + '"' + text.replace('"', '""') + '"' + after)
            else:
                text = f"x{text}" if text.strip(" \t")[:1] in ("", '"') else text
                cells.append(text)
                text = text.strip(" \t")
            row.append(text)
        lines += [",".join(cells), *([["", " "][random.integers(0, 2)]] if random.random() < 0.1 else [])]
        rows.append(row)
    return line_end.join(lines) + (line_end if random.random() < 0.6 else ""), rows


@pytest.mark.parametrize("block", [3, 64, 2**22])
def test_cells_are_what_is_written_however_the_file_is_read(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_layout, "BLOCK", block)
    paths, plain = [tmp_path / f"{seed}.csv" for seed in range(80)], 0
    connection = connect(paths)  # one for all files: it takes longer to open than a file to read
    for seed, path in enumerate(paths):
        text, rows = made_up(seed)
        path.write_bytes(text.encode())
        connection.execute("DROP TABLE IF EXISTS cells")
        layout = inspect_csv(path, "t")
        assert [cells for _, cells in layout.rows()] == rows
        file = TableFile(path, "data.train", connection=connection)
        stored = [file.text(column, gaps=True).tolist() for column in layout.header]
        assert [list(row) for row in zip(*stored, strict=True)] == rows, text
        plain += layout.plain
    assert 5 < plain < 75, "both ways are tried"


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        (b" Mexico , ? ", ["Mexico", "?"]),
        (b'" Mexico "," ? "', [" Mexico ", " ? "]),
        (b' "x" ,"a ""b"" c"', ["x", 'a "b" c']),
        (b'"a\nb",\t7\t', ["a\nb", "7"]),
        *((f"{a},{b}".encode(), [a, b]) for a, b in zip(AS_WRITTEN[::2], AS_WRITTEN[1::2], strict=True)),
    ],
)
def test_a_cell_keeps_what_is_written(line: bytes, cells: list[str], tmp_path: Path) -> None:
    for start, end in ((b"", b"\n"), (b"\xef\xbb\xbf", b"\r\n"), (b"", b"")):
        (tmp_path / "t.csv").write_bytes(start + b"a,b" + (end or b"\n") + line + end)
        file = TableFile(tmp_path / "t.csv", "data.train")
        assert [file.text(column).tolist()[0] for column in ("a", "b")] == cells


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n3\n", r":3: the row has 1 cells, but the first line names 2"),
        (b"a,b\n1,2\n3,4,5\n", r":3: the row has 3 cells"),
        (b"a,b\n1,2,\n3,4,\n", r":2: the row has 3 cells"),
        (b'a,b\n1,"2"\n3,4,\n', r":3: the row has 3 cells"),
        (b"a,b\n1\n3,4,5\n", r":2: "),
        (b'a,b\n"1",2\n"3"\n', r":3: "),
        (b'a,b\n1,"x"y\n', r":2: .*quote"),
        (b'a,b\n1,2\n 3,"x\n', r":3: "),
        (b'a,b\n1, "x\n', r":2: a quote is never closed"),
        (b"a,b\n1,\xe9\n", r":2: is not UTF-8 text \(byte 0xE9\)"),
        (b"a,b\n1,x\0\n", r":2: contains a NUL"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16 text"),
        (b"", "is empty; expected a first line"),
    ],
)
def test_what_cannot_be_read_as_it_is_written_is_refused_with_its_line(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"t\.csv{message}" if message[0] == ":" else message):
        file = TableFile(tmp_path / "t.csv", "data.train")
        for column in file.types:
            file.text(column, gaps=True)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_that_of_the_first_line(delimiter: str, tmp_path: Path) -> None:
    text = f'"x,y;z"{delimiter}b{delimiter}c\n1{delimiter}" 2"{delimiter}3,4;5 \n'
    (tmp_path / "t.csv").write_text(text.replace("3,4;5", "3"))
    file = TableFile(tmp_path / "t.csv", "data.train")
    assert [file.text(column).tolist() for column in ("x,y;z", "b", "c")] == [["1"], [" 2"], ["3"]]


def test_columns_that_differ_in_case_only_are_two(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,A,a_1\n1,2,3\n")
    file = TableFile(tmp_path / "t.csv", "data.train")
    assert [file.text(column).tolist() for column in ("a", "A", "a_1")] == [["1"], ["2"], ["3"]]
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n{"A": 2}\n')
    with pytest.raises(UserError, match=r"two columns '[aA]' differ only in case"):
        TableFile(tmp_path / "t.jsonl", "data.train")


def test_columns_of_equal_names_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,a,A\n1,2,3,4\n")
    file = TableFile(tmp_path / "t.csv", "data.train")
    assert list(file.types) == ["b", "A"] and file.counts[EQUAL_NAMES] == 2
    with pytest.raises(UserError, match="several columns are named 'a'; rename them"):
        file.column("a")


def test_columns_of_equal_names_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    columns = "{'x': 1, 'y': {'a': 2}} AS s, 3 AS a, 4 AS a_1, 5 AS b"
    duckdb.sql(f"COPY (SELECT {columns}) TO '{path}'")
    # DuckDB writes no equal names, and the names of two columns have the length of those that they get here
    renamed = path.read_bytes().replace(b"\x03a_1", b"\x03B_1").replace(b"\x01b", b"\x01A")
    path.write_bytes(renamed)
    file = TableFile(path, "data.train")
    assert list(file.types) == ["s", "B_1"] and file.counts[EQUAL_NAMES] == 2
    assert file.column("B_1").tolist() == [4]
    with pytest.raises(UserError, match=r"several columns are named 'a' \(except for case\); rename them"):
        file.column("a")


def test_a_column_without_a_name_is_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",a,b\n0,1,2\n1,3,4\n")
    file = TableFile(tmp_path / "t.csv", "data.train")
    assert list(file.types) == ["a", "b"]
    assert file.counts == {"columns without a name, left out": 1, UNENDED: 0, EQUAL_NAMES: 0}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block", [2, 2**22])
def test_a_cut_within_the_last_cell_is_counted(
    block: int, line_end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_layout, "BLOCK", block)
    path, whole = tmp_path / "t.csv", line_end.join(["a,b", "1,cat", "2,dog", ""])
    for text, unended in ((whole, 0), (whole + "  ", 0), (whole.rstrip(), 1), (whole.rstrip()[:-1], 1)):
        path.write_bytes(text.encode())
        assert TableFile(path, "data.train").counts[UNENDED] == unended, text
    path.write_bytes(whole.rstrip().replace("dog", '"dog"').encode())  # a quote that closes shows a complete cell
    assert TableFile(path, "data.train").counts[UNENDED] == 0


@pytest.mark.parametrize(
    "name", ["a[1].csv", "a*?.csv", "a'b\"c.csv", "a\nb.csv", "k=5/t.csv", "x[a-z]/{b}.jsonl", "p[1].parquet"]
)
def test_a_path_means_the_file_of_this_name(name: str, tmp_path: Path) -> None:

    path = tmp_path / name
    for text, target in (("x", path), ("y", tmp_path / "a1.csv"), ("y", tmp_path / "p1.parquet")):
        target.parent.mkdir(exist_ok=True)
        if target.suffix == ".parquet":
            duckdb.execute(f"COPY (SELECT '{text}' AS v) TO '{tmp_path / 'new.parquet'}' (FORMAT parquet)")
            (tmp_path / "new.parquet").rename(target)
        else:
            target.write_text(f'{{"v": "{text}"}}\n' if target.suffix == ".jsonl" else f"v,w\n{text},1\n")
    file = TableFile(path, "data.train")
    assert file.text("v").tolist() == ["x"]
    assert "k" not in file.types


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    os.mkfifo(tmp_path / "b.csv")
    for name, message in (("a.csv", "is a folder"), ("b.csv", "is a pipe"), ("c.csv", "no such file")):
        with pytest.raises(UserError, match=message):
            TableFile(tmp_path / name, "data.train")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv"))
    odd.write_text("a\n1\n")
    with pytest.raises(UserError, match="is not UTF-8 text; rename"):
        TableFile(odd, "data.train")


def test_a_column_that_is_both_id_and_image_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("file,y\na.png,cat\nb.png,dog\n")
    file, queries = TableFile(tmp_path / "t.csv", "data.train"), list[str]()
    run = file.run
    monkeypatch.setattr(file, "run", lambda command, values=(): queries.append(command) or run(command, values))
    assert file.text("file").tolist() == file.column("file").tolist() == ["a.png", "b.png"]
    assert len(queries) == 1
    assert file.text("y").tolist() == ["cat", "dog"] and file.text("file", gaps=True).tolist() == ["a.png", "b.png"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_text_without_quotes_is_split_like_text_with_quotes(delimiter: str) -> None:
    random = np.random.default_rng(0)
    letters = ["a", " ", "\t", "\r", "\n", "\r\n", "\x0b", "\u2028", ",", ";", "|"]
    for _ in range(200):
        text = "".join(random.choice(letters, 20)) + "\n"
        *rows, quoted = split_rows(f'{text}"a"', delimiter)
        assert list(split_rows(text, delimiter)) == rows
        assert quoted[1] == ["a"]
