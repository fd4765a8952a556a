"""The records of a manifest's train source as a table `source` of DuckDB, with only the columns that requests name.

x0 is the record's id; x1, x2, ... are columns of groups as text (a person's key); t0, t1, ... are columns of conditions
in their own type; `label` refers to the table `labels`, where each label has its number k.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import duckdb
import numpy as np

from unlearn_cli.data.labels import find_unique_labels
from unlearn_cli.data.records import Records
from unlearn_cli.data.selection import describe_most_frequent
from unlearn_cli.data.strings import to_strings
from unlearn_cli.errors import UserError
from unlearn_cli.schema.sources import Condition

CHUNK = 50_000  # values per statement


@dataclass(frozen=True)
class SelectionColumns:
    """The columns that requests name: those of groups, in the order of x1, x2, ..., those of conditions, and labels."""

    groups: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    labels: bool = False


class RecordTable(Protocol):
    """An open source."""

    @property
    def class_names(self) -> Sequence[str] | None:
        """The classes, if the source itself lists them."""
        ...

    def check(self, groups: Sequence[str], conditions: Sequence[Condition]) -> None:
        """Refuse columns that the source does not have.

        Raises:
            UserError: there is such a column; the message has the nearest one.
        """
        ...

    def load(self, columns: SelectionColumns) -> np.ndarray:
        """Create the tables `source` and `labels`; return the distinct labels (m,) in the order of their numbers k.

        `label` of `source` is a value of `labels`, which has each of its numbers: several of a multilabel record.
        """
        ...

    def predicate(self, conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
        """Return the SQL predicate of conditions on rows of `source`, and its parameters."""
        ...

    def frequent_values(self, column: str) -> str:
        """Return the most frequent values of a column of conditions.

        They may be personal data: show them to the operator, do not store them.
        """
        ...


@dataclass(frozen=True)
class TableInMemory:
    """A source in another format than a table file: its ids, labels and columns are arrays."""

    records: Records
    connection: duckdb.DuckDBPyConnection

    @property
    def class_names(self) -> Sequence[str] | None:
        return self.records.class_names

    def check(self, groups: Sequence[str], conditions: Sequence[Condition]) -> None:
        for column in groups:
            self.records.column(column)
        self.records.where(list(conditions))

    def load(self, columns: SelectionColumns) -> np.ndarray:
        values = [self.records.ids, *(self.records.column(column) for column in columns.groups)]
        texts = [to_strings(column).tolist() for column in values]
        distinct, of_records, pairs = self._number_labels() if columns.labels else ([], None, ([], []))
        kinds = ", ".join(f"x{i} VARCHAR" for i in range(len(texts)))
        self.connection.execute(f"CREATE TABLE source ({kinds}, label BIGINT)")
        self.connection.execute("CREATE TABLE labels (label BIGINT, k BIGINT)")
        _refuse_undecodable_ids(texts[0], self.records.name)
        insert(self.connection, "source", [*texts, of_records or [None] * len(self.records)])
        insert(self.connection, "labels", pairs)
        return np.array(distinct)

    def _number_labels(self) -> tuple[list[Any], list[int], tuple[list[int], list[int]]]:
        """Return the distinct labels, a value for each record, and the pairs of these values and label numbers."""
        if isinstance(marks := self.records.labels, np.ndarray) and marks.ndim == 2:  # a value for each record
            records, numbers = np.nonzero(marks)
            names = list(self.records.class_names or range(marks.shape[1]))
            return names, [*range(len(marks))], (records.tolist(), numbers.tolist())
        distinct, inverse = find_unique_labels(self.records.labels)
        return distinct, inverse.tolist(), ([*range(len(distinct))], [*range(len(distinct))])

    def predicate(self, conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
        chosen = self.records.ids[self.records.where(list(conditions))]
        return "x0 IN (SELECT unnest(?))", [chosen.astype(str).tolist()]

    def frequent_values(self, column: str) -> str:
        return describe_most_frequent(column, to_strings(self.records.column(column)))


def insert(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[list[Any]]) -> None:
    """Insert rows into a table, given as columns."""
    marks = ", ".join("unnest(?)" for _ in columns)
    for start in range(0, len(columns[0]), CHUNK):
        chunk = [column[start : start + CHUNK] for column in columns]
        connection.execute(f"INSERT INTO {table} SELECT {marks}", chunk)


def _refuse_undecodable_ids(ids: list[str], name: str) -> None:
    """Refuse ids from file names that are not UTF-8: a request could not name them."""
    for record_id in ids:
        if not record_id.isascii() and any("\ud800" <= letter <= "\udfff" for letter in record_id):
            raise UserError(
                f"{name}: the name of {record_id!a} is not UTF-8 text; rename it, so that a request can name it"
            )
