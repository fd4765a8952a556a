"""What requests ask of the source: columns, values, conditions, classes; and why some cannot be resolved."""

from collections.abc import Sequence
from typing import Any, Protocol

import duckdb
import numpy as np

from unlearn_cli.batch.resolve import matching
from unlearn_cli.batch.resolve.record_table import RecordTable, SelectionColumns
from unlearn_cli.batch.resolve.source_connection import NAME
from unlearn_cli.data.labels import Classes, find_class_numbers, find_label_numbers, list_classes
from unlearn_cli.errors import UserError
from unlearn_cli.schema.forget import Groups
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.sources import Condition


class Selection(Protocol):
    """What a request asks to forget: the union of what it lists."""

    @property
    def request(self) -> str: ...
    @property
    def ids(self) -> Sequence[str | int]: ...
    @property
    def groups(self) -> Groups | None: ...
    @property
    def classes(self) -> Sequence[str | int]: ...
    @property
    def where(self) -> Sequence[Condition]: ...


NumberedSelections = dict[int, Selection]  # by their place among all requests


def find_unknown_columns(table: RecordTable, selections: Sequence[Selection]) -> dict[int, str]:
    """Return the problems of requests that name columns which are not there."""
    problems = {}
    for number, one in enumerate(selections):
        try:
            table.check([one.groups.column] if one.groups else [], one.where)
        except UserError as error:
            problems[number] = str(error)
    return problems


def collect_columns(asked: NumberedSelections) -> SelectionColumns:
    """Return the columns that are needed."""
    groups = dict.fromkeys(one.groups.column for one in asked.values() if one.groups)
    conditions = dict.fromkeys(condition.column for one in asked.values() for condition in one.where)
    return SelectionColumns([*groups], [*conditions], any(one.classes for one in asked.values()))


def collect_values(asked: NumberedSelections, groups: list[str]) -> list[list[Any]]:
    """Return the ids and the values of groups as three columns: request, slot (see `matching`) and value."""
    requests: list[int] = []
    slots: list[int] = []
    texts: list[str] = []
    for number, one in asked.items():
        listed = [(0, one.ids), *([(1 + groups.index(one.groups.column), one.groups.values)] if one.groups else [])]
        for slot, named in listed:
            requests += [number] * len(named)
            slots += [slot] * len(named)
            texts += map(str, named)
    return [requests, slots, texts]


def match_conditions_and_classes(
    manifest: Manifest,
    connection: duckdb.DuckDBPyConnection,
    table: RecordTable,
    asked: NumberedSelections,
    labels: np.ndarray,
) -> tuple[dict[int, str], dict[int, list[str]]]:
    """Find the records that conditions and classes select.

    Return the problems of requests that cannot be compared, and the names of the classes of the others.
    """
    problems: dict[int, str] = {}
    names: dict[int, list[str]] = {}
    classes = _classes(manifest, table, labels)
    for number, one in asked.items():
        try:
            if one.classes:
                names[number], chosen = _labels(one.classes, labels, classes)
                matching.match_labels(connection, number, chosen)
            if one.where:
                matching.match_rows(connection, number, *table.predicate(one.where))
        except UserError as error:
            problems[number] = str(error)
    return problems, names


def _classes(manifest: Manifest, table: RecordTable, labels: np.ndarray) -> Classes | None:
    """Return the classes of the manifest; None in a regression, and where no request names one."""
    if manifest.task == "regression" or not len(labels):
        return None
    count = manifest.model.arguments.get("num_classes")
    return list_classes(manifest.classes, labels, count, table.class_names, NAME)


def _labels(listed: Sequence[str | int], labels: np.ndarray, classes: Classes | None) -> tuple[list[str], list[int]]:
    """Return the names of the classes listed, and the positions in `labels` of those that belong to them."""
    if classes is None:
        raise UserError("a regression has no classes; choose what to forget with 'where'")
    chosen = find_class_numbers(listed, classes, "classes")
    numbers = find_label_numbers(labels.tolist(), classes)
    return [str(classes[number]) for number in chosen], [i for i, number in enumerate(numbers) if number in chosen]
