"""Files of requests: each request is judged by itself; what is broken is told, and never read as something else."""

import json
import os
import socket
from pathlib import Path

import pytest

from unlearn_cli.batch.requests import deletion_request, request_files
from unlearn_cli.batch.requests.deletion_request import Request, RequestEntry
from unlearn_cli.batch.requests.request_files import read_request_file
from unlearn_cli.schema import strict_yaml

KEY = bytes(range(32))
TIME = "2026-11-20T09:30:00Z"
YAML = f"request: DSR-1\nreceived: {TIME}\nids: [a, 17]\n"


def items(folder: Path, name: str, text: str | bytes) -> list[RequestEntry]:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return read_request_file(folder / name, KEY)


def reason(folder: Path, name: str, text: str | bytes) -> str:
    (item,) = items(folder, name, text)
    assert item.content is None
    return str(item.reason)


def line(**changes: object) -> str:
    return json.dumps({"request": "DSR-1", "received": TIME, "ids": ["a", "17"], **changes})


def contents(found: list[RequestEntry]) -> list[Request]:
    return [item.content for item in found if item.content]


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    table = f"request,received,id\nDSR-1,{TIME},a\nDSR-1,,17\n"
    found = [items(tmp_path, *file) for file in (("a.yaml", YAML), ("b.jsonl", line()), ("c.csv", table))]
    assert len({item.digest for (item,) in found}) == 1
    assert [item.id for (item,) in found] == ["DSR-1"] * 3


def test_endings_may_be_written_large_and_a_mark_of_utf_8_is_no_content(tmp_path: Path) -> None:
    assert items(tmp_path, "A.YML", YAML)[0].content
    assert items(tmp_path, "B.JSONL", b"\xef\xbb\xbf" + line().encode())[0].content
    assert items(tmp_path, "C.CSV", f"\ufeffrequest,received,id\r\nDSR-1,{TIME},a\r\n")[0].content


def test_a_bad_line_does_not_stop_the_others(tmp_path: Path) -> None:
    text = "\n".join(
        [line(), '{"request": "DSR-2", "received"', line(request="DSR-3", ids=[]), "", line(request="DSR-4")]
    )
    found = items(tmp_path, "a.jsonl", text)
    assert [item.id for item in found] == ["DSR-1", None, "DSR-3", "DSR-4"]
    assert [request.request for request in contents(found)] == ["DSR-1", "DSR-4"]
    assert found[1].reason == "a.jsonl:2:32: is not valid JSON: Expecting ':' delimiter"
    assert str(found[2].reason).startswith("a.jsonl:3:1: names no records")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"request": "a", "request": "b"}', "a.jsonl:1:1: a key occurs twice"),
        ('{"request": NaN}', "a.jsonl:1:1: NaN is not a JSON number"),
        ("[" * 100_000, "a.jsonl:1:1: is not a request in JSON"),
        ('{"ids": [' + "9" * 5000 + "]}", "a.jsonl:1:1: is not a request in JSON"),
        ("", "a.jsonl: holds no request"), ("\n \n", "a.jsonl: holds no request"),
        (b"\xff\xfe", "a.jsonl: is not UTF-8 text"), ("3", "a.jsonl:1:1: expected a mapping"),
    ],
)  # fmt: skip
def test_json_that_is_no_request_is_told(tmp_path: Path, text: str | bytes, told: str) -> None:
    assert reason(tmp_path, "a.jsonl", text).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "a.yaml:1:1: expected a mapping"), ("- a\n", "a.yaml:1:1: expected a mapping"),
        ("request: [", "a.yaml:1:11: is not valid YAML"), (b"\xff", "a.yaml: is not UTF-8"),
        (YAML + "request: DSR-2\n", "a.yaml:4:1: duplicate key 'request'"),
        (YAML + "note: !!python/object:os.system x\n", "a.yaml:4:7: the tag"),
        (YAML + "identifiers: [a]\n", "a.yaml:4:1: identifiers: unknown key"),
        (YAML.replace("[a, 17]", "[a, [17]]"), "a.yaml:3:10: ids.1: expected a valid string"),
        (YAML + "---\n" + YAML, "a.yaml:4:1: is not valid YAML: but found another document"),
        (YAML + "#" * strict_yaml.MAX_BYTES, "a.yaml: is larger than 1048576 bytes; use csv or JSON Lines"),
    ],
)  # fmt: skip
def test_yaml_that_is_no_request_is_told_with_line_and_column(tmp_path: Path, text: str | bytes, told: str) -> None:
    assert reason(tmp_path, "a.yaml", text).startswith(told)


def test_the_rows_of_a_request_are_put_together_wherever_they_stand(tmp_path: Path) -> None:
    text = (
        "request,received,due,id,column,value,class\n"
        f"A,{TIME},,rec-1,,,\nB,{TIME},2026-12-01T00:00:00Z,,person,7,\nA,,,rec-2,,,3\nB,{TIME},,,person,8,cat\n"
    )
    first, second = contents(items(tmp_path, "a.csv", text))
    assert (first.ids, first.classes, first.groups) == (["rec-1", "rec-2"], [3], None)
    assert second.groups is not None
    assert (second.groups.column, second.groups.values, second.classes) == ("person", ["7", "8"], ["cat"])
    assert str(second.due) == "2026-12-01 00:00:00+00:00"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (f"A,{TIME},x\nA,2026-11-21T00:00:00Z,y", "a.csv:3:1: received: differs from line 2 of the same request"),
        ("A,,x", "a.csv:2:1: received: is missing"),
        (f"A,{TIME},", "a.csv:2:1: names no records"),
        (f"A,{TIME},x\nA,,", "a.csv:3:1: names no records"),
        (f"A,{TIME},x\nA,", "a.csv:3:1: has 2 cells; the first line has 3"),  # a truncated last line
        (f"A,{TIME},x,y", "a.csv:2:1: has 4 cells; the first line has 3"),
        (f",{TIME},x", "a.csv:2:1: request: is missing"),
        (f'A,{TIME},"x', "a.csv: line 2: is not valid csv: a quote is never closed"),
    ],
)
def test_a_bad_row_of_a_table_is_told(tmp_path: Path, rows: str, told: str) -> None:
    assert reason(tmp_path, "a.csv", f"request,received,id\n{rows}").startswith(told)


def test_a_bad_row_spoils_its_own_request_alone(tmp_path: Path) -> None:
    found = items(tmp_path, "a.csv", f"request,received,id\nA,{TIME},x\nB,{TIME},y\nA,,\n")
    assert [(item.id, item.content is None) for item in found] == [("A", True), ("B", False)]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("", "a.csv: column 1 is unknown"),
        ("due", "a.csv: has no column 'request'; its first line must name the columns"),
        ("request,id", "a.csv: has no column 'received'"),
        ("request,recieved,id", "a.csv: column 2 is unknown; did you mean 'received'?"),
        ("request,received,id,id", "a.csv: a column occurs twice"),
    ],
)
def test_a_table_needs_its_header(tmp_path: Path, header: str, told: str) -> None:
    assert reason(tmp_path, "a.csv", f"{header}\nA,{TIME},x\n").startswith(told)


def test_column_and_value_go_together(tmp_path: Path) -> None:
    for cells in ("person,", ",7"):
        text = f"request,received,id,column,value\nA,{TIME},x,{cells}\n"
        assert "column and value go together" in reason(tmp_path, "a.csv", text)
    text = f"request,received,column,value\nA,{TIME},person,7\nA,,city,Rome\n"
    assert reason(tmp_path, "a.csv", text).startswith("a.csv:3:1: column: differs from line 2")


def test_what_spreadsheets_would_run_is_an_id_like_any_other(tmp_path: Path) -> None:
    dangerous = ["=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "'; DROP TABLE event; --", "{{7*7}}", "../../etc/passwd"]
    rows = "".join(f'A,{TIME},"{one}"\n' for one in dangerous)
    (request,) = contents(items(tmp_path, "a.csv", f"request,received,id\n{rows}"))
    assert request.ids == dangerous


def test_ids_keep_their_letters_spaces_and_line_breaks(tmp_path: Path) -> None:
    strange = ["é", "e\u0301", "日本", " a ", "two\nlines", "tab\t", "\u202egnp", "🙂"]
    (from_lines,) = contents(items(tmp_path, "a.jsonl", line(ids=strange)))
    rows = "".join(f'DSR-1,{TIME},"{one}"\n' for one in strange)
    (from_table,) = contents(items(tmp_path, "a.csv", f"request,received,id\n{rows}"))
    assert from_lines.ids == from_table.ids == strange
    assert len(set(from_lines.content["ids"])) == len(strange)  # composed and decomposed letters are two ids


def test_cells_that_are_not_quoted_lose_blanks_as_those_of_a_source_do(tmp_path: Path) -> None:
    rows = f'DSR-1 , {TIME},  r 1\t\n DSR-1,{TIME} ," r2"\n   \n'
    (request,) = contents(items(tmp_path, "a.csv", f"request, received ,id\n{rows}"))
    assert request.ids == ["r 1", " r2"]


def test_too_large_and_too_many_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion_request, "MAX_REQUESTS", 2)
    monkeypatch.setattr(request_files, "MAX_BYTES", 1000)
    lines = [line(request=f"DSR-{i}") for i in range(3)]
    assert len(contents(items(tmp_path, "a.jsonl", "\n".join(lines[:2])))) == 2
    assert reason(tmp_path, "a.jsonl", "\n".join(lines)) == "a.jsonl: holds more than 2 requests; split it"
    rows = "".join(f"DSR-{i},{TIME},x\n" for i in range(3))
    assert reason(tmp_path, "a.csv", f"request,received,id\n{rows}") == "a.csv: holds more than 2 requests; split it"
    assert reason(tmp_path, "a.jsonl", " " * 1001) == "a.jsonl: is larger than 1000 bytes; split it"


def test_a_link_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    outside = tmp_path / "secret.yaml"
    outside.write_text(YAML)
    for name, target in (("a.yaml", outside), ("b.yaml", Path("../secret.yaml")), ("c.yaml", tmp_path / "nothing")):
        link = tmp_path / "inside" / name
        link.symlink_to(target)
        (item,) = read_request_file(link, KEY)
        assert item.reason == f"{name}: is a link; put the file itself into the inbox"


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    (item,) = read_request_file(tmp_path / "a.yaml", KEY)
    assert item.reason == "a.yaml: is not a regular file"


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.csv")
        (item,) = read_request_file(tmp_path / "a.csv", KEY)
    assert item.reason == "a.csv: is not a regular file"


def test_a_file_that_is_gone_is_told_apart_from_a_bad_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_request_file(tmp_path / "a.yaml", KEY)


def test_a_name_that_is_no_text_is_told_all_the_same(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml"))
    path.write_text("- a\n")
    (item,) = read_request_file(path, KEY)
    assert item.reason == "\ufffd.yaml:1:1: expected a mapping with 'request' and 'received'"


def test_reasons_name_the_file_and_not_where_it_lies(tmp_path: Path) -> None:
    for name, text in (
        ("a.yaml", "request: ["),
        ("b.yaml", "- a"),
        ("c.jsonl", "{"),
        ("d.csv", "x\n"),
        ("e.csv", b"\xff"),
    ):
        assert str(tmp_path) not in reason(tmp_path, name, text)
