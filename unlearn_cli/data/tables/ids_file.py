"""Files of record ids: a table with a column of ids, a text file with one id per line, or a JSON list."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli import console
from unlearn_cli.data.tables.locked_connection import check_file
from unlearn_cli.data.tables.table_file import UNENDED, TableFile
from unlearn_cli.errors import UserError

LISTS = (".txt", ".json")


def read_ids(path: Path, column: str, name: str) -> np.ndarray:
    """Return the ids (n,) as text, as written in the file.

    A last line without a line end is read with a warning, because in a truncated file it may be another record's id.
    Lines of a .txt lose blanks at both ends, like unquoted cells of a csv; lines of only blanks are skipped.

    Raises:
        UserError: it cannot be read, or is not a file of ids.
    """
    suffix = path.suffix.lower()
    if suffix not in LISTS:
        table = TableFile(path, name)
        if table.counts.get(UNENDED):
            _warn_of_a_cut(path, name)
        if column not in table.types and len(table.types) == 1:
            only = next(iter(table.types))
            raise UserError(
                f"{table.location}: no column '{column}'; the only column is '{only}': set column to it, or, if the "
                "list has no header, save it as .txt"
            )
        return table.text(column).astype(str)
    check_file(path, name)
    text = _read_text(path, name)
    if suffix == ".txt" and text.rstrip(" \t") and not text.rstrip(" \t").endswith(("\n", "\r")):
        _warn_of_a_cut(path, name)
    ids = _parse_json_ids(text, column, f"{name}: {path}") if suffix == ".json" else _split_lines(text)
    return np.array(ids, dtype=str)


def _warn_of_a_cut(path: Path, name: str) -> None:
    console.warn(f"{name}: {path}: the last line has no line end; if the file is truncated, its last id may be, too")


def _read_text(path: Path, name: str) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
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
    try:
        values: Any = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (json.JSONDecodeError, RecursionError):
        raise UserError(f"{location}: is not valid JSON; expected a list of ids") from None
    if isinstance(values, list):
        values = [value.get(column) if isinstance(value, dict) else value for value in values]
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise UserError(
            f"{location}: expected a JSON list of ids, each a text or a number, or an object with '{column}'"
        )
    return values
