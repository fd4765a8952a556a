"""The selections of requests: their columns, values, conditions and classes; and why some cannot be resolved."""

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
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.sources import Condition


class Selection(Protocol):
    """The selection of a request: the union of the records that it lists."""

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


NumberedSelections = dict[int, Selection]  # by position among all requests


def find_unknown_columns(table: RecordTable, selections: Sequence[Selection]) -> dict[int, str]:
    """Return the problems of requests that name columns which the source does not have."""
    problems = {}
    for number, selection in enumerate(selections):
        try:
            table.check([selection.groups.column] if selection.groups else [], selection.where)
        except UserError as error:
            problems[number] = str(error)
    return problems


def collect_columns(selections: NumberedSelections, task: Task) -> SelectionColumns:
    """Return the columns that the selections name; a regression has no classes that requests could name."""
    groups = dict.fromkeys(selection.groups.column for selection in selections.values() if selection.groups)
    conditions = dict.fromkeys(condition.column for selection in selections.values() for condition in selection.where)
    has_classes = task != "regression" and any(selection.classes for selection in selections.values())
    return SelectionColumns([*groups], [*conditions], has_classes)


def collect_values(selections: NumberedSelections, groups: list[str]) -> list[list[Any]]:
    """Return the ids and the values of groups as three columns: request, slot (see `matching`) and value."""
    requests: list[int] = []
    slots: list[int] = []
    texts: list[str] = []
    for number, selection in selections.items():
        listed: list[tuple[int, Sequence[Any]]] = [(0, selection.ids)]
        if selection.groups:
            listed.append((1 + groups.index(selection.groups.column), selection.groups.values))
        for slot, values in listed:
            requests += [number] * len(values)
            slots += [slot] * len(values)
            texts += map(str, values)
    return [requests, slots, texts]


def match_conditions_and_classes(
    manifest: Manifest,
    connection: duckdb.DuckDBPyConnection,
    table: RecordTable,
    selections: NumberedSelections,
    labels: np.ndarray,
) -> tuple[dict[int, str], dict[int, list[str]]]:
    """Find the records that conditions and classes select.

    Return the problems of requests whose values cannot be compared, and the class names of the others.
    """
    problems: dict[int, str] = {}
    names: dict[int, list[str]] = {}
    classes = _list_classes(manifest, table, labels)
    for number, selection in selections.items():
        try:
            if selection.classes:
                names[number], chosen = _find_labels(selection.classes, labels, classes)
                matching.match_labels(connection, number, chosen)
            if selection.where:
                matching.match_rows(connection, number, *table.predicate(selection.where))
        except UserError as error:
            problems[number] = str(error)
    return problems, names


def _list_classes(manifest: Manifest, table: RecordTable, labels: np.ndarray) -> Classes | None:
    """Return the classes, or labels, of the manifest; None of a regression, or if no request names a class."""
    if manifest.task == "regression" or not len(labels):
        return None
    count = manifest.model.arguments.get("num_classes")
    return list_classes(manifest.classes, labels, count, table.class_names, NAME)


def _find_labels(
    listed: Sequence[str | int], labels: np.ndarray, classes: Classes | None
) -> tuple[list[str], list[int]]:
    """Return the names of the listed classes, and the positions in `labels` of their labels."""
    if classes is None:
        raise UserError("a regression has no classes; choose what to forget with 'where'")
    chosen = find_class_numbers(listed, classes, "classes")
    numbers = find_label_numbers(labels.tolist(), classes)
    return [str(classes[number]) for number in chosen], [i for i, number in enumerate(numbers) if number in chosen]
