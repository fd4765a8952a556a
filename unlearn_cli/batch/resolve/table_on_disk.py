"""A csv, jsonl or parquet source as the table `source`: read once by DuckDB, and only the columns that are needed.

The rows that are records are selected as `unlearn_cli.data` selects them in memory: windows first, then rows without a
label are dropped, then the source's `rows` apply.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from unlearn_cli.batch.resolve.record_table import SelectionColumns, insert
from unlearn_cli.data.selection import SHOWN, describe_frequencies
from unlearn_cli.data.tables.column_arrays import normalise_dtype
from unlearn_cli.data.tables.conditions import build_conjunction
from unlearn_cli.data.tables.table_file import TableFile
from unlearn_cli.data.transforms.windows import number_series, plan_windows, read_times
from unlearn_cli.schema.sources import Condition, Rows, Table
from unlearn_cli.schema.transform_steps import Window

NAME = "data.train"


@dataclass(frozen=True)
class Query:
    """A SELECT and its parameters."""

    text: str
    values: list[Any]

    def where(self, predicate: str, values: Sequence[Any] = ()) -> "Query":
        return Query(f"SELECT * FROM ({self.text}) WHERE {predicate}", [*self.values, *values])

    def numbered(self) -> "Query":
        """Add the column n: the row's number, in the order of the file."""
        return Query(f"SELECT *, row_number() OVER () - 1 AS n FROM ({self.text})", self.values)

    def unnumbered(self) -> "Query":
        return Query(f"SELECT * EXCLUDE n FROM ({self.text})", self.values)


@dataclass(frozen=True)
class TableOnDisk:
    """A table file, its section of the manifest, and the names in `source` of the columns of conditions."""

    file: TableFile
    spec: Table
    window: Window | None
    rows: Rows | None
    class_names: None = None
    names: dict[str, str] = field(default_factory=dict)

    def check(self, groups: Sequence[str], conditions: Sequence[Condition]) -> None:
        for column in (*map(self._resolve_alias, groups), *(condition.column for condition in conditions)):
            self.file.quoted(column)

    def _resolve_alias(self, column: str) -> str:
        """Return the stored column of the names `id` and `label`, which every source has."""
        aliases = {"id": self.spec.id or "", "label": self.spec.label_columns[0]}
        return column if column in self.file.types else aliases.get(column, column)

    def load(self, columns: SelectionColumns) -> np.ndarray:
        own = [condition.column for condition in (self.rows and self.rows.where) or []]
        self.names.update({column: f"t{i}" for i, column in enumerate(dict.fromkeys([*own, *columns.conditions]))})
        query = self._select_records(self._read_columns(columns))
        self.file.run(f"CREATE TABLE source AS {query.text}", query.values)
        if not columns.labels:
            return np.array([])
        distinct = "SELECT DISTINCT label FROM source WHERE label IS NOT NULL"
        numbered = f"SELECT label, row_number() OVER (ORDER BY label) - 1 AS k FROM ({distinct})"
        self.file.run(f"CREATE TABLE labels AS {numbered}")
        return normalise_dtype(self.file.run("SELECT label FROM labels ORDER BY k").fetchnumpy()["label"])

    def predicate(self, conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
        return build_conjunction(conditions, self.file.comparable, self.names.__getitem__)

    def frequent_values(self, column: str) -> str:
        name = self.names[column]
        cells = f"SELECT {name}::VARCHAR AS cell, count(*) AS n FROM source WHERE {name} IS NOT NULL GROUP BY cell"
        return describe_frequencies(column, self.file.run(f"{cells} ORDER BY n DESC, cell LIMIT {SHOWN}").fetchall())

    def _read_columns(self, columns: SelectionColumns) -> Query:
        """Return the query of the columns: texts as written in the file, others in the type that the reader detects."""
        texts = [self.spec.id or "", *map(self._resolve_alias, columns.groups)]
        labels = self.spec.label_columns if columns.labels or self.spec.unlabelled == "drop" else []
        expressions = [f"{self.file.as_written(column)} AS x{i}" for i, column in enumerate(texts)]
        expressions += [f"{self.file.as_typed(column, texts)} AS {name}" for column, name in self.names.items()]
        expressions += [f"{self._cast_label(self.file.as_typed(column, texts))} AS label" for column in labels]
        reader = self.file.reader_of(texts, [*self.names, *labels])
        return Query(f"SELECT {', '.join(expressions)} FROM {reader}", self.file.arguments)

    def _select_records(self, query: Query) -> Query:
        """Return the query of the rows that are records."""
        if self.window and (self.window.series or self.window.time):
            query = self._select_windows(query, self.window)
        elif self.window:
            first = self.window.length + self.window.ahead - 1
            own = "n >= ? AND (n - ?) % ? = 0"
            query = query.numbered().where(own, (first, first, self.window.every)).unnumbered()
        if self.spec.unlabelled == "drop":
            query = query.where(self._format_has_label())
        if self.rows is None:
            return query
        if self.rows.where:
            return query.where(*self.predicate(self.rows.where))
        return query.numbered().where(*self._format_rows(self.rows, query)).unnumbered()

    def _select_windows(self, query: Query, window: Window) -> Query:
        """Return the query of the rows whose window is inside their series."""
        count = self.file.query("count(*)").fetchall()[0][0]
        series = (
            number_series(NAME, window.series, self.file.text(window.series)) if window.series is not None else None
        )
        times = window.time and read_times(NAME, window.time, self.file.text(window.time), self.file.formats)
        plan = plan_windows(NAME, count, window, series, times or None)
        self.file.run("CREATE TABLE windows (n BIGINT)")
        insert(self.file.connection, "windows", [plan.own.tolist()])
        return query.numbered().where("n IN (SELECT n FROM windows)").unnumbered()

    @cached_property
    def _label_kind(self) -> str:
        return self.file.label_kind(self.spec.label_columns[0])

    def _cast_label(self, cell: str) -> str:
        """Return the SQL of the label in its type in memory: class numbers of a csv are numbers."""
        return f"TRY_CAST({cell} AS BIGINT)" if self.file.layout and self._label_kind == "BIGINT" else cell

    def _format_has_label(self) -> str:
        kind = self._label_kind
        conditions = {"VARCHAR": "label <> ''", "FLOAT": "NOT isnan(label)", "DOUBLE": "NOT isnan(label)"}
        return f"label IS NOT NULL AND {conditions.get(kind, 'true')}"

    def _format_rows(self, rows: Rows, query: Query) -> tuple[str, list[int]]:
        if rows.every:
            return "n % ? = 0", [rows.every]
        if rows.not_every:
            return "n % ? <> 0", [rows.not_every]
        count = self.file.run(f"SELECT count(*) FROM ({query.text})", query.values).fetchall()[0][0]
        return ("n < ?" if rows.first else "n >= ?"), [rows.cut(count)]
