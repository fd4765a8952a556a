"""Requests in a csv: all rows of the same request id are one request."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from unlearn_cli.batch.requests.deletion_request import (
    RequestEntry,
    RequestFormatError,
    check_count,
    make_refusal,
    parse_request,
)
from unlearn_cli.data.tables.csv_layout import split_rows
from unlearn_cli.errors import did_you_mean

COLUMNS = ("request", "received", "due", "id", "column", "value", "class")


@dataclass
class RequestRows:
    """What the rows of one request say together; `once` has line and text of what may be said in any of them."""

    line: int
    once: dict[str, tuple[int, str]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=lambda: {"id": [], "value": [], "class": []})
    wrong: str | None = None


def read_request_table(text: str, name: str, key: bytes) -> Iterator[RequestEntry]:
    """Yield one item a request id, in the order of their first rows; a bad row spoils its own request alone.

    Raises:
        Unreadable: it is no csv, or lacks a column that it needs.
    """
    found: dict[str, RequestRows] = {}
    for line, cells, width in _rows(text):
        request = cells.get("request", "").strip()
        gathered = found.setdefault(request, RequestRows(line))
        check_count(len(found))
        wrong = width or ("" if request else "request: is missing") or _gather(gathered, line, cells)
        if wrong and not gathered.wrong:
            gathered.wrong = f"{name}:{line}:1: {wrong}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    for request, gathered in found.items():
        raw = f"{digest} {request}"
        if gathered.wrong:
            yield make_refusal(gathered.wrong, raw, key, request)
        else:
            yield parse_request(_value(gathered), None, (name, gathered.line), raw, key)


def _gather(gathered: RequestRows, line: int, cells: dict[str, str]) -> str:
    """Add a row to what the others of its request say; return what is wrong with it, or nothing."""
    for column in ("request", "received", "due", "column"):
        if text := cells.get(column, "").strip():
            first, said = gathered.once.setdefault(column, (line, text))
            if text != said:
                return f"{column}: is other than in line {first} of the same request"
    named = [column for column in gathered.lists if cells.get(column)]
    for column in named:
        gathered.lists[column].append(cells[column])
    if bool(cells.get("column", "").strip()) != ("value" in named):
        return "column and value go together; one of them is empty"
    return "" if named else "names no records; expected an id, a column and its value, or a class"


def _value(gathered: RequestRows) -> dict[str, Any]:
    """Return what the rows say in the form of a request."""
    value: dict[str, Any] = {column: text for column, (_, text) in gathered.once.items()}
    column, lists = value.pop("column", None), gathered.lists
    value |= {"groups": {"column": column, "values": lists["value"]}} if column else {}
    value |= {"ids": lists["id"]} if lists["id"] else {}
    return value | ({"classes": [_class(text) for text in lists["class"]]} if lists["class"] else {})


def _class(text: str) -> str | int:
    """Return a class as it was meant: a number in its usual form may be a position, too."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 and str(int(text)) == text else text


def _rows(text: str) -> Iterator[tuple[int, dict[str, str], str]]:
    """Yield line number, cells by column, and what is wrong with the number of cells."""
    rows = split_rows(text, ",")
    header = _whole(*next(rows, (1, [])))
    _check_header(header)
    for line, cells in rows:
        row = _whole(line, cells)
        width = f"has {len(row)} cells; the first line has {len(header)}" if len(row) != len(header) else ""
        yield line, dict(zip(header, row, strict=False)), width


def _whole(line: int, cells: list[str] | None) -> list[str]:
    if cells is None:
        raise RequestFormatError(
            f"line {line}: is not valid csv: a quote is never closed, or text follows the closing quote"
        )
    return cells


def _check_header(header: list[str]) -> None:
    for number, name in enumerate(header, start=1):
        if name not in COLUMNS:
            raise RequestFormatError(f"column {number} is unknown; {did_you_mean(name, COLUMNS)}")
    if len(set(header)) < len(header):
        raise RequestFormatError("a column is there twice; keep one of the two")
    for name in ("request", "received"):
        if name not in header:
            raise RequestFormatError(
                f"has no column '{name}'; its first line must name the columns: {', '.join(COLUMNS)}"
            )
