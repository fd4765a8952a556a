"""Text in memory, read through a DuckDB connection, so that conditions on arrays follow the rules of tables."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import duckdb
import numpy as np

from unlearn_cli.data.strings import Values, to_strings
from unlearn_cli.data.tables.comparable_columns import TextColumn
from unlearn_cli.data.tables.conditions import build_conjunction
from unlearn_cli.data.tables.locked_connection import connect
from unlearn_cli.schema.sources import Condition


def mask_text(location: str, condition: Condition, values: Values, pattern: str | None) -> np.ndarray:
    """Return the mask of the cells for which a condition holds; an empty cell fulfils no condition."""
    with _open_column(location, condition.column, values, pattern) as (column, select):
        predicate, parameters = build_conjunction([condition], lambda name: column, lambda name: column.sql)
        return select(predicate, parameters).astype(bool)


def read_moments(location: str, name: str, values: Values, pattern: str | None) -> tuple[np.ndarray, bool]:
    """Return the cells as moments in microseconds (int64; True), or as numbers (float64; False).

    Raises:
        UserError: they are neither ISO 8601 dates nor numbers, do not have the format, or one is empty.
    """
    with _open_column(location, name, values, pattern) as (column, select):
        sql, parameters, is_time = column.convert_to_ordered()
        return select(f"epoch_us({sql})" if is_time else sql, parameters), is_time


@contextmanager
def _open_column(location: str, name: str, values: Values, pattern: str | None) -> Iterator[tuple[TextColumn, Any]]:
    connection = _open_database(os.getpid()).cursor()
    connection.execute("CREATE TEMP TABLE cells (cell VARCHAR)")  # of this cursor
    for chunk in to_strings(values).chunks():
        connection.execute("INSERT INTO cells SELECT unnest(?)", [[_escape(text) for text in chunk]])

    def query(expressions: str, parameters: Sequence[Any]) -> tuple[Any, ...]:
        return connection.execute(f"SELECT {expressions} FROM cells", parameters).fetchall()[0]

    def compute(expressions: str, parameters: Sequence[Any]) -> tuple[Any, ...]:
        return connection.execute(f"SELECT {expressions}", parameters).fetchall()[0]

    def select(expressions: str, parameters: Sequence[Any]) -> np.ndarray:
        return np.asarray(connection.execute(f"SELECT {expressions} AS c FROM cells", parameters).fetchnumpy()["c"])

    def find_row(predicate: str, parameters: Sequence[Any]) -> str:
        first = f"SELECT min(rowid) FROM cells WHERE {predicate}"
        return f" (row {connection.execute(first, parameters).fetchall()[0][0]})"

    try:
        yield TextColumn(location, name, "nullif(cell, '')", query, compute, pattern, line_of=find_row), select
    finally:
        connection.close()


@cache
def _open_database(process: int) -> duckdb.DuckDBPyConnection:
    """Return the process's database in memory: a forked process cannot use its parent's, whose threads it lacks."""
    return connect([])


def _escape(text: str) -> str:
    """Escape text for DuckDB, because file names may contain bytes that are not UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
