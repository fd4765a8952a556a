"""A csv, jsonl or parquet file, read and filtered by DuckDB: one record a row, image paths or columns of features.

The connection sees this one file and nothing else, cannot be reconfigured, and conditions reach it as parameters.
"""

from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from unlearn_cli.data.images import ImageFiles
from unlearn_cli.data.records import Inputs, Records, array_inputs
from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.forget import Condition
from unlearn_cli.manifest import Input
from unlearn_cli.sources import Table

READERS = {
    ".csv": "read_csv(?, sample_size=-1, header=true)", ".jsonl": "read_json(?, format='newline_delimited')",
    ".parquet": "read_parquet(?)",
}  # fmt: skip
AS_TEXT = {".csv": "types", ".jsonl": "columns"}  # the option of the reader that sets a column's type


def table(spec: Table, name: str, input: Input, task: str) -> Records:
    """Read labels, ids and features (or image paths) of all rows, in the file's order."""
    file = _File(spec.path, name)
    labels = file.column(spec.label)
    if not len(labels):
        raise UserError(f"{file.place}: holds no records; name a table with some")
    ids = np.arange(len(labels)) if spec.id is None else file.text(spec.id)
    inputs = _images(spec, file, name, input) if spec.image else _features(spec, file, name, input)
    return Records(name, inputs, labels, ids, partial(_any_column, file, labels, ids), file.where)


def read_column(path: Path, column: str, name: str) -> np.ndarray:
    """Read one column, as text, of a table that stands alone, such as a file of ids."""
    return _File(path, name).text(column)


class _File:
    """One file behind a locked connection."""

    def __init__(self, path: Path, name: str) -> None:
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise UserError(f"{name}: {path}: unknown kind of table; expected one of {', '.join(READERS)}")
        if not path.is_file():
            raise UserError(f"{name}: {path}: there is no such file")
        self.place, self.path, self.reader = f"{name}: {path}", str(path.resolve()), reader
        self.as_text = AS_TEXT.get(path.suffix.lower())
        self.connection = duckdb.connect(":memory:")
        self.connection.execute("SET allowed_paths = [" + "'" + self.path.replace("'", "''") + "']")
        self.connection.execute("SET enable_external_access = false")
        self.connection.execute("SET lock_configuration = true")
        description = self.query("*", limit="LIMIT 0").description
        self.types = {column: str(kind) for column, kind, *_ in description}

    def query(
        self, what: str, values: tuple[Any, ...] = (), limit: str = "", reader: str | None = None
    ) -> duckdb.DuckDBPyConnection:
        try:
            return self.connection.execute(f"SELECT {what} FROM {reader or self.reader} {limit}", (*values, self.path))
        except duckdb.Error as error:
            raise UserError(f"{self.place}: {str(error).splitlines()[0]}; mend the file or the condition") from None

    def column(self, column: str) -> np.ndarray:
        """Return a column; text and dates as unicode, whole numbers as int64, other numbers as float64."""
        quoted = self.quoted(column)
        cast = "::VARCHAR" if self.types[column].startswith(("DATE", "TIME")) else ""
        values = self._complete(self.query(f"{quoted}{cast} AS c"), column)
        if values.dtype.kind in "OMmb":
            return values.astype(str)
        return values.astype(np.int64 if values.dtype.kind in "iu" else np.float64)

    def text(self, column: str) -> np.ndarray:
        """Return a column as unicode; numbers as the file has them, with all digits and leading zeros."""
        quoted = self.quoted(column)
        if self.types[column].startswith(("DATE", "TIME", "VARCHAR")):
            return self.column(column)
        reader = self.reader
        if self.as_text:  # there the type is a guess, and numbers too long for it were rounded before a cast sees them
            name = column.replace("'", "''")
            reader = f"{reader[:-1]}, {self.as_text}={{'{name}': 'VARCHAR'}})"
        return self._complete(self.query(f"trim({quoted}::VARCHAR) AS c", reader=reader), column).astype(str)

    def _complete(self, found: duckdb.DuckDBPyConnection, column: str) -> np.ndarray:
        values = found.fetchnumpy()["c"]
        if np.ma.is_masked(values):
            row = int(np.flatnonzero(np.ma.getmaskarray(values))[0])
            raise UserError(f"{self.place}: column '{column}' is empty in row {row}; fill it or leave the row out")
        return np.asarray(values)

    def quoted(self, column: str) -> str:
        if column not in self.types:
            raise UserError(f"{self.place}: there is no column '{column}'; {did_you_mean(column, self.types)}")
        return '"' + column.replace('"', '""') + '"'

    def where(self, conditions: list[Condition]) -> np.ndarray:
        """Return the mask of the rows for which all conditions hold; an empty cell fulfils none."""
        terms, values = [], []
        for condition in conditions:
            given = condition.value if isinstance(condition.value, list) else [condition.value]
            marks = ", ".join("?" for _ in given)
            operator, right = ("IN", f"({marks})") if condition.op == "in" else (condition.op, marks)
            column = self.quoted(condition.column)
            # DuckDB takes NaN for the largest number; to us it is as unknown as an empty cell.
            known = f" AND NOT isnan({column})" if self.types[condition.column] in ("FLOAT", "DOUBLE") else ""
            terms.append(f"{column} {operator} {right}{known}")
            values += given
        mask = self.query(f"coalesce({' AND '.join(terms)}, false) AS c", tuple(values)).fetchnumpy()["c"]
        return np.asarray(mask, dtype=bool)


def _any_column(file: _File, labels: np.ndarray, ids: np.ndarray, column: str) -> np.ndarray:
    reserved = {"label": labels, "id": ids}
    return file.text(column) if column in file.types or column not in reserved else reserved[column]


def _features(spec: Table, file: _File, name: str, input: Input) -> Inputs:
    taken = {spec.label, spec.id, *spec.ignore}
    columns = spec.features or [column for column in file.types if column not in taken]
    if not columns:
        raise UserError(f"{file.place}: has no columns of features beside label and id; add some")
    for column in columns:
        if file.column(column).dtype.kind == "U":
            raise UserError(f"{file.place}: column '{column}' holds text; list the columns of numbers as 'features'")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which array_inputs refuses
        features = [file.column(column).astype(np.float32) for column in columns]
    return array_inputs(f"{name}: {spec.path}", np.stack(features, axis=1), input.shape)


def _images(spec: Table, file: _File, name: str, input: Input) -> Inputs:
    if len(input.shape) != 3 or input.shape[0] not in (1, 3):
        raise UserError(f"{name}: images have shape [1 or 3, height, width], but input.shape is {input.shape}")
    root = (spec.root or spec.path.parent).resolve()
    assert spec.image is not None
    paths = [root / path for path in file.column(spec.image).astype(str)]
    for row, path in enumerate(paths):
        if not path.resolve().is_relative_to(root):
            raise UserError(
                f"{file.place}: the image of row {row} lies outside of its folder; set 'root' to where images lie"
            )
        if not path.is_file():
            raise UserError(f"{file.place}: row {row}: there is no image {path.relative_to(root)} below its folder")
    return ImageFiles(paths, input)
