"""One csv, jsonl or parquet file, read through a locked DuckDB connection that can open only this file.

The connection cannot be reconfigured; names of columns are quoted, and values of conditions are passed as parameters.
The cells of a csv are text (see `csv_layout`) and are converted only where numbers are needed; jsonl and parquet files
have typed columns.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from unlearn_cli.data.strings import CHUNK, Strings, Values, pack
from unlearn_cli.data.tables.column_arrays import fill_gaps
from unlearn_cli.data.tables.comparable_columns import Facts, TextColumn, TypedColumn, cast_text, is_number
from unlearn_cli.data.tables.conditions import build_conjunction, number_class
from unlearn_cli.data.tables.csv_layout import CsvLayout, CsvOptions, inspect_csv, is_comment
from unlearn_cli.data.tables.datasets_folder import read_arrow, read_class_names, read_folder_class_names
from unlearn_cli.data.tables.equal_names import (
    EQUAL_NAMES,
    find_equal_names,
    list_top_names,
    quote_name,
    select_columns,
)
from unlearn_cli.data.tables.locked_connection import (
    connect,
    escape_pattern,
    quote_literal,
    translate_duckdb_errors,
)
from unlearn_cli.data.tables.number_marks import advise_keys, has_other_marks, replace_marks
from unlearn_cli.data.tables.table_paths import ARROW, PARQUET, find_table_kind, list_table_files
from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.schema.sources import Condition, Table
from unlearn_cli.schema.table_columns import TEXT_SUFFIXES

READERS = {
    **dict.fromkeys(
        TEXT_SUFFIXES, "read_csv(?, auto_detect=false, header=true, quote='\"', escape='\"', allow_quoted_nulls=false)"
    ),
    ".jsonl": "read_json(?, format='newline_delimited', sample_size=-1, hive_partitioning=false)",
    PARQUET: "read_parquet(?, hive_partitioning=false)",
    ARROW: "rows",  # registered in the connection
}
DATES = ("DATE", "TIME")
TEXT = ("VARCHAR", *DATES)  # prefixes of types with text cells; DuckDB may round the cells of other types in a jsonl
GUESSED = ("DATE", "TIME", "UUID", "JSON")  # prefixes of types that DuckDB infers from the text of a jsonl
UNENDED = "last line without a line end (if the file was truncated, its last cell is, too)"
INDEX_COLUMN = r"Unnamed: \d+(_level_\d+)?|__index_level_\d+__"
IMAGES = 256  # images that are fetched at a time
SINGLE = (
    "a number or a text in each cell; for lists of labels set task: multilabel, and write lists of numbers as one "
    "column per number"
)
SHOWN = 60  # letters of a cell in a message
CLASS_NUMBER = r"0|-?[1-9]\d{0,17}"


def open_table(spec: Table, name: str, connection: duckdb.DuckDBPyConnection | None = None) -> "TableFile":
    """Open the file of a section `table`; its path is resolved."""
    header = spec.header if isinstance(spec.header, bool) else tuple(map(str, spec.header))
    options = CsvOptions(
        spec.delimiter, spec.encoding, header, spec.skip_lines, spec.decimal, spec.thousands, tuple(spec.units)
    )
    return TableFile(spec.path, name, spec.missing, connection, options)


def show_cell(cell: str) -> str:
    """Return the beginning of a cell for messages, with signs that are not visible as their numbers: 5\\xa0."""
    return cell[:SHOWN].encode("unicode_escape").decode() if not cell.isprintable() else cell[:SHOWN]


class TableFile:
    """The file, its columns and their types."""

    def __init__(
        self,
        path: Path,
        name: str,
        missing: Sequence[str] | None = None,
        connection: duckdb.DuckDBPyConnection | None = None,
        options: CsvOptions = CsvOptions(),
    ) -> None:
        kind, files = find_table_kind(path), list_table_files(path, name)
        self.location, self.reader, self.missing = f"{name}: {path}", READERS[kind], ["", *(missing or [])]
        self.path, self.arguments, self.options = path, self._list_arguments(kind, files), options
        self.kind, self.rewrites_types = kind, kind == ".jsonl"
        self.connection = connection or connect(files)
        if kind == ARROW:
            rows = read_arrow(files, name)
            self.stored_names = list(rows.schema.names)
            self.connection.register(self.reader, rows)
        self.counts: dict[str, int] = {}  # of columns and lines with a problem, by kind
        self.equal_names: list[str] = []  # of several columns each
        self.layout = inspect_csv(path, self.location, options) if kind in TEXT_SUFFIXES else None
        self.types: dict[str, str] = self._csv_types(self.layout) if self.layout else self._types()
        self.formats: Mapping[str, str] = {}  # of dates, by column
        self.private = False  # messages on conditions show neither path nor cells
        self._facts: dict[str, Facts] = {}
        self._last_read: tuple[tuple[str, bool, str], Strings] | None = None  # a query of a column of text, its result

    @staticmethod
    def _list_arguments(kind: str, files: Sequence[Path]) -> list[Any]:
        """Return the parameters of the reader."""
        if kind == ARROW:
            return []
        return [[escape_pattern(file) for file in files]] if kind == PARQUET else [escape_pattern(files[0])]

    @cached_property
    def class_names(self) -> dict[str, list[str]]:
        """The names of classes by column, where Hugging Face's datasets wrote them; labels are their numbers."""
        if self.kind == ARROW and self.path.is_dir():
            return read_folder_class_names(self.path, self.location.partition(":")[0])
        if self.kind != PARQUET:
            return {}
        query = "SELECT decode(value) FROM parquet_kv_metadata(?) WHERE key = 'huggingface'"
        row = self.run(query, [self.arguments[0][0]]).fetchone()
        try:
            return read_class_names(json.loads(row[0]).get("info")) if row else {}
        except (ValueError, AttributeError, RecursionError):
            return {}

    def _csv_types(self, layout: CsvLayout) -> dict[str, str]:
        names = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(layout.header)))
        reader = self.reader[:-1] if layout.named else self.reader[:-1].replace("header=true", "header=false")
        self.reader = f"{reader}, delim={quote_literal(layout.delimiter)}, columns={{{names}}})"
        if not layout.plain:
            self._copy(layout)
        self.counts["columns without a name, left out"] = layout.header.count("")
        self.counts[UNENDED] = int(layout.unended)
        self.equal_names = find_equal_names(layout.header)
        self.counts[EQUAL_NAMES] = sum(name in self.equal_names for name in layout.header)
        return {name: "VARCHAR" for name in layout.header if name and name not in self.equal_names}

    def _copy(self, layout: CsvLayout) -> None:
        """Copy the rows into a table of the connection: DuckDB's csv reader does not follow the rules of CsvLayout."""
        self.run(f"CREATE TABLE cells ({', '.join(f'c{i} VARCHAR' for i in range(len(layout.header)))})")
        marks = ", ".join("unnest(?)" for _ in layout.header)
        rows = layout.rows()
        while chunk := [cells for _, cells in islice(rows, CHUNK)]:
            self.run(f"INSERT INTO cells SELECT {marks}", [list(column) for column in zip(*chunk, strict=True)])
        self.reader, self.arguments = "cells", []

    def _types(self) -> dict[str, str]:
        described = self.run(f"DESCRIBE SELECT * FROM {self.reader}", self.arguments).fetchall()
        types = {column: kind for column, kind, *_ in described}
        if self.rewrites_types:
            self._refuse_equal_names(types)
            types = {column: "VARCHAR" if kind.startswith(GUESSED) else kind for column, kind in types.items()}
            self.reader = self._json_reader(types)
            return types
        stored = self._list_stored_names()
        self.equal_names = find_equal_names(stored, ignore_case=True)
        self.counts[EQUAL_NAMES] = sum(name in self.equal_names for name in stored)
        if self.equal_names:
            self.reader, types = select_columns(self.reader, types, stored)
        return types

    def _list_stored_names(self) -> list[str]:
        """Return the names of the columns of a typed file, in their order; DuckDB adds numbers to equal names."""
        if self.kind == ARROW:
            return self.stored_names
        schema = "SELECT name, num_children FROM parquet_schema(?)"
        return list_top_names(self.run(schema, [self.arguments[0][0]]).fetchall())

    def _refuse_equal_names(self, types: Mapping[str, str]) -> None:
        """Refuse names in JSON that differ only in case: DuckDB adds a number to the second one."""
        lowered = {column.lower() for column in types}
        for column in types:
            base, _, number = column.rpartition("_")
            if number.isdecimal() and base.lower() in lowered and self._has_twin(base):
                raise UserError(f"{self.location}: two columns '{base}' differ only in case; rename one of them")

    def _has_twin(self, base: str) -> bool:
        names = "SELECT unnest(json_keys(json)) AS name FROM read_json_objects(?, format='newline_delimited')"
        counted = f"SELECT count(DISTINCT name) FROM ({names}) WHERE lower(name) = lower(?)"
        return self.run(counted, [*self.arguments, base]).fetchall()[0][0] > 1

    @staticmethod
    def _json_reader(types: Mapping[str, str]) -> str:
        kinds = ", ".join(f"{quote_literal(column)}: {quote_literal(kind)}" for column, kind in types.items())
        return f"{READERS['.jsonl'][:-1]}, columns={{{kinds}}})"

    def query(
        self, expressions: str, values: Sequence[Any] = (), reader: str | None = None
    ) -> duckdb.DuckDBPyConnection:
        return self.run(f"SELECT {expressions} FROM {reader or self.reader}", (*values, *self.arguments))

    def _translate_errors(self) -> AbstractContextManager[None]:
        return translate_duckdb_errors(self.location, json_lines=self.path if self.kind == ".jsonl" else None)

    def run(self, command: str, values: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        with self._translate_errors():
            return self.connection.execute(command, values)

    def arrays(self, expressions: str, values: Sequence[Any] = ()) -> dict[str, np.ndarray]:
        """Return the columns of a query by their names."""
        with self._translate_errors():
            return self.query(expressions, values).fetchnumpy()

    # ------------------------------------------------------------ cells

    def cell(self, column: str) -> str:
        """Return the SQL of a column: in a csv the text of its cells, null for an empty cell; otherwise typed."""
        quoted = self.quoted(column)
        if self.layout is None:
            return quoted
        name = f"c{self.layout.header.index(column)}"
        text = f"trim({name}, {quote_literal(self.layout.blanks)})" if self.layout.plain else name
        shown = replace_marks(text, self.options) if has_other_marks(self.options) else text
        return f"CASE WHEN {text} NOT IN ({', '.join(map(quote_literal, self.missing))}) THEN {shown} END"

    def column(self, column: str, *, gaps: bool = False) -> Values:
        """Return a column: text and dates as strings, integers as int64, other numbers as float64.

        With `gaps`, empty cells are NaN in a column of numbers and '' in a column of text; otherwise they are refused.
        """
        self.quoted(column)
        if self.types[column].startswith(TEXT):
            return self._strings(f"{self.cell(column)}::VARCHAR", column, gaps=gaps)
        return self.columns([column], gaps=gaps)[0]

    def labels(self, column: str, *, numeric: bool, gaps: bool = False) -> Values:
        """Return a column of labels: numbers if `numeric`, int64 for class numbers in a csv, otherwise text."""
        if self.layout is None:
            return self.column(column, gaps=gaps)
        kind = "DOUBLE" if numeric else self.label_kind(column)
        return self.column(column, gaps=gaps) if kind == "VARCHAR" else self.columns([column], gaps=gaps, kind=kind)[0]

    def label_kind(self, column: str) -> str:
        """Return the type of a column of labels: in a csv BIGINT if every cell is an integer, otherwise VARCHAR."""
        if self.layout is None:
            self.quoted(column)
            return self.types[column]
        cell = self.cell(column)
        numbers = f"coalesce(bool_and(regexp_full_match({cell}, '{CLASS_NUMBER}')), false)"
        return "BIGINT" if self.query(numbers).fetchall()[0][0] else "VARCHAR"

    def columns(
        self, columns: Sequence[str], *, gaps: bool = False, kind: str = "DOUBLE", features: bool = False
    ) -> list[np.ndarray]:
        """Return several columns in one pass over the file: a csv's as numbers, others as stored, text as unicode.

        With `gaps`, empty cells are NaN in a column of numbers and '' in a column of text. As `features`, true and
        false are 1 and 0.

        Raises:
            UserError: a cell of a csv is not a number; or a cell is empty and `gaps` is false.
        """
        for column in columns:
            self.quoted(column)
            self._refuse_bytes(column)
            self.refuse_nested(column, SINGLE)
        if self.layout:
            names = [cast_text(self.cell(column), kind) for column in columns]
        else:
            casts = {column: "::VARCHAR" if kind.startswith(DATES) else "" for column, kind in self.types.items()}
            casts |= {column: "::TINYINT" for column, kind in self.types.items() if features and kind == "BOOLEAN"}
            names = [f"{self.quoted(column)}{casts[column]}" for column in columns]
        arrays = self.arrays(", ".join(f"{name} AS v{i}" for i, name in enumerate(names)))
        stored = [arrays[f"v{i}"] for i in range(len(columns))]
        masked = [column for column, values in zip(columns, stored, strict=True) if np.ma.is_masked(values)]
        if self.layout and masked:
            self._refuse_text(masked, features=features)
        if masked and not gaps:
            values = stored[columns.index(masked[0])]
            error = self.make_empty_error(masked[0], int(np.flatnonzero(np.ma.getmaskarray(values))[0]))
            advice = "; with standardise: {missing: mean} in data.transform, an empty feature becomes the mean"
            raise UserError(f"{error}{advice}") if features else error
        return [fill_gaps(values) for values in stored]

    def refuse_nested(self, column: str, expected: str) -> None:
        """Refuse a column of lists or mappings, which are neither numbers nor text."""
        kind = self.types[column]
        if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION")):
            content = "lists" if kind.endswith("]") else "mappings"
            raise UserError(
                f"{self.location}: column '{column}' contains {content}; expected {expected}; if the column is not "
                "needed, add it to 'ignore'"
            )

    def _refuse_text(self, columns: Sequence[str], *, features: bool) -> None:
        """Refuse the first cell that is not a number."""
        wrong = [f"({self.cell(column)} IS NOT NULL AND NOT {is_number(self.cell(column))})" for column in columns]
        row = self._first_row(" OR ".join(wrong))
        if row is None:
            return
        parts = [f"{self.cell(column)}, {bad}" for column, bad in zip(columns, wrong, strict=True)]
        values = self.query(", ".join(parts), reader=f"{self.reader} LIMIT 1 OFFSET {row}").fetchall()[0]
        column, cell = next((column, values[2 * i]) for i, column in enumerate(columns) if values[2 * i + 1])
        assert self.layout is not None
        flaw = (
            f"{self.location}:{self._line(row)}: column '{column}' contains text: '{show_cell(cell)}' is not a number"
        )
        keys = advise_keys(cell, self.layout.delimiter)
        if not features:
            raise UserError(
                f"{flaw}; labels of a regression are numbers: fix the cell{keys}, or list the text of empty cells in "
                "'missing'"
            )
        raise UserError(
            f"{flaw}; fix the cell{keys}, list only columns of numbers in 'features', list the text of empty cells in "
            f"'missing', or encode columns of categories: one_hot: [{', '.join(self._list_text(columns, wrong))}]"
        )

    def _list_text(self, columns: Sequence[str], wrong: Sequence[str]) -> list[str]:
        """Return the columns with cells that are not numbers."""
        row = self.query(", ".join(f"bool_or({bad})" for bad in wrong)).fetchall()[0]
        return [column for column, has_text in zip(columns, row, strict=True) if has_text]

    def _first_row(self, predicate: str, values: Sequence[Any] = ()) -> int | None:
        numbered = f"SELECT row_number() OVER () - 1 AS n, coalesce({predicate}, false) AS bad FROM {self.reader}"
        return self.run(f"SELECT min(n) FROM ({numbered}) WHERE bad", [*values, *self.arguments]).fetchall()[0][0]

    def text(self, column: str, *, gaps: bool = False) -> Strings:
        """Return a column as strings; numbers as written in the file, with all digits and leading zeros."""
        return self._strings(self.as_written(column), column, gaps=gaps, reader=self.reader_of([column]))

    def _strings(self, expression: str, column: str, *, gaps: bool = False, reader: str | None = None) -> Strings:
        """Return the cells of a query; the last ones are kept, because ids are often the paths of images."""
        query = (expression, gaps, reader or self.reader)
        if self._last_read is None or self._last_read[0] != query:
            self._last_read = query, pack(self._fetched(self.query(expression, reader=reader), column, gaps))
        return self._last_read[1]

    def _fetched(self, result: duckdb.DuckDBPyConnection, column: str, gaps: bool) -> Iterator[list[str]]:
        """Yield the cells of one column in chunks; DuckDB reads the file while they are fetched."""
        row = 0
        while True:
            with self._translate_errors():
                cells = [cell for (cell,) in result.fetchmany(CHUNK)]
            if not cells:
                return
            if not gaps and None in cells:
                raise self.make_empty_error(column, row + cells.index(None))
            row += len(cells)
            yield [cell or "" for cell in cells]

    def make_empty_error(self, column: str, row: int) -> UserError:
        at = f" (line {self._line(row)})" if self.layout else ""
        return UserError(f"{self.location}: column '{column}' is empty in row {row}{at}; fill it or leave the row out")

    def describe_row(self, row: int) -> str:
        """Return the line of a row in a csv, otherwise its number, for messages."""
        return f"line {self._line(row)}" if self.layout else f"row {row}"

    def find_index_columns(self) -> list[str]:
        """Return the columns whose names stand for an index without a name: pandas writes it as one of them."""
        return [column for column in self.types if re.fullmatch(INDEX_COLUMN, column)]

    def _line(self, row: int) -> int:
        assert self.layout is not None
        return self.layout.line_of(row)

    def as_written(self, column: str) -> str:
        """Return the SQL of a column as text, for a query on `reader_of([column])`."""
        self._refuse_bytes(column)
        text = f"{self.cell(column)}::VARCHAR"
        return text if self.types[column].startswith(TEXT) else f"trim({text})"

    def _refuse_bytes(self, column: str) -> None:
        """Refuse a column whose cells must not be read as text or numbers, nor be printed."""
        self.quoted(column)  # refuses an unknown column
        if "BLOB" in self.types[column]:
            raise UserError(
                f"{self.location}: column '{column}' contains bytes; for images set image: {column}, otherwise add it "
                "to 'ignore'"
            )

    def as_typed(self, column: str, text: Sequence[str]) -> str:
        """Return the SQL of a column in its inferred type, for a query on `reader_of(text)`."""
        cell, kind = self.cell(column), self.types[column]
        guessed = column in text and self.rewrites_types and not kind.startswith(TEXT)
        return f"TRY_CAST({cell} AS {kind})" if guessed else cell

    def images(self, column: str) -> Iterator[bytes]:
        """Yield the images of a column of bytes or of {bytes, path}; b'' for an empty cell."""
        field = ".bytes" if self.is_struct(column) else ""
        result = self.query(f"{self.quoted(column)}{field}")
        while True:
            with self._translate_errors():
                cells = result.fetchmany(IMAGES)
            if not cells:
                return
            yield from (cell or b"" for (cell,) in cells)

    def is_struct(self, column: str) -> bool:
        """Return whether a column has the {bytes, path} of Hugging Face's images."""
        self.quoted(column)
        kind = self.types[column]
        return kind.startswith("STRUCT") and "bytes BLOB" in kind and not kind.endswith("]")

    def image_paths(self, column: str, *, gaps: bool = False) -> Strings:
        """Return the path of {bytes, path}."""
        return self._strings(f"{self.quoted(column)}.path", f"{column}.path", gaps=gaps)

    def reader_of(self, text: Sequence[str], others: Sequence[str] = ()) -> str:
        """Return the reader that keeps the columns of `text` as written in the file; `others` are read, too."""
        if not self.rewrites_types or all(self.types[column].startswith(TEXT) for column in text):
            return self.reader
        others_too = {column: self.types[column] for column in others}
        return self._json_reader({**others_too, **dict.fromkeys(text, "VARCHAR")})

    def quoted(self, column: str) -> str:
        """Return a column quoted for SQL.

        Raises:
            UserError: the file has no such column, or several columns have this name.
        """
        if column in self.equal_names:
            case = "" if self.layout else " (except for case)"
            raise UserError(
                f"{self.location}: several columns are named '{column}'{case}; rename them, because a name in a "
                "manifest means one column"
            )
        if column not in self.types:
            raise UserError(
                f"{self.location}: no column '{column}'{self._advise_layout()}; {did_you_mean(column, self.types)}"
            )
        return quote_name(column)

    def _advise_layout(self) -> str:
        """Return what may be wrong with the columns of a text file."""
        if self.layout is None or not self.options.has_keys:
            return ""
        first = next(filter(None, self.layout.header), "")
        if is_comment(first):
            return " (the first line looks like a comment; if it is, set skip_lines: 1)"
        single = " (the file has one column; set its delimiter, such as delimiter: whitespace)"
        return single if len(self.types) == 1 else ""

    # ------------------------------------------------------------ conditions

    def where(self, conditions: Sequence[Condition], formats: Mapping[str, str] = {}) -> np.ndarray:
        """Return the mask of the rows for which all conditions hold; an empty cell fulfils no condition."""
        self.formats = formats
        location = self.location.partition(":")[0] if self.private else self.location
        numbered = [number_class(each, self._list_names(each.column), location) for each in conditions]
        predicate, values = build_conjunction(numbered, self.comparable, self.cell)
        mask = self.arrays(f"{predicate} AS c", values)["c"]
        return np.asarray(mask, dtype=bool)

    def _list_names(self, column: str) -> list[str] | None:
        """Return the names of the classes whose numbers a column contains; None for other columns, and for lists."""
        return None if self.types.get(column, "]").endswith("]") else self.class_names.get(column)

    def comparable(self, column: str) -> TextColumn | TypedColumn:
        """Describe a column for `conditions`."""
        self.quoted(column)
        location = self.location.partition(":")[0] if self.private else self.location
        if not self.types[column].startswith("VARCHAR"):
            return TypedColumn(location, column, self.types[column])
        # Created on each call: a reference cycle would let a forked worker's garbage collector close the connection.
        return TextColumn(
            location,
            column,
            self.cell(column),
            self._query_row,
            self._compute,
            self.formats.get(column),
            self.private,
            untyped=self.layout is not None,
            line_of=self._place_of,
            facts=self._facts.setdefault(column, {}),
        )

    def _query_row(self, expressions: str, values: Sequence[Any]) -> tuple[Any, ...]:
        return self.query(expressions, values).fetchall()[0]

    def _compute(self, expressions: str, values: Sequence[Any]) -> tuple[Any, ...]:
        return self.run(f"SELECT {expressions}", values).fetchall()[0]

    def _place_of(self, predicate: str, values: Sequence[Any]) -> str:
        row = self._first_row(predicate, values)
        if row is None:
            return ""
        return f" (line {self._line(row)})" if self.layout else f" (row {row})"
