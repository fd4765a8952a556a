"""Files of record ids: a table with a column of ids, a text file with one id per line, or a JSON list."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli import console
from unlearn_cli.data.tables.csv_layout import CsvOptions
from unlearn_cli.data.tables.locked_connection import check_file
from unlearn_cli.data.tables.table_file import UNENDED, TableFile
from unlearn_cli.data.tables.table_paths import KINDS, find_table_kind
from unlearn_cli.data.tables.text_stream import TextStream
from unlearn_cli.errors import UserError
from unlearn_cli.storage.json_text import refuse_duplicate_keys

LISTS = (".txt", ".json")
BLOCK = 2**20  # bytes that are read at a time


def read_ids(path: Path, column: str, name: str) -> np.ndarray:
    """Return the ids (n,) as text, as written in the file.

    A last line without a line end is read with a warning, because in a truncated file it may be another record's id.
    Lines of a .txt lose blanks at both ends, like unquoted cells of a csv; lines of only blanks are skipped.

    Raises:
        UserError: it cannot be read, or is not a file of ids.
    """
    kind = find_table_kind(path)
    if kind not in LISTS:
        return _read_column(path, column, name)
    check_file(path, name)
    text = _read_text(path, name)
    if kind == ".json":
        return np.array(_parse_json_ids(text, column, f"{name}: {path}"), dtype=str)
    if text.rstrip(" \t") and not text.rstrip(" \t").endswith(("\n", "\r")):
        _warn_of_a_cut(path, name)
    return np.array(_split_lines(text), dtype=str)


def _read_column(path: Path, column: str, name: str) -> np.ndarray:
    if find_table_kind(path) not in KINDS:
        raise UserError(
            f"{name}: {path}: unknown kind of file; expected .txt with one id per line, .json with a list, or a table "
            f"({', '.join(kind for kind in KINDS if kind not in LISTS)}); text files also with .gz"
        )
    table = TableFile(path, name, options=CsvOptions(has_keys=False))
    if table.counts.get(UNENDED):
        _warn_of_a_cut(path, name)
    if column not in table.types and len(table.types) == 1:
        only = next(iter(table.types))
        raise UserError(
            f"{table.location}: no column '{column}'; the only column is '{only}': set column to it, or, if the "
            "list has no header, save it as .txt"
        )
    return table.text(column).astype(str)


def _warn_of_a_cut(path: Path, name: str) -> None:
    console.warn(f"{name}: {path}: the last line has no line end; if the file is truncated, its last id may be, too")


def _read_text(path: Path, name: str) -> str:
    data = b"".join(TextStream(path, f"{name}: {path}").read_utf8(BLOCK))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{name}: {path}:{line}: is not UTF-8 text; save it as UTF-8") from None
    if "\0" in text:
        raise UserError(f"{name}: {path}: contains a NUL byte; expected UTF-8 text")
    return text


def _split_lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line.strip(" \t") for line in lines if line.strip(" \t")]


def _parse_json_ids(text: str, column: str, location: str) -> list[str]:
    """Return the ids of a JSON list of ids, or of objects with an id in the field `column`; numbers as written."""
    values = _parse_json(text, location)
    if not isinstance(values, list):
        raise UserError(
            f"{location}: expected a JSON list of ids, each a text or a number, or an object with '{column}'"
        )
    return [_take_id(value, column, f"{location}: item {number}") for number, value in enumerate(values, start=1)]


def _parse_json(text: str, location: str) -> Any:
    try:
        return json.loads(
            text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=refuse_duplicate_keys
        )
    except json.JSONDecodeError as error:
        raise UserError(
            f"{location}:{error.lineno}:{error.colno}: is not valid JSON ({error.msg}); expected a list of ids, with "
            "quotes around text and around numbers such as 007"
        ) from None
    except RecursionError:
        raise UserError(f"{location}: is nested too deeply; expected a list of ids") from None
    except ValueError as error:
        raise UserError(f"{location}: has a {error} in one object; keep one of the two") from None


def _take_id(item: Any, column: str, location: str) -> str:
    value = item.get(column) if isinstance(item, dict) else item
    if isinstance(value, str) and value:
        return value
    if isinstance(item, dict) and column not in item:
        raise UserError(f"{location}: has no field '{column}'; its fields: {', '.join(map(str, item))[:200]}")
    advice = "quote it if it is the id" if isinstance(value, bool) or value is None else "expected a text or a number"
    raise UserError(f"{location}: {json.dumps(value)[:60]} is not an id; {advice}")
