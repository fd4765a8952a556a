"""`batch vacuum`: removes files that still hold forgotten data: superseded versions, failed attempts, old requests."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from unlearn_cli import console
from unlearn_cli.batch.ledger import clock, fault
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.open_batch import Batch, open_batch, read_state
from unlearn_cli.batch.pipeline import prepare
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.requests.request_files import printable_name
from unlearn_cli.batch.setup import Setup, read_setup
from unlearn_cli.batch.signals import exit_on_signals
from unlearn_cli.commands.result import Result
from unlearn_cli.storage import leftovers
from unlearn_cli.storage.filesystems import redact_url
from unlearn_cli.storage.remote import list_copies, parse_url

WEIGHTS = ("*.safetensors", "*.index.json")


@dataclass(frozen=True)
class Leftover:
    """Something that holds or names forgotten data: its name in the ledger, and whether retention keeps it."""

    name: str
    path: Path
    reason: str
    keep: bool


def run(deletion_path: Path, *, dry_run: bool = False, allow_code: bool = False) -> Result:
    """Remove what retention does not keep, or list it, and list what stays.

    Raises:
        CliError: as `vacuum`.
    """
    setup = read_setup(deletion_path, allow_code=allow_code)
    head = None
    with exit_on_signals():
        if dry_run:
            leftover = find_leftovers(setup, read_state(setup), clock.now())
        else:
            with open_batch(setup) as batch:
                leftover = vacuum(batch, clock.now())
                head = batch.ledger.events()[-1].hash
    return _to_result(leftover, head, dry_run)


def _to_result(leftover: list[Leftover], head: str | None, dry_run: bool) -> Result:
    removal = "would go" if dry_run else "removed"
    rows = [[entry.name, "stays" if entry.keep else removal, entry.reason] for entry in leftover]
    table = console.table("", ["holds or names forgotten data", "", "reason"], rows) if rows else "nothing"
    others = "the initial checkpoint, the source and all backups are not removed: remove them yourself"
    stays = {entry.name: entry.reason for entry in leftover if entry.keep}
    removed = [entry.name for entry in leftover if not entry.keep]
    return Result(
        f"{table}\n{others}" + (f"\nledger head: {head}" if head else ""),
        {"removed": removed, "stays": stays, "dry_run": dry_run, "head": head},
    )


def vacuum(batch: Batch, now: datetime) -> list[Leftover]:
    """Remove what retention does not keep, and return all that there was. The ledger records it first, so
    that the next vacuum removes what a killed one left.

    Raises:
        IntegrityError: the current checkpoint is not the one that the ledger recorded.
        UserError, ResourceError: a version that was published cannot be withdrawn.
    """
    prepare(batch)
    leftover = find_leftovers(batch.setup, batch.state(), now)
    removed = [entry for entry in leftover if not entry.keep]
    if removed:
        batch.ledger.append("vacuumed", removed=sorted(entry.name for entry in removed))
        fault.step("vacuumed")
    for entry in removed:
        _remove(batch.setup, entry)
    return leftover


def _remove(setup: Setup, entry: Leftover) -> None:
    if not entry.path.is_dir():
        entry.path.unlink(missing_ok=True)
        return
    if setup.deletion.publish and entry.path.parent == setup.models:
        from unlearn_cli.storage.remote_versions import withdraw  # fsspec is an extra

        withdraw(setup.deletion.publish, entry.path.name)
    shutil.rmtree(entry.path)


def find_leftovers(setup: Setup, state: LedgerState, now: datetime) -> list[Leftover]:
    """Return everything but the current version that holds or names forgotten data. Nothing is written."""
    weights = [*_list_versions(setup, state, now), *_list_attempts(setup, state), *_list_states(setup)]
    return [*weights, *_list_requests(setup, now), *_list_copies(setup)]


def _list_versions(setup: Setup, state: LedgerState, now: datetime) -> Iterator[Leftover]:
    """Yield the versions but the current one, youngest first: retention keeps some, and only for some days."""
    superseded = {run.before["version"]: run.ended for run in state.lineage}
    coming = state.runs[state.unfinished].version if state.unfinished else None
    left = setup.deletion.retention.versions
    for version in reversed([*state.versions]):
        path, since = setup.models / version, superseded.get(version)
        if version in (state.current, coming) or not path.exists():
            continue
        keep = left > 0 and since is not None and _is_young(setup, since, now)
        left -= keep
        yield Leftover(f"models/{version}", path, f"superseded {_format_day(since)}" if since else "rolled back", keep)


def _is_young(setup: Setup, since: datetime, now: datetime) -> bool:
    return now - since < timedelta(days=setup.deletion.retention.days)


def _format_day(time: datetime) -> str:
    return clock.format_time(time)[:10]


def _list_attempts(setup: Setup, state: LedgerState) -> Iterator[Leftover]:
    """Yield the weights of failed attempts; their reports stay."""
    runs = setup.deletion.path("runs")
    for run in state.runs.values():
        for pattern in WEIGHTS if run.id != state.unfinished else ():
            for path in sorted((runs / run.id).glob(f"attempt-*/{pattern}")):
                yield Leftover(f"runs/{path.relative_to(runs).as_posix()}", path, "an attempt that failed", False)


def _list_states(setup: Setup) -> Iterator[Leftover]:
    """Yield the saved states of interrupted trainings next to deletion.yaml, the first checkpoint and the versions."""
    initial = setup.deletion.path("initial")
    folders = [setup.deletion.folder, initial.parent, initial.parent.parent, setup.models]
    for folder in {path.resolve(): path for path in folders if path.is_dir()}.values():
        for partial in leftovers.list_partial_states(folder):
            reason = partial.kept_because or f"state of an interrupted run, {leftovers.describe_size(partial.bytes)}"
            yield Leftover(setup.relative_name(partial.path), partial.path, reason, partial.kept_because is not None)


def _list_requests(setup: Setup, now: datetime) -> Iterator[Leftover]:
    """Yield the files of ended requests, which name records; their age counts from when they were moved there."""
    for folder in (inbox.DONE, inbox.SET_ASIDE):
        for path in sorted((setup.inbox / folder).glob("*")):
            since = datetime.fromtimestamp(path.lstat().st_ctime, UTC)
            keep = setup.deletion.keep_ids or _is_young(setup, since, now)
            yield Leftover(f"requests/{folder}/{printable_name(path)}", path, f"ended {_format_day(since)}", keep)


def _list_copies(setup: Setup) -> Iterator[Leftover]:
    """Yield the local copies of files behind URLs; the next run fetches again what it needs."""
    data = setup.manifest.data
    specs = [source.spec for source in data.sources.values()] if data else []
    paths = [value for spec in specs if spec for _, value in spec if isinstance(value, Path)]
    for path in dict.fromkeys([setup.deletion.initial, *paths]):
        for copy in list_copies(path):
            yield Leftover(
                f"copy of {redact_url(parse_url(path) or '')}: {printable_name(copy)}", copy, "fetched", False
            )
