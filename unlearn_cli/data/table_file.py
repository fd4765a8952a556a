"""One csv, jsonl or parquet file behind a locked DuckDB connection, which sees this file and nothing else.

The connection cannot be reconfigured; names of columns are quoted, and conditions reach it as parameters.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from unlearn_cli.data.strings import CHUNK, Strings, Values, pack
from unlearn_cli.errors import ResourceError, UserError, did_you_mean
from unlearn_cli.sources import Condition
from unlearn_cli.spelling import number_of, text_of

READERS = {
    ".csv": "read_csv(?, sample_size=-1, header=true)", ".jsonl": "read_json(?, format='newline_delimited')",
    ".parquet": "read_parquet(?)",
}  # fmt: skip
DATES = ("DATE", "TIME")
TEXT = ("VARCHAR", *DATES)  # how types begin whose cells are text; the others are a guess, which may have rounded them
AS_TEXT = {".csv": "types", ".jsonl": "columns"}  # the option of the reader that sets columns' types


def connect(
    files: Sequence[Path], folder: Path | None = None, settings: Mapping[str, str] = {}, database: str = ":memory:"
) -> duckdb.DuckDBPyConnection:
    """Return a connection that reads these files, and writes below `folder` alone; nobody can change that later."""
    connection = duckdb.connect(database)
    connection.execute("SET enable_progress_bar = false")  # DuckDB's own would go to stdout
    for name, value in settings.items():
        connection.execute(f"SET {name} = {literal(value)}")
    connection.execute(f"SET allowed_paths = [{', '.join(literal(path.resolve()) for path in files)}]")
    if folder:
        connection.execute(f"SET allowed_directories = [{literal(folder.resolve())}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def is_out_of_resources(error: duckdb.Error) -> bool:
    """Recognise what DuckDB raises when memory, or the disk that it spills to, is full."""
    return isinstance(error, duckdb.OutOfMemoryException) or "No space left on device" in str(error)


def literal(value: str | Path) -> str:
    """Return text as SQL has it, where no parameter is allowed."""
    return "'" + str(value).replace("'", "''") + "'"


class TableFile:
    """The file, its columns and their types."""

    def __init__(
        self, path: Path, name: str, missing: list[str] | None = None,
        connection: duckdb.DuckDBPyConnection | None = None,
    ) -> None:  # fmt: skip
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise UserError(f"{name}: {path}: unknown kind of table; expected one of {', '.join(READERS)}")
        if not path.is_file():
            raise UserError(f"{name}: {path}: there is no such file")
        self.place, self.path, self.reader = f"{name}: {path}", str(path.resolve()), reader
        self.arguments: list[Any] = [self.path]
        if missing:
            self.reader, self.arguments = f"{reader[:-1]}, nullstr=?)", [self.path, ["", *missing]]
        self.as_text = AS_TEXT.get(path.suffix.lower())
        self.connection = connection or connect([path])
        described = self.run(f"DESCRIBE SELECT * FROM {self.reader}", self.arguments).fetchall()
        self.types: dict[str, str] = {column: kind for column, kind, *_ in described}

    def query(self, what: str, values: tuple[Any, ...] = (), reader: str | None = None) -> duckdb.DuckDBPyConnection:
        return self.run(f"SELECT {what} FROM {reader or self.reader}", (*values, *self.arguments))

    def run(self, command: str, values: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        with self._errors():
            return self.connection.execute(command, values)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Tell what DuckDB finds wrong; of a large file it may find it only while the cells are fetched."""
        try:
            yield
        except duckdb.Error as error:
            if is_out_of_resources(error):
                raise ResourceError(
                    f"{self.place}: memory or disk are too little to read it; free some space"
                ) from None
            reason = str(error).splitlines()[0]
            raise UserError(f"{self.place}: {reason}; mend the file or the condition") from None

    def arrays(self, what: str, values: tuple[Any, ...] = ()) -> dict[str, np.ndarray]:
        """Return the columns of a query by their names."""
        with self._errors():
            return self.query(what, values).fetchnumpy()

    def column(self, column: str, *, gaps: bool = False) -> Values:
        """Return a column; text and dates as strings, whole numbers as int64, other numbers as float64.

        It is complete, unless gaps are allowed: those are NaN in a column of numbers, else ''.
        """
        quoted = self.quoted(column)
        if self.types[column].startswith(TEXT):
            return self._strings(f"{quoted}::VARCHAR", column, gaps=gaps)
        return (self.columns_with_gaps if gaps else self.columns)([column])[0]

    def columns(self, columns: list[str]) -> list[np.ndarray]:
        """Return several complete columns, but read the file once; text as unicode."""
        stored = self._stored(columns)
        return [plain(self._complete(values, column)) for values, column in zip(stored, columns, strict=True)]

    def columns_with_gaps(self, columns: list[str]) -> list[np.ndarray]:
        """Return columns some of whose cells are empty: those hold NaN in columns of numbers, else ''."""
        return [_filled(values) for values in self._stored(columns)]

    def _stored(self, columns: list[str]) -> list[np.ndarray]:
        dates = {column for column in columns if self.types.get(column, "").startswith(DATES)}
        names = [f"{self.quoted(column)}{'::VARCHAR' if column in dates else ''}" for column in columns]
        found = self.arrays(", ".join(f"{name} AS c{i}" for i, name in enumerate(names)))
        return [found[f"c{i}"] for i in range(len(columns))]

    def text(self, column: str) -> Strings:
        """Return a complete column as strings; numbers as the file has them, with all digits and leading zeros."""
        return self._strings(self.as_written(column), column, reader=self.reader_of([column]))

    def _strings(self, what: str, column: str, *, gaps: bool = False, reader: str | None = None) -> Strings:
        return pack(self._fetched(self.query(what, reader=reader), column, gaps))

    def _fetched(self, found: duckdb.DuckDBPyConnection, column: str, gaps: bool) -> Iterator[list[str]]:
        """Yield the cells of one column some at a time: DuckDB reads on as they are fetched."""
        row = 0
        while rows := self._next(found):
            cells = [cell for (cell,) in rows]
            if not gaps and None in cells:
                raise self._empty(column, row + cells.index(None))
            row += len(cells)
            yield [cell or "" for cell in cells]

    def _next(self, found: duckdb.DuckDBPyConnection) -> list[Any]:
        with self._errors():
            return found.fetchmany(CHUNK)

    def _empty(self, column: str, row: int) -> UserError:
        return UserError(f"{self.place}: column '{column}' is empty in row {row}; fill it or leave the row out")

    def as_written(self, column: str) -> str:
        """Return the SQL for a column as text, where it is read by `reader_of` it."""
        text = f"{self.quoted(column)}::VARCHAR"
        return text if self.types[column].startswith(TEXT) else f"trim({text})"

    def as_typed(self, column: str, text: Sequence[str]) -> str:
        """Return the SQL for a column in its own type, where it is read by `reader_of` columns of text."""
        quoted, kind = self.quoted(column), self.types[column]
        guessed = column in text and self.as_text and not kind.startswith(TEXT)
        return f"TRY_CAST({quoted} AS {kind})" if guessed else quoted

    def reader_of(self, text: Sequence[str], others: Sequence[str] = ()) -> str:
        """Return the reader that leaves columns of `text` as the file has them; `others` are read beside them."""
        guessed = {column: "VARCHAR" for column in text if not self.types[column].startswith(TEXT)}
        if not guessed or not self.as_text:
            return self.reader
        # A jsonl file has no columns but those that are listed.
        listed = guessed if self.as_text == "types" else {column: self.types[column] for column in [*text, *others]}
        kinds = ", ".join(f"{literal(column)}: {literal(kind)}" for column, kind in {**listed, **guessed}.items())
        return f"{self.reader[:-1]}, {self.as_text}={{{kinds}}})"

    def _complete(self, values: np.ndarray, column: str) -> np.ndarray:
        if np.ma.is_masked(values):
            raise self._empty(column, int(np.flatnonzero(np.ma.getmaskarray(values))[0]))
        return np.asarray(values)

    def quoted(self, column: str) -> str:
        if column not in self.types:
            raise UserError(f"{self.place}: there is no column '{column}'; {did_you_mean(column, self.types)}")
        return '"' + column.replace('"', '""') + '"'

    def where(self, conditions: list[Condition]) -> np.ndarray:
        """Return the mask of the rows for which all conditions hold; an empty cell fulfils none."""
        predicate, values = conjunction(conditions, self.quoted, self.types)
        mask = self.arrays(f"{predicate} AS c", tuple(values))["c"]
        return np.asarray(mask, dtype=bool)


def conjunction(
    conditions: Sequence[Condition], column_of: Callable[[str], str], types: Mapping[str, str]
) -> tuple[str, list[Any]]:
    """Return the SQL that says whether all conditions hold (never null), and its parameters."""
    terms, values = [], []
    for condition in conditions:
        given = condition.value if isinstance(condition.value, list) else [condition.value]
        marks = ", ".join("?" for _ in given)
        operator, right = (condition.op, f"({marks})" if isinstance(condition.value, list) else marks)
        column = column_of(condition.column)
        # DuckDB takes NaN for the largest number; to us it is as unknown as an empty cell.
        known = f" AND NOT isnan({column})" if types[condition.column] in ("FLOAT", "DOUBLE") else ""
        terms.append(f"{column} {operator} {right}{known}")
        values += [_value(value, condition.op, types[condition.column]) for value in given]
    return f"coalesce({' AND '.join(terms)}, false)", values


def _value(value: str | float | bool, op: str, kind: str) -> str | float | bool:
    """Return the manifest's value as a column's cells are: text as it was written, else a number."""
    number, is_text = number_of(value), kind.startswith("VARCHAR") and op in ("==", "!=", "in", "not in")
    return text_of(value) if number is None or is_text else number


def plain(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "OMmbU":
        return values.astype(str)
    return values.astype(np.int64 if values.dtype.kind in "iu" else np.float64)


def _filled(values: np.ndarray) -> np.ndarray:
    known = ~np.ma.getmaskarray(values)
    if known.all():
        return plain(np.asarray(values))
    if values.dtype.kind in "iuf":
        return np.where(known, np.ma.getdata(values).astype(np.float64), np.nan)
    return np.where(known, np.ma.getdata(values).astype(str), "")
