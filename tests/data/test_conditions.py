"""Conditions compare numbers with numbers, moments with moments and text with text; nothing by a wrong order."""

import gzip
import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from pydantic import ValidationError

from tests.batch.test_resolve import Asked, described, resolved
from tests.data.test_sources import opened, samples
from tests.forked import exit_code_of_fork
from unlearn_cli.data.dataset import open_dataset, open_records
from unlearn_cli.data.tables.locked_connection import connect
from unlearn_cli.errors import UserError
from unlearn_cli.schema import strict_yaml
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.sources import Condition

DATES = ["31-12-2002 01:00", "01-06-2003 00:00", "15-07-2003 12:30", "02-01-2004 00:00"]
ISO = ["2002-12-31T01:00", "2003-06-01T00:00", "2003-07-15T12:30", "2004-01-02T00:00"]
FORMAT = "%d-%m-%Y %H:%M"
KINDS = ["csv", "jsonl", "parquet", "npz"]


def source_of(kind: str, folder: Path, cells: list[Any], **more: Any) -> dict[str, Any]:
    """Write a source whose column `when` has these cells."""
    n = len(cells)
    if kind == "npz":
        np.savez(folder / "t.npz", x=np.zeros((n, 1), np.float32), y=np.arange(n) % 2, when=np.array(cells),
                 id=[f"r{i}" for i in range(n)])  # fmt: skip
        return {"npz": {"path": str(folder / "t.npz"), "ids": "id"}, **more}
    path, csv = folder / f"t.{kind}", folder / "t.csv"
    csv.write_text("id,y,x,when\n" + "".join(f'r{i},{i % 2},0.5,"{cell}"\n' for i, cell in enumerate(cells)))
    if kind != "csv":
        form = {"jsonl": "FORMAT json", "parquet": "FORMAT parquet"}[kind]
        duckdb.execute(f"COPY (SELECT * FROM read_csv('{csv}', types={{'when': 'VARCHAR'}})) TO '{path}' ({form})")
    return {"table": {"path": str(path), "label": "y", "id": "id", "features": ["x"]}, **more}


def condition(op: str, value: str) -> Condition:
    return Condition.model_validate(strict_yaml.parse(f"{{column: when, op: '{op}', value: {value}}}", Path("a")).raw)


def chosen(source: dict[str, Any], *conditions: Condition) -> list[int]:
    manifest = described(source)
    assert manifest.data is not None
    return np.flatnonzero(
        open_records(manifest.data.train, "data.train", manifest.data_sections).where(list(conditions))
    ).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_text_that_has_no_order_is_refused_and_its_format_named(kind: str, tmp_path: Path) -> None:
    source = source_of(kind, tmp_path, DATES)
    advice = r"'01-06-2003 00:00', which looks like %d-%m-%Y %H:%M; .*data\.train\.dates: {when: \"%d-%m-%Y %H:%M\"}"
    for op in ("<", "<=", ">", ">="):
        with pytest.raises(UserError, match=advice):
            chosen(source, condition(op, '"2003-06-01"'))
    with pytest.raises(UserError, match=r"looks like %d/%m/%Y or %m/%d/%Y"):
        chosen(source_of(kind, tmp_path, ["01/02/2003", "03/04/2003"]), condition("<", '"2003-06-01"'))
    with pytest.raises(UserError, match="contains text such as 'Oslo'"):
        chosen(source_of(kind, tmp_path, ["Oslo", "Paris"]), condition("<", "b"))
    with pytest.raises(UserError, match=r"contains text such as '\?'"):
        chosen(source_of(kind, tmp_path, ["7", "10", "?"]), condition("<", "9"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_format_makes_moments_of_text(kind: str, tmp_path: Path) -> None:
    source = source_of(kind, tmp_path, DATES, dates={"when": FORMAT})
    assert chosen(source, condition(">=", '"2003-06-01"'), condition("<", '"2003-09-01"')) == [1, 2]
    assert chosen(source, condition("<", '"01-06-2003 00:00"')) == [0]
    assert chosen(source, condition("==", '"2003-07-15 12:30:00"')) == [2]
    assert chosen(source, condition("in", '["31-12-2002 01:00", "2004-01-02"]')) == [0, 3]
    with pytest.raises(UserError, match="compare it with an ISO 8601 date"):
        chosen(source, condition("<", "summer"))
    bad = source_of(kind, tmp_path, [*DATES, "2003-01-01"], dates={"when": FORMAT})
    with pytest.raises(UserError, match=rf"\((line 6|row 4)\): '2003-01-01' does not have the format '{FORMAT}'"):
        chosen(bad, condition("<", '"2003-06-01"'))


@pytest.mark.parametrize("kind", KINDS)
def test_iso_dates_and_numbers_have_an_order(kind: str, tmp_path: Path) -> None:
    assert chosen(source_of(kind, tmp_path, ISO), condition("<", '"2003-07-01"')) == [0, 1]
    assert chosen(source_of(kind, tmp_path, ["9", "10", "-1.5"]), condition("<", "10")) == [0, 2]
    mixed = ["2003-01-01", "2003-01-01 05:00", "2002-12-31T23:59:59.5"]
    assert chosen(source_of(kind, tmp_path, mixed), condition(">", '"2003-01-01"')) == [1]
    zones = ["2003-01-01T00:00Z", "2003-01-01T00:30+02:00", "2003-01-01T01:00:00-0100"]
    source = source_of(kind, tmp_path, zones)
    assert chosen(source, condition("<", '"2003-01-01T00:00Z"')) == [1]
    with pytest.raises(UserError, match="has a time zone in its cells"):
        chosen(source, condition("<", '"2003-01-01"'))
    with pytest.raises(UserError, match="cells with and without a time zone"):
        chosen(source_of(kind, tmp_path, ["2003-01-01T00:00Z", "2003-01-01T00:30"]), condition("<", '"2003-01-01"'))
    for bad in ("2003-02-30", "2003-W05", "2003-1-1"):
        with pytest.raises(UserError, match="an order needs numbers or ISO 8601"):
            chosen(source_of(kind, tmp_path, [*ISO, bad]), condition("<", '"2003-07-01"'))


@pytest.mark.parametrize("kind", KINDS)
def test_requests_compare_as_manifests_do(kind: str, tmp_path: Path) -> None:
    where = [condition(">=", '"2003-06-01"'), condition("<", '"2003-09-01"')]
    source = source_of(kind, tmp_path, DATES)
    refused = resolved(described(source), tmp_path, [Asked(where=where), Asked("two", ids=["r0"])]).requests
    problem = refused[0].problem or ""
    assert "which looks like %d-%m-%Y %H:%M" in problem
    assert str(tmp_path) not in problem
    assert "2003 00:00" not in problem or kind == "npz", "the ledger keeps it: no cell is shown"
    assert refused[1].records == 1
    taken = resolved(described({**source, "dates": {"when": FORMAT}}), tmp_path, [Asked(where=where)]).requests
    assert [one.records for one in taken] == [2]


def test_large_whole_numbers_are_compared_exactly(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,y,x,when\na,0,1,9007199254740993\nb,1,1,9007199254740992\n")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "id": "id", "features": ["x"]}}
    assert chosen(source, condition("==", "9007199254740993")) == [0]
    assert chosen(source, condition("<", "9007199254740993")) == [1]


@pytest.mark.parametrize("text", ["", "day", "%Q", "%"])
def test_a_format_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="format"):
        described({"sklearn": "digits", "dates": {"when": text}})


def test_cells_of_a_csv_are_what_is_written(tmp_path: Path) -> None:
    rows = ["r0,no,007,1", "r1,yes,7,2", "r2,no,1e5,3", "r3,yes,true,4"]
    (tmp_path / "t.csv").write_text("\n".join(["id,y,code,x", *rows]) + "\n")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "id": "id", "ignore": ["code"]}}
    forget = strict_yaml.parse("{classes: [yes]}", Path("a")).raw
    dataset = opened(source, [1], classes=["no", "yes"], forget=forget)
    assert dataset.split("forget").ids == ["r1", "r3"]
    for value, rows_of in (("007", ["r0"]), ("7", ["r1"]), ("1e5", ["r2"]), ("true", ["r3"])):
        text = strict_yaml.parse(f"{{groups: {{column: code, values: [{value}]}}}}", Path("a")).raw
        assert opened(source, [1], forget=text).split("forget").ids == rows_of
        text = strict_yaml.parse(f"{{where: [{{column: code, op: ==, value: {value}}}]}}", Path("a")).raw
        assert opened(source, [1], forget=text).split("forget").ids == rows_of


@pytest.mark.parametrize(
    ("labels", "classes"),
    [(["0", "1"], ["0", "1"]), (["00", "01"], ["00", "01"]), (["1.0", "1"], ["1", "1.0"]), (["T", "F"], ["F", "T"])],
)
def test_labels_of_a_csv_are_numbers_only_if_all_are_written_as_class_numbers(
    labels: list[str], classes: list[str], tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("y,x\n" + "".join(f"{label},1\n" for label in labels))
    dataset = opened({"table": {"path": str(tmp_path / "t.csv"), "label": "y"}}, [1])
    assert dataset.classes == classes
    assert dataset.split("train").labels.tolist() == [classes.index(label) for label in labels]


@pytest.mark.parametrize("cell", ["1_000", "0x1f", "true", "1,5", "abc"])
def test_a_feature_that_is_no_number_is_refused_with_its_line(cell: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f'y,x\n0,1\n"1",2\n1,"{cell}"\n')
    with pytest.raises(UserError, match=rf"t\.csv:4: column 'x' contains text: '{cell}' is not a number"):
        opened({"table": {"path": str(tmp_path / "t.csv"), "label": "y"}}, [1])
    with pytest.raises(UserError, match=rf"t\.csv:4: column 'x' contains text: '{cell}' is not a number"):
        opened({"table": {"path": str(tmp_path / "t.csv"), "label": "x", "features": ["y"]}}, [1], task="regression")


def test_a_question_mark_after_a_blank_can_be_missing(tmp_path: Path) -> None:
    rows = ["39, State-gov, <=50K, United-States", "50, ?, >50K, ?", "?, Private, >50K, Mexico"]
    (tmp_path / "t.csv").write_text("\n".join(["age, work, Salary, country", *rows]) + "\n")
    table = {"path": str(tmp_path / "t.csv"), "label": "Salary", "features": ["age"], "missing": ["?"]}
    data = {"train": {"table": table}, "group": "id", "transform": [{"standardise": {"missing": "mean"}}]}
    manifest = {"version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [1]}}
    forget = {"groups": {"column": "country", "values": ["Mexico"]}}
    dataset = open_dataset(Manifest.model_validate({**manifest, "data": data, "forget": forget}).data_sections)
    assert dataset.classes == ["<=50K", ">50K"]
    assert dataset.split("forget").rows.tolist() == [2]
    assert dataset.split("train").records.inputs.take(np.array([2])).tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.csv", "id\nr1\nr2\n\n\n"), ("f.csv", "\ufeffid\r\nr1\r\n\r\nr2\r\n"), ("f.csv", "a,id\n1, r1\n2,r2 \n"),
        ("f.txt", "r1\nr2\n"), ("f.txt", "\ufeff r1 \r\n\r\nr2"), ("f.json", '["r1", "r2"]'),
        ("f.jsonl", '{"id": "r1"}\n{"id": "r2"}'),
    ],
)  # fmt: skip
def test_files_of_ids(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, newline="")
    (tmp_path / "t.csv").write_text("id,y,x\nr0,0,1\nr1,1,2\nr2,0,3\n")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "id": "id"}}
    for section in ("forget", "forgotten"):
        dataset = opened(source, [1], classes=[0, 1], **{section: {"ids_file": {"path": str(tmp_path / name)}}})  # type: ignore[arg-type]
        assert dataset.split(section).ids == ["r1", "r2"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.json", '{"id": 1}', "expected a JSON list"), ("f.json", "[[1]]", "item 1: .* is not an id"),
        ("f.json", "[1", "f.json:1:3: is not valid JSON"),
        ("f.json", "[1,\n007]", "f.json:2:2: is not valid JSON .* such as 007"),
        ("f.json", '["r1", true]', "item 2: true is not an id; quote it"),
        ("f.json", '["r1", null]', "item 2: null is not an id"),
        ("f.json", '[{"id": "r1", "id": "7"}]', "has a duplicate key 'id'"),
        ("f.json", "[" * 10**5, "nested too deeply"),
        ("f.txt", "\n \n", "f.txt: contains no ids"), ("f.json", "[]", "contains no ids"),
        ("f.csv", "id\n", "contains no ids"), ("f.csv", "r1\nr2\n", "no column 'id'"),
        ("f.lst", "r1\n", "unknown kind of file; expected .txt with one id per line"),
        ("f.txt.gz", b"r1\n", "compression is"), ("f.txt", b"r1\n\xe9\n", ":2: is not UTF-8"),
        ("f.txt", "R1\n", "did you mean 'r1'"), ("f.json", "[7, 7.50]", "did you mean '7.5'"),
    ],
)  # fmt: skip
def test_files_that_list_no_ids_are_refused(name: str, content: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "t.csv").write_text("id,y,x\nr0,0,1\nr1,1,2\n7,0,3\n7.5,0,3\n")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "id": "id"}}
    with pytest.raises(UserError, match=message):
        opened(source, [1], forget={"ids_file": {"path": str(tmp_path / name)}})


@pytest.mark.parametrize(
    ("name", "content"), [("f.txt.gz", "007\n7\n"), ("f.json.gz", '["007", 7]'), ("f.csv.gz", "id\n007\n7")]
)
def test_compressed_files_of_ids_and_the_short_form(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    (tmp_path / "t.csv").write_text("id,y,x\n007,0,1\n7,1,2\n07,0,3\n")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "id": "id"}}
    dataset = opened(source, [1], classes=[0, 1], forget={"ids_file": str(tmp_path / name)})
    assert dataset.split("forget").ids == ["007", "7"]


@pytest.mark.parametrize(
    ("forget", "message"),
    [
        ({"where": [{"column": "when", "op": "in", "value": []}]}, "the list of values of 'in' is empty"),
        ({"where": [{"column": "when", "op": "not in", "value": []}]}, "the list of values of 'not in' is empty"),
        ({"groups": {"column": "when", "values": ["a", ""]}}, "the empty text is not a group"),
        (
            {"where": [{"column": "when", "op": "==", "value": ""}]},
            "no record has when == : an empty cell fulfils no condition; the most",
        ),
        ({"classes": [2]}, "selects none of 3 records of data.train; no record has the class '2'"),
    ],
)
def test_a_selection_that_can_select_nothing_says_why(forget: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("when,y,x\na,0,1\n,1,2\nb,0,3\n")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "features": ["x"]}}
    with pytest.raises((UserError, ValidationError), match=re.escape(message)):
        opened(source, [1], classes=[0, 1, 2], forget=forget)


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "npz"])
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("n", "true", "contains numbers; compare it with numbers"),
        ("n", "x", "contains numbers; compare it with numbers"),
        ("flag", "1", "contains true and false; compare it with true or false"),
        ("flag", "yes", "contains true and false; compare it with true or false"),
        ("n", "3", None), ("n", "3.0", None), ("n", "03", None), ("flag", "true", None), ("flag", "True", None),
    ],
)  # fmt: skip
def test_true_is_not_1_and_1_is_not_true(
    kind: str, column: str, value: str, message: str | None, tmp_path: Path
) -> None:
    path = tmp_path / f"t.{kind}"
    if kind == "npz":
        np.savez(path, x=np.zeros((4, 1), np.float32), y=[0, 1, 0, 1], n=[1, 2, 3, 4], flag=np.arange(4) == 2)
        source: dict[str, Any] = {"npz": str(path)}
    else:
        rows = "SELECT i AS n, i = 3 AS flag, i % 2 AS y, 0.5 AS x FROM range(1, 5) r(i)"
        duckdb.execute(f"COPY ({rows}) TO '{path}' (FORMAT {'parquet' if kind == 'parquet' else 'json'})")
        source = {"table": {"path": str(path), "label": "y", "features": ["x"]}}
    where = strict_yaml.parse(f"[{{column: {column}, op: ==, value: {value}}}]", Path("a")).raw
    if message:
        with pytest.raises(UserError, match=re.escape(message)):
            opened(source, [1], classes=[0, 1], forget={"where": where})
    else:
        assert opened(source, [1], classes=[0, 1], forget={"where": where}).split("forget").rows.tolist() == [2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_selection_of_nothing_shows_what_the_column_holds(kind: str, tmp_path: Path) -> None:
    source = source_of(kind, tmp_path, ["Mexico", "Cuba", "Cuba", "Japan"])
    frequent = r"the most frequent values of 'when' are 'Cuba' \(2\), '"
    for value, near in (("mexico", "did you mean 'Mexico'"), ("Mexiko", "did you mean 'Mexico'"), ("xyz", "")):
        where = [{"column": "when", "op": "==", "value": value}]
        with pytest.raises(UserError, match=rf"no record has when == {value}: {near}.*{frequent}"):
            opened(source, [1], classes=[0, 1], forget={"where": where})
        with pytest.raises(UserError, match=rf"no record has when = {value}; {near}.*{frequent}"):
            opened(source, [1], classes=[0, 1], forget={"groups": {"column": "when", "values": [value]}})
    asked = Asked(where=[condition("==", "mexico")])
    result = resolved(described(source), tmp_path, [asked, Asked("two", where=[condition("==", "Cuba")])]).requests
    assert "'Cuba' (2)" in result[0].examples[0]
    assert (result[0].unknown, result[0].problem, result[1].records, result[1].examples) == (0, None, 2, ())


@pytest.mark.parametrize(
    ("kind", "cells", "value"),
    [
        ("TIME", ["05:00", "15:00", "09:00"], "'9:30'"),
        ("INTERVAL", ["5 days", "15 days", "30 days"], "9 days"),
        ("INTEGER[]", ["[5]", "[15]", "[30]"], "'[9]'"),
        ("STRUCT(q INTEGER)", ["{'q': 5}", "{'q': 15}", "{'q': 30}"], "x"),
    ],
)
def test_values_of_other_types_have_no_order(kind: str, cells: list[str], value: str, tmp_path: Path) -> None:
    source = source_of("parquet", tmp_path, [0] * len(cells))
    rows = ", ".join(f"(0.5, {i % 2}, 'r{i}', $${cell}$$::{kind})" for i, cell in enumerate(cells))
    duckdb.execute(
        f"COPY (FROM (VALUES {rows}) AS t(x, y, id, \"when\")) TO '{tmp_path / 't.parquet'}' (FORMAT parquet)"
    )
    for op in ("<", "<=", ">", ">="):
        with pytest.raises(UserError, match=r"an order needs numbers or dates"):
            chosen(source, condition(op, value))
    written = duckdb.execute(f"SELECT \"when\"::VARCHAR FROM '{tmp_path / 't.parquet'}'").fetchall()
    for i, (cell,) in enumerate(written):
        assert chosen(source, condition("==", f'"{cell}"')) == [i]


def test_moments_of_an_array_are_compared_as_moments(tmp_path: Path) -> None:
    source = source_of("npz", tmp_path, [np.datetime64(text) for text in ("2003-01-01", "2003-06-01", "2003-12-31")])
    for value in ("2003-06-01", "'2003-06-01 00:00'", "2003-06-01T00:00:00"):
        assert chosen(source, condition("==", value)) == [1]
        assert chosen(source, condition("!=", value)) == [0, 2]
        assert chosen(source, condition("in", f"[{value}]")) == [1]
        assert chosen(source, condition(">=", value)) == [1, 2]


def test_text_of_an_array_is_compared_in_a_forked_process_too(tmp_path: Path) -> None:
    source = source_of("npz", tmp_path, ISO)
    before = condition("<", '"2003-06-15"')
    assert chosen(source, before) == [0, 1]  # in a database whose threads a child process does not have
    assert exit_code_of_fork(lambda: len(chosen(source, before))) == 2


def test_moments_are_utc_in_every_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    connection = connect([])
    for session in (connection, connection.cursor()):
        assert session.execute("SELECT '2020-01-01'::TIMESTAMPTZ::VARCHAR").fetchall() == [("2020-01-01 00:00:00+00",)]


def test_complex_numbers_are_not_compared(tmp_path: Path) -> None:
    source = source_of("npz", tmp_path, [1j, 2 + 0j, 3j])
    for op in ("<", "=="):
        with pytest.raises(UserError, match="'when' contains complex128 values"):
            chosen(source, condition(op, "2"))


def test_years_of_two_digits_have_another_format(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("day,y\n1/31/20,a\n2/1/21,b\n")
    table = {"path": str(tmp_path / "t.csv"), "label": "y", "date_parts": {"day": ["year"]}}
    with pytest.raises(UserError, match="looks like %m/%d/%y; "):
        opened({"table": table}, [1])
    with pytest.raises(UserError, match="'1/31/20' does not have the format '%m/%d/%Y'"):
        opened({"table": table, "dates": {"day": "%m/%d/%Y"}}, [1])
    train = opened({"table": table, "dates": {"day": "%m/%d/%y"}}, [1]).split("train")
    assert samples(train).tolist() == [[2020], [2021]]


def test_a_day_that_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("f,day,y\n1,2020-02-01,a\n2,2020-02-30,b\n")
    condition = {"column": "day", "op": "<", "value": "2020-02-05"}
    table = {"path": str(tmp_path / "t.csv"), "label": "y", "features": ["f"]}
    with pytest.raises(UserError, match="column 'day' contains text such as '2020-02-30'"):
        opened({"table": table}, [1], forget={"where": [condition]})


def test_messages_on_a_file_of_ids_name_no_key_of_tables(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("f,y\n1,a\n2,b\n")
    (tmp_path / "ids.csv").write_bytes("id\n1\n".encode("utf-16"))
    table = {"path": str(tmp_path / "t.csv"), "label": "y"}
    with pytest.raises(UserError, match=r"ids\.csv: is UTF-16 text; save it as UTF-8$"):
        opened({"table": table}, [1], forget={"ids_file": str(tmp_path / "ids.csv")})
