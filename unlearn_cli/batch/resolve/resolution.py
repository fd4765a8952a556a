"""Resolves requests to the records of the source that they select, as lists of ids.

A table file is never in memory as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import duckdb

from unlearn_cli.batch.resolve import matching, request_selections
from unlearn_cli.batch.resolve.record_table import RecordTable
from unlearn_cli.batch.resolve.request_selections import Selection
from unlearn_cli.batch.resolve.source_connection import NAME, connect_to_source, open_table
from unlearn_cli.batch.settings.deletion import check_batch_manifest
from unlearn_cli.errors import UserError, translate_resource_errors
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.storage.atomic_files import output_file

__all__ = ["Resolution", "ResolvedRequest", "Selection", "resolve"]

HINTS = 10  # number of unknown ids for which a similar one is looked up: each look-up reads all records


@dataclass(frozen=True)
class ResolvedRequest:
    """The number of records of a request, or the problem because of which it cannot be resolved (then all are 0).

    `records` are to be forgotten; `already` are in the source and were forgotten before; `purged` ids were forgotten
    before and are no longer in the source; `unknown` counts ids that are neither, and values of groups that no record
    has. `examples` are some of the unknown values, or frequent values of the columns whose conditions no record
    fulfils. They are personal data: show them to the operator, do not store them.
    """

    request: str
    records: int = 0
    already: int = 0
    purged: int = 0
    unknown: int = 0
    examples: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Resolution:
    """The number of records of the source, of those to forget, and of those forgotten before.

    `classes` has, per request, the names of the classes that it lists by name or position.
    """

    source: int
    records: int
    forgotten: int
    requests: tuple[ResolvedRequest, ...]
    classes: dict[str, list[str]] = field(default_factory=dict)


def resolve(
    manifest: Manifest,
    path: Path,
    requests: Sequence[Selection],
    folder: Path,
    *,
    digests: Path | None = None,
    key: bytes = b"",
    unknown_ids: Literal["ignore", "set_aside"] = "ignore",
    leave_some: bool = False,
) -> Resolution:
    """Find the records that requests select, and write the lists of ids that sections of a manifest refer to.

    `folder` receives forget.csv, the union of the selections without the records forgotten before, and forgotten.csv,
    the records of the source whose id has one of the keyed hashes in `digests` (a csv with this column): HMAC-SHA256
    with `key` of the id as UTF-8. A request with a problem adds nothing to the union; with `set_aside`, neither does a
    request with unknown values. With `leave_some`, a request that would extend the union to all remaining records has
    this as its problem. An empty cell in a column of groups belongs to no group.

    Raises:
        UserError: as `check_batch_manifest`; the source cannot be read; an id is empty or occurs twice.
        ResourceError: the disk is full.
    """
    check_batch_manifest(manifest, path)
    try:
        with translate_resource_errors(folder), connect_to_source(manifest, folder, digests) as connection:
            resolved, classes = _match_requests(manifest, connection, requests, digests, key)
            strict = unknown_ids == "set_aside"
            accepted = [n for n, item in enumerate(resolved) if not (item.problem or (item.unknown and strict))]
            for n in matching.find_exhausting(connection, accepted) if leave_some else ():
                accepted.remove(n)
                problem = _describe_exhaustion(connection, resolved[n])
                resolved[n] = ResolvedRequest(resolved[n].request, problem=problem)
            return _write_lists(connection, folder, resolved, accepted, classes)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _match_requests(
    manifest: Manifest,
    connection: duckdb.DuckDBPyConnection,
    requests: Sequence[Selection],
    digests: Path | None,
    key: bytes,
) -> tuple[list[ResolvedRequest], dict[str, list[str]]]:
    """Return the resolved requests, and the names of the classes that they list."""
    table = open_table(manifest, connection)
    problems = request_selections.find_unknown_columns(table, requests)
    selections = {number: request for number, request in enumerate(requests) if number not in problems}
    columns = request_selections.collect_columns(selections, manifest.task)
    labels = table.load(columns)
    matching.check_ids(connection, NAME)
    matching.load_forgotten(connection, digests, key)
    values = request_selections.collect_values(selections, columns.groups)
    matching.match_values(connection, values, 1 + len(columns.groups), key)
    incomparable, classes = request_selections.match_conditions_and_classes(
        manifest, connection, table, selections, labels
    )
    resolved = _count_matches(connection, requests, problems | incomparable, columns.groups)
    resolved = [_add_hints(item, table, request) for item, request in zip(resolved, requests, strict=True)]
    return resolved, {requests[number].request: names for number, names in classes.items()}


def _add_hints(resolved: ResolvedRequest, table: RecordTable, request: Selection) -> ResolvedRequest:
    """Add frequent values of the columns of conditions, if a request selects nothing and has no unknown values."""
    if resolved.problem or resolved.records or resolved.already or resolved.purged or resolved.unknown:
        return resolved
    columns = [*dict.fromkeys(condition.column for condition in request.where)][: matching.EXAMPLES]
    hints = (f"no record fulfils 'where': {table.frequent_values(column)}" for column in columns)
    return replace(resolved, examples=tuple(hints))


def _count_matches(
    connection: duckdb.DuckDBPyConnection, requests: Sequence[Selection], problems: dict[int, str], groups: list[str]
) -> list[ResolvedRequest]:
    records, missing = matching.count_records(connection), matching.count_missing(connection)
    examples = _collect_examples(connection, groups)
    none = (0, 0)
    return [
        ResolvedRequest(request.request, problem=problems[n])
        if n in problems
        else ResolvedRequest(request.request, *records.get(n, none), *missing.get(n, none), tuple(examples.get(n, ())))
        for n, request in enumerate(requests)
    ]


def _collect_examples(connection: duckdb.DuckDBPyConnection, groups: list[str]) -> dict[int, list[str]]:
    """Return some unknown values per request, each with a similar value if there is one."""
    examples: dict[int, list[str]] = {}
    for count, (number, slot, value) in enumerate(matching.list_unknown(connection)):
        similar = matching.find_similar(connection, slot, value) if count < HINTS else None
        hint = f" (did you mean '{similar}'?)" if similar is not None else ""
        examples.setdefault(number, []).append((f"{groups[slot - 1]} = {value}" if slot else value) + hint)
    return examples


def _describe_exhaustion(connection: duckdb.DuckDBPyConnection, resolved: ResolvedRequest) -> str:
    """Return why a request would leave no record: by itself, or together with those that are due before it."""
    remaining = matching.count_remaining(connection)
    subject = "it" if resolved.records == remaining else "with the requests that are due before it, it"
    return (
        f"{subject} selects all {remaining} records that are not forgotten yet, and nothing would be left to retain; "
        "correct it"
    )


def _write_lists(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    resolved: list[ResolvedRequest],
    accepted: list[int],
    classes: dict[str, list[str]],
) -> Resolution:
    with output_file(folder / "forget.csv") as new:
        num_records = matching.write_ids(connection, new, matching.select_to_forget(connection, accepted))
    with output_file(folder / "forgotten.csv") as new:
        num_forgotten = matching.write_ids(connection, new, "SELECT row FROM forgotten")
    source = matching.count_source(connection)
    return Resolution(source, num_records, num_forgotten, tuple(resolved), classes)
