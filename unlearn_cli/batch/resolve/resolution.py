"""Which records of the source do requests mean? The lists of their ids; a table is never in memory as a whole."""

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

HINTS = 10  # unknown ids for which a near one is looked up: each takes a look at all records


@dataclass(frozen=True)
class ResolvedRequest:
    """What was found of one request.

    `records` are to be forgotten; `already` are in the source, but known to the ledger; of its ids `purged` are not in
    the source, but known to the ledger. `unknown` counts ids that neither knows, and values of groups that no record
    has; `examples` of these, or of what the columns hold whose conditions no record fulfils, are personal data, for the
    operator's console alone. With a `problem`, which says why it cannot be resolved, all of these are zero.
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
    """How many records the source has, how many of them are to be forgotten and are forgotten already, and where.

    `classes` has, by request, the names of the classes that it lists by name or position.
    """

    source: int
    records: int
    forgotten: int
    requests: tuple[ResolvedRequest, ...]
    forget_file: Path
    forgotten_file: Path
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

    `folder` gets forget.csv, the union of what requests select without what is forgotten already, and forgotten.csv,
    the records of the source that have one of the keyed hashes in `digests` (a csv with that one column): HMAC-SHA256
    under `key` of the id as UTF-8. A request with a problem adds nothing to the union, and with `set_aside` neither
    does one with something unknown. With `leave_some`, a request that would make the union all that is not forgotten
    yet has that problem. Nobody knows to whom an empty cell in a column of groups belongs: to no group.

    Raises:
        UserError: as `check_source`; the source cannot be read; an id is empty or there twice.
        ResourceError: the disk is full.
    """
    check_batch_manifest(manifest, path)
    try:
        with translate_resource_errors(folder), connect_to_source(manifest, folder, digests) as connection:
            found, classes = _match(manifest, connection, requests, digests, key)
            refused = [one.problem or (one.unknown and unknown_ids == "set_aside") for one in found]
            accepted = [n for n, no in enumerate(refused) if not no]
            for n in matching.find_exhausting(connection, accepted) if leave_some else ():
                accepted.remove(n)
                found[n] = ResolvedRequest(found[n].request, problem=_all(connection, found[n]))
            return _write(connection, folder, found, accepted, classes)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _match(
    manifest: Manifest,
    connection: duckdb.DuckDBPyConnection,
    requests: Sequence[Selection],
    digests: Path | None,
    key: bytes,
) -> tuple[list[ResolvedRequest], dict[str, list[str]]]:
    table = open_table(manifest, connection)
    problems = request_selections.find_unknown_columns(table, requests)
    asked = {number: one for number, one in enumerate(requests) if number not in problems}
    wanted = request_selections.collect_columns(asked)
    labels = table.load(wanted)
    matching.check_ids(connection, NAME)
    matching.load_forgotten(connection, digests, key)
    matching.match_values(
        connection, request_selections.collect_values(asked, wanted.groups), 1 + len(wanted.groups), key
    )
    incomparable, classes = request_selections.match_conditions_and_classes(manifest, connection, table, asked, labels)
    found = _found(connection, requests, problems | incomparable, wanted.groups)
    found = [_with_hints(one, table, request) for one, request in zip(found, requests, strict=True)]
    return found, {requests[number].request: names for number, names in classes.items()}


def _with_hints(found: ResolvedRequest, table: RecordTable, request: Selection) -> ResolvedRequest:
    """Show what the columns of conditions hold, if a request selects nothing and nothing unknown is the reason."""
    if found.problem or found.records or found.already or found.purged or found.unknown:
        return found
    columns = [*dict.fromkeys(condition.column for condition in request.where)][: matching.EXAMPLES]
    hints = (f"no record fulfils 'where': {table.frequent_values(column)}" for column in columns)
    return replace(found, examples=tuple(hints))


def _found(
    connection: duckdb.DuckDBPyConnection, requests: Sequence[Selection], problems: dict[int, str], groups: list[str]
) -> list[ResolvedRequest]:
    records, missing = matching.count_records(connection), matching.count_missing(connection)
    examples: dict[int, list[str]] = {}
    for number, slot, value in matching.list_unknown(connection):
        alike = matching.find_similar(connection, slot, value) if sum(map(len, examples.values())) < HINTS else None
        hint = f" (did you mean '{alike}'?)" if alike is not None else ""
        examples.setdefault(number, []).append((f"{groups[slot - 1]} = {value}" if slot else value) + hint)
    none = (0, 0)
    return [
        ResolvedRequest(one.request, problem=problems[n])
        if n in problems
        else ResolvedRequest(one.request, *records.get(n, none), *missing.get(n, none), tuple(examples.get(n, ())))
        for n, one in enumerate(requests)
    ]


def _all(connection: duckdb.DuckDBPyConnection, one: ResolvedRequest) -> str:
    """Say why a request would leave nothing: by itself, or with those that are due before it."""
    left = matching.count_remaining(connection)
    by = "it" if one.records == left else "with the requests that are due before it, it"
    return (
        f"{by} selects all {left} records that are not forgotten yet, and nothing would be left to retain; correct it"
    )


def _write(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    found: list[ResolvedRequest],
    left: list[int],
    classes: dict[str, list[str]],
) -> Resolution:
    forget, forgotten = folder / "forget.csv", folder / "forgotten.csv"
    with output_file(forget) as new:
        records = matching.write_ids(connection, new, matching.select_to_forget(connection, left))
    with output_file(forgotten) as new:
        known = matching.write_ids(connection, new, "SELECT row FROM forgotten")
    source = matching.count_source(connection)
    return Resolution(source, records, known, tuple(found), forget, forgotten, classes)
