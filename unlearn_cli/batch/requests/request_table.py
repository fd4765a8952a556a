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
    """The combined rows of one request.

    `line` is the line of the first row. `single` has line and text of the columns that must not differ between rows,
    `lists` the cells of the columns that name records.
    """

    line: int
    single: dict[str, tuple[int, str]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=lambda: {"id": [], "value": [], "class": []})
    problem: str | None = None

    def add(self, line: int, cells: dict[str, str]) -> str:
        """Add a row; return what is wrong with it, or an empty text."""
        for column in ("request", "received", "due", "column"):
            if text := cells.get(column, "").strip():
                first_line, first_text = self.single.setdefault(column, (line, text))
                if text != first_text:
                    return f"{column}: differs from line {first_line} of the same request"
        filled = [column for column in self.lists if cells.get(column)]
        for column in filled:
            self.lists[column].append(cells[column])
        if bool(cells.get("column", "").strip()) != ("value" in filled):
            return "column and value go together; one of them is empty"
        return "" if filled else "names no records; expected an id, a column and its value, or a class"

    def to_request(self) -> dict[str, Any]:
        """Return the content of the rows in the form of a request in JSON."""
        value: dict[str, Any] = {column: text for column, (_, text) in self.single.items()}
        if column := value.pop("column", None):
            value["groups"] = {"column": column, "values": self.lists["value"]}
        if self.lists["id"]:
            value["ids"] = self.lists["id"]
        if self.lists["class"]:
            value["classes"] = [_parse_class(text) for text in self.lists["class"]]
        return value


def read_request_table(text: str, name: str, key: bytes) -> Iterator[RequestEntry]:
    """Yield one entry per request id, in the order of their first rows; a bad row affects only its own request.

    Raises:
        RequestFormatError: the text is not csv, or a required column is missing.
    """
    requests: dict[str, RequestRows] = {}
    for line, cells, problem in _read_rows(text):
        request_id = cells.get("request", "").strip()
        rows = requests.setdefault(request_id, RequestRows(line))
        check_count(len(requests))
        problem = problem or ("" if request_id else "request: is missing") or rows.add(line, cells)
        if problem and not rows.problem:
            rows.problem = f"{name}:{line}:1: {problem}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    for request_id, rows in requests.items():
        raw = f"{digest} {request_id}"
        if rows.problem:
            yield make_refusal(rows.problem, raw, key, request_id)
        else:
            yield parse_request(rows.to_request(), None, (name, rows.line), raw, key)


def _parse_class(text: str) -> str | int:
    """Return a number in its usual form as an int, since it may be the position of a class; other text unchanged."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 and str(int(text)) == text else text


def _read_rows(text: str) -> Iterator[tuple[int, dict[str, str], str]]:
    """Yield line number, cells by column, and what is wrong with the number of cells (or an empty text)."""
    rows = split_rows(text, ",")
    header = _check_quotes(*next(rows, (1, [])))
    _check_header(header)
    for line, cells in rows:
        row = _check_quotes(line, cells)
        problem = f"has {len(row)} cells; the first line has {len(header)}" if len(row) != len(header) else ""
        yield line, dict(zip(header, row, strict=False)), problem


def _check_quotes(line: int, cells: list[str] | None) -> list[str]:
    """Return the cells of a row; None stands for a row whose quotes are not valid."""
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
        raise RequestFormatError("a column occurs twice; keep one of the two")
    for name in ("request", "received"):
        if name not in header:
            columns = ", ".join(COLUMNS)
            raise RequestFormatError(f"has no column '{name}'; its first line must name the columns: {columns}")
