"""The records of a manifest's train source as a table `source` of DuckDB, with the columns that requests ask for alone.

x0 is the record's id, x1, x2, ... are other columns as text (a person's key), t0, t1, ... those of conditions in their
own type; `label` refers to the table `labels`, where each label has its number k.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import duckdb
import numpy as np

from unlearn_cli.data.labels import unique_labels
from unlearn_cli.data.records import Records
from unlearn_cli.data.selection import describe_most_frequent
from unlearn_cli.data.strings import to_strings
from unlearn_cli.errors import UserError
from unlearn_cli.schema.sources import Condition

CHUNK = 50_000  # values that are handed to DuckDB at once


@dataclass(frozen=True)
class SelectionColumns:
    """Which columns requests ask for: those of groups, in the order of x1, x2, ..., those of conditions, and labels."""

    groups: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    labels: bool = False


class RecordTable(Protocol):
    """A source that has been opened."""

    @property
    def class_names(self) -> Sequence[str] | None:
        """The classes, if the source itself lists them."""
        ...

    def check(self, groups: Sequence[str], conditions: Sequence[Condition]) -> None:
        """Refuse columns that the source does not have.

        Raises:
            UserError: names the nearest one.
        """
        ...

    def load(self, wanted: SelectionColumns) -> np.ndarray:
        """Make the tables `source` and `labels`; return the labels (m,), each once, in the order of their numbers k."""
        ...

    def predicate(self, conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
        """Return the SQL that chooses rows of `source`, and its parameters."""
        ...

    def frequent_values(self, column: str) -> str:
        """Return the most frequent values of a column of conditions, for the operator's console only."""
        ...


@dataclass(frozen=True)
class TableInMemory:
    """A source of another format than a table: its ids, labels and columns are arrays."""

    records: Records
    connection: duckdb.DuckDBPyConnection

    @property
    def class_names(self) -> Sequence[str] | None:
        return self.records.class_names

    def check(self, groups: Sequence[str], conditions: Sequence[Condition]) -> None:
        for column in groups:
            self.records.column(column)
        self.records.where(list(conditions))

    def load(self, wanted: SelectionColumns) -> np.ndarray:
        columns = [self.records.ids, *(self.records.column(column) for column in wanted.groups)]
        texts = [to_strings(column).tolist() for column in columns]
        found, numbers = unique_labels(self.records.labels) if wanted.labels else ([], np.array([]))
        kinds = ", ".join(f"x{i} VARCHAR" for i in range(len(texts)))
        self.connection.execute(f"CREATE TABLE source ({kinds}, label BIGINT)")
        labels = numbers.tolist() if wanted.labels else [None] * len(self.records)
        _refuse_bytes(texts[0], self.records.name)
        insert(self.connection, "source", [*texts, labels])
        self.connection.execute("CREATE TABLE labels AS SELECT range AS label, range AS k FROM range(?)", [len(found)])
        return np.array(found)

    def predicate(self, conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
        chosen = self.records.ids[self.records.where(list(conditions))]
        return "x0 IN (SELECT unnest(?))", [chosen.astype(str).tolist()]

    def frequent_values(self, column: str) -> str:
        return describe_most_frequent(column, to_strings(self.records.column(column)))


def insert(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[list[Any]]) -> None:
    """Add rows to a table, given as columns."""
    marks = ", ".join("unnest(?)" for _ in columns)
    for part in _parts(columns):
        connection.execute(f"INSERT INTO {table} SELECT {marks}", part)


def _parts(columns: Sequence[list[Any]]) -> Iterator[list[list[Any]]]:
    for start in range(0, len(columns[0]), CHUNK):
        yield [column[start : start + CHUNK] for column in columns]


def _refuse_bytes(ids: list[str], name: str) -> None:
    for one in ids:
        if not one.isascii() and any("\ud800" <= letter <= "\udfff" for letter in one):
            raise UserError(f"{name}: the name of {one!a} is no UTF-8 text; rename it, so that a request can name it")
