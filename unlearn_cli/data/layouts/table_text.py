"""How the text of a table is written: encoding, delimiter, header, and the text of empty cells. Keys of a manifest."""

import codecs
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from unlearn_cli.data.layouts.columns import Column, describe_columns
from unlearn_cli.data.layouts.features import MISSING
from unlearn_cli.data.tables.comparable_columns import is_number
from unlearn_cli.data.tables.csv_layout import DELIMITERS, CsvOptions, is_comment, read_first_rows
from unlearn_cli.data.tables.locked_connection import quote_literal
from unlearn_cli.data.tables.number_marks import find_marks, split_units
from unlearn_cli.data.tables.table_file import TableFile, open_table
from unlearn_cli.data.tables.table_paths import find_table_kind, list_table_files
from unlearn_cli.data.tables.text_stream import TextStream
from unlearn_cli.errors import UserError
from unlearn_cli.schema.sources import Table
from unlearn_cli.schema.table_columns import TEXT_SUFFIXES, WHITESPACE

ROWS = 50  # that show whether the first line has names
UTF8, OTHER = "utf-8", "cp1252"  # the most frequent encodings
BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16
UNITS = {*"$€£¥₹₩₽%°", "USD", "EUR", "GBP", "CHF", "JPY", "INR", "kg", "lbs", "km", "cm", "mm", "mph"}  # the usual ones
BLOCK, MOST_BLOCKS = 2**20, 64  # bytes that are searched for other encodings than UTF-8


def open_described(path: Path) -> tuple[TableFile, dict[str, Column], dict[str, Any]]:
    """Open a table; return the file, its columns, and the keys of the manifest with which it was opened.

    Raises:
        UserError: it cannot be read.
    """
    keys = find_text_keys(path)
    file = _open(path, keys)
    columns = describe_columns(file)
    if marks := find_number_marks(file, columns):
        keys = {**keys, **marks}
        file = _open(path, keys)
        columns = describe_columns(file)
    if missing := find_missing(file, columns):
        keys = {**keys, "missing": missing}
        file = _open(path, keys)
        columns = describe_columns(file)
    return file, columns, keys


def find_number_marks(file: TableFile, columns: Mapping[str, Column]) -> dict[str, Any]:
    """Return the keys of marks and units of the numbers of a file, if all filled cells of a column have them.

    Raises:
        UserError: columns have different ones.
    """
    if file.layout is None:
        return {}
    keys_of_columns = {name: _find_marks_of_column(column, file.layout.delimiter) for name, column in columns.items()}
    kinds = [keys for keys in keys_of_columns.values() if keys]
    merged = {key: mark for keys in kinds for key, mark in keys.items()}
    if len({keys["decimal"] for keys in kinds if "decimal" in keys}) > 1:
        names = ", ".join(name for name, keys in keys_of_columns.items() if "decimal" in keys)
        raise UserError(
            f"{file.path}: columns {names} have decimal commas and commas between thousands; write numbers in one form"
        )
    units = list(dict.fromkeys(unit for keys in kinds for unit in keys.get("units", ())))
    marks = {key: mark for key, mark in merged.items() if key != "units" and (key, mark) != ("decimal", ".")}
    return {**marks, **({"units": units} if units else {})}


def _find_marks_of_column(column: Column, delimiter: str) -> dict[str, Any]:
    """Return the keys `decimal`, `thousands` and `units` with which the cells of a column are numbers; or none.

    A comma before three digits is a decimal one only in a table without commas between cells.
    """
    cells = [cell for cell in column.cells if cell not in MISSING]
    if column.is_numeric or not cells:
        return {}
    numbers, units = zip(*map(split_units, cells), strict=True)
    different = list(dict.fromkeys(unit for listed in units for unit in listed))
    marks = find_marks(numbers, comma_first=delimiter == ",") if all(numbers) else None
    if marks is None or not set(different) <= UNITS or not (marks or different):
        return {}
    return {**marks, **({"units": different} if different else {})}


def describe_marks(keys: Mapping[str, Any]) -> list[str]:
    """Return a remark on the marks and units of numbers, which are guessed from the cells."""
    marks = [f"{key} {keys[key]!r}" for key in ("decimal", "thousands", "units") if key in keys]
    return [f"numbers are read with {' and '.join(marks)}; check it"] if marks else []


def list_columns(path: Path) -> list[str]:
    """Return the names of a table's columns.

    Raises:
        UserError: it cannot be read.
    """
    return list(_open(path, find_text_keys(path)).types)


def _open(path: Path, keys: Mapping[str, Any]) -> TableFile:
    return open_table(Table.model_validate({"path": str(path), "label": "", **keys}), "data")


def find_text_keys(path: Path) -> dict[str, Any]:
    """Return the keys with which a table of text must be read, if the defaults are wrong for it."""
    list_table_files(path, "data")  # refuses what is not a table or not a regular file
    if find_table_kind(path) not in TEXT_SUFFIXES:
        return {}
    encoding = find_encoding(path)
    skipped = count_comments(path, encoding)
    rows = read_first_rows(path, f"data: {path}", CsvOptions(encoding=encoding, skip_lines=skipped), ROWS)
    keys: dict[str, Any] = {} if encoding == UTF8 else {"encoding": encoding}
    keys |= {"skip_lines": skipped} if skipped else {}
    if rows and all(len(cells) == 1 for cells in rows):
        divided = read_first_rows(path, f"data: {path}", CsvOptions(WHITESPACE, encoding, skip_lines=skipped), ROWS)
        if len(divided[0]) > 1 and len({len(cells) for cells in divided}) == 1:
            keys, rows = {**keys, "delimiter": WHITESPACE}, divided
    return keys if has_header(rows) else {**keys, "header": False}


def count_comments(path: Path, encoding: str) -> int:
    """Return the number of lines of comments before a table; a header may begin with #, too."""
    with closing(TextStream(path, f"data: {path}", encoding).read_utf8(BLOCK)) as blocks:
        lines = next(blocks, b"").decode("utf-8", "replace").removeprefix("\ufeff").splitlines()[:ROWS]
    count = next((number for number, line in enumerate(lines) if not is_comment(line)), len(lines))
    is_header = 0 < count < len(lines) and count_cells(lines[count - 1]) == count_cells(lines[count]) > 1
    return count - is_header


def count_cells(line: str) -> int:
    """Return the number of cells of a line by its most frequent delimiter."""
    return max(map(line.count, DELIMITERS)) + 1


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row has names: a column of numbers has text above it, or no row has a number.

    Numbers from 0 are names, too, as pandas writes them.
    """
    if len(rows) < 2 or len(rows[0]) != len(rows[1]):
        return True
    first, others = rows[0], rows[1:]
    if [*first] == [str(number) for number in range(len(first))]:
        return True
    columns = [[cells[position] for cells in others if len(cells) == len(first)] for position in range(len(first))]
    numeric = [position for position, cells in enumerate(columns) if cells and all(map(_is_number, cells))]
    return not numeric or not all(_is_number(first[position]) for position in numeric)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell in ("", *MISSING)
    return True


def find_missing(file: TableFile, columns: Mapping[str, Column]) -> list[str]:
    """Return the usual texts of empty cells that occur in columns of numbers; `nan` is one of the numbers of DuckDB."""
    if file.layout is None:
        return []
    marks = ", ".join(map(quote_literal, MISSING))
    return sorted({mark for name in columns for mark in _find_marks(file, name, marks)})


def _find_marks(file: TableFile, name: str, marks: str) -> list[str]:
    cell = file.cell(name)
    is_mark = f"{cell} IN ({marks})"
    number = f"coalesce(bool_and({is_number(cell)}) FILTER (WHERE NOT {is_mark}), false)"
    is_numeric, marks_of_column = file.query(f"{number}, list(DISTINCT {cell}) FILTER (WHERE {is_mark})").fetchall()[0]
    return list(marks_of_column or []) if is_numeric else []


def find_encoding(path: Path) -> str:
    """Return the encoding of a text, by its first bytes and by whether they are UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with closing(TextStream(path, f"data: {path}").read_utf8(BLOCK)) as blocks:
        for number, block in enumerate(islice(blocks, MOST_BLOCKS)):
            if number == 0 and block.startswith(BYTE_ORDER_MARKS):
                return "utf-16"
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return OTHER if _is_text(block) else UTF8
    return UTF8


def _is_text(block: bytes) -> bool:
    """Return whether bytes that are not UTF-8 are text of the other encoding."""
    try:
        return b"\0" not in block and bool(block.decode(OTHER))
    except UnicodeDecodeError:
        return False
