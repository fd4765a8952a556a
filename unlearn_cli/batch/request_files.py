"""Reading a file of requests: YAML holds one, JSON Lines one a line, csv one in all rows of the same request id."""

import csv
import io
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unlearn_cli import strict_yaml
from unlearn_cli.batch.requests import Item, check, refused
from unlearn_cli.errors import UserError, did_you_mean

MAX_BYTES, MAX_REQUESTS = 2**28, 10_000
COLUMNS = ("request", "received", "due", "id", "column", "value", "class")
Row = tuple[int, dict[str, str]]  # line number, cells


class Unreadable(Exception):
    """Why the whole file is set aside."""


def read_file(path: Path, key: bytes) -> list[Item]:
    """Return the requests of a file, each with its digest, or with the reason why it is none.

    Raises:
        FileNotFoundError: the file is gone.
    """
    data = b""
    try:
        data = _bytes(path)
        items = list(READERS[path.suffix.lower()](data, printable(path), key))
        if not items:
            raise Unreadable("holds no request")
    except Unreadable as error:
        return [refused(f"{printable(path)}: {error}", data.decode("latin-1") or path.name, key)]
    return items


def printable(path: Path) -> str:
    """Return a file's name as text that can be printed and stored, whatever its bytes."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def _bytes(path: Path) -> bytes:
    """Read an ordinary file of bounded size; a link could lead out of the folder, a pipe would never end."""
    if path.is_symlink():
        raise Unreadable("is a link; put the file itself there")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except PermissionError:
        raise Unreadable("cannot be read; give the user of the batch the permission") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable("is no ordinary file")
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Unreadable(f"is larger than {MAX_BYTES} bytes; split it")
    return data


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8 text") from None


def _read_yaml(data: bytes, name: str, key: bytes) -> Iterator[Item]:
    if len(data) > strict_yaml.MAX_BYTES:
        raise Unreadable(f"is larger than {strict_yaml.MAX_BYTES} bytes; write so many ids as csv or JSON Lines")
    try:
        document = strict_yaml.parse(data, Path(name))
    except UserError as error:
        yield refused(str(error), data.decode("latin-1"), key)
        return
    yield check(document.value, document, (name, 1), data.decode("latin-1"), key)


def _read_json_lines(data: bytes, name: str, key: bytes) -> Iterator[Item]:
    lines = [(number, line) for number, line in enumerate(_text(data).split("\n"), start=1) if line.strip()]
    if len(lines) > MAX_REQUESTS:
        raise Unreadable(f"holds more than {MAX_REQUESTS} requests; split it")
    for number, line in lines:
        try:
            value = json.loads(line, object_pairs_hook=_unique, parse_constant=_no_number)
        except Unreadable as error:
            yield refused(f"{name}:{number}:1: {error}", line, key)
        except json.JSONDecodeError as error:
            yield refused(f"{name}:{number}:{error.colno}: is not valid JSON: {error.msg}", line, key)
        except (RecursionError, ValueError):  # lists in lists in lists; a number of thousands of digits
            yield refused(f"{name}:{number}:1: is no JSON of a request", line, key)
        else:
            yield check(value, None, (name, number), line, key)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise Unreadable("a key is there twice; keep one of the two")
    return dict(pairs)


def _no_number(text: str) -> None:
    raise Unreadable(f"{text} is no number of JSON")


def _read_csv(data: bytes, name: str, key: bytes) -> Iterator[Item]:
    """Yield one item a request id, in the order of their first rows; a bad row spoils its own request alone."""
    groups: dict[str, list[Row]] = {}
    wrong: dict[str, str] = {}
    for line, cells, width in _rows(_text(data)):
        request = cells.get("request", "").strip()
        groups.setdefault(request, []).append((line, cells))
        if len(groups) > MAX_REQUESTS:
            raise Unreadable(f"holds more than {MAX_REQUESTS} requests; split it")
        if not request:
            wrong.setdefault(request, f"{name}:{line}:1: request: is missing")
        elif width:
            wrong.setdefault(request, f"{name}:{line}:1: {width}")
    for request, rows in groups.items():
        raw = "\n".join("\0".join(cells.values()) for _, cells in rows)
        try:
            if request in wrong:
                raise Unreadable(wrong[request])
            value = _request_of(rows, name)
        except Unreadable as error:
            yield refused(str(error), raw, key, request)
        else:
            yield check(value, None, (name, rows[0][0]), raw, key)


def _rows(text: str) -> Iterator[tuple[int, dict[str, str], str]]:
    """Yield line number, cells by column, and what is wrong with the number of cells."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        _check_header(header)
        for row in reader:
            if row:
                width = f"has {len(row)} cells; the first line has {len(header)}" if len(row) != len(header) else ""
                yield reader.line_num, dict(zip(header, row, strict=False)), width
    except csv.Error as error:
        raise Unreadable(f"line {reader.line_num}: is not valid csv: {error}") from None


def _check_header(header: list[str]) -> None:
    for number, name in enumerate(header, start=1):
        if name not in COLUMNS:
            raise Unreadable(f"column {number} is unknown; {did_you_mean(name, COLUMNS)}")
    if len(set(header)) < len(header):
        raise Unreadable("a column is there twice; keep one of the two")
    for name in ("request", "received"):
        if name not in header:
            raise Unreadable(f"has no column '{name}'; its first line must name the columns: {', '.join(COLUMNS)}")


def _request_of(rows: list[Row], name: str) -> dict[str, Any]:
    """Put the rows of one request together."""
    value: dict[str, Any] = {}
    for column in ("request", "received", "due", "column"):
        said = [(line, cells[column].strip()) for line, cells in rows if cells.get(column, "").strip()]
        other = [line for line, text in said if text != said[0][1]]
        if other:
            raise Unreadable(f"{name}:{other[0]}:1: {column}: is other than in line {said[0][0]} of the same request")
        value |= {column: said[0][1]} if said else {}
    column = value.pop("column", None)
    values = [cells["value"] for _, cells in rows if cells.get("value")]
    for line, cells in rows:
        if not any(cells.get(what) for what in ("id", "value", "class")):
            raise Unreadable(f"{name}:{line}:1: names no records; expected an id, a column and its value, or a class")
        if bool(cells.get("column", "").strip()) != bool(cells.get("value")):
            raise Unreadable(f"{name}:{line}:1: column and value go together; one of them is empty")
    ids = [cells["id"] for _, cells in rows if cells.get("id")]
    classes = [_class(cells["class"]) for _, cells in rows if cells.get("class")]
    value |= {"groups": {"column": column, "values": values}} if column else {}
    value |= {"ids": ids} if ids else {}
    return value | ({"classes": classes} if classes else {})


def _class(text: str) -> str | int:
    """Return a class as it was meant: a number in its usual form may be a position, too."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 and str(int(text)) == text else text


READERS: dict[str, Callable[[bytes, str, bytes], Iterator[Item]]] = {
    ".yaml": _read_yaml, ".yml": _read_yaml, ".jsonl": _read_json_lines, ".csv": _read_csv,
}  # fmt: skip
