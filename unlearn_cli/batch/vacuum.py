"""`batch --vacuum`: removes what still holds what was forgotten: superseded versions, failed attempts, old requests."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from unlearn_cli.batch.ledger import clock, fault
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.requests.request_files import printable_name
from unlearn_cli.batch.run import ready
from unlearn_cli.batch.work import Batch, Setup
from unlearn_cli.storage import leftovers
from unlearn_cli.storage.filesystems import redact_url
from unlearn_cli.storage.remote import list_copies, parse_url

WEIGHTS = ("*.safetensors", "*.index.json")


@dataclass(frozen=True)
class Held:
    """Something that holds what was forgotten, or names it: its name in the ledger, and whether retention keeps it."""

    name: str
    path: Path
    why: str
    keep: bool


def vacuum(batch: Batch, now: datetime) -> list[Held]:
    """Remove what retention does not keep, after the ledger was told of it; the next one ends what a killed one began.

    Raises:
        IntegrityError: the current checkpoint is not the one that the ledger knows.
        UserError, ResourceError: a version that was published cannot be withdrawn.
    """
    ready(batch)
    found = held(batch.setup, batch.state(), now)
    removed = [one for one in found if not one.keep]
    if removed:
        batch.ledger.append("vacuumed", removed=sorted(one.name for one in removed))
        fault.step("vacuumed")
    for one in removed:
        _remove(batch.setup, one)
    return found


def _remove(setup: Setup, one: Held) -> None:
    if not one.path.is_dir():
        one.path.unlink(missing_ok=True)
        return
    if setup.deletion.publish and one.path.parent == setup.models:
        from unlearn_cli.storage.remote_versions import withdraw

        withdraw(setup.deletion.publish, one.path.name)
    shutil.rmtree(one.path)


def held(setup: Setup, state: LedgerState, now: datetime) -> list[Held]:
    """Return all but the current version that holds what was forgotten, or names it. It writes nothing."""
    weights = [*_versions(setup, state, now), *_attempts(setup, state), *_states(setup)]
    return [*weights, *_requests(setup, now), *_copies(setup)]


def _versions(setup: Setup, state: LedgerState, now: datetime) -> Iterator[Held]:
    """Yield the versions but the current one, the youngest first: so many stay, and only for so many days."""
    superseded = {run.before["version"]: run.ended for run in state.lineage}
    coming = state.runs[state.unfinished].version if state.unfinished else None
    left = setup.deletion.retention.versions
    for version in reversed([*state.versions]):
        path, since = setup.models / version, superseded.get(version)
        if version in (state.current, coming) or not path.exists():
            continue
        keep = left > 0 and since is not None and _is_young(setup, since, now)
        left -= keep
        yield Held(f"models/{version}", path, f"superseded {_day(since)}" if since else "rolled back", keep)


def _is_young(setup: Setup, since: datetime, now: datetime) -> bool:
    return now - since < timedelta(days=setup.deletion.retention.days)


def _day(time: datetime) -> str:
    return clock.format_time(time)[:10]


def _attempts(setup: Setup, state: LedgerState) -> Iterator[Held]:
    """Yield the weights that failed attempts left; their reports stay."""
    runs = setup.deletion.path("runs")
    for run in state.runs.values():
        for pattern in WEIGHTS if run.id != state.unfinished else ():
            for path in sorted((runs / run.id).glob(f"attempt-*/{pattern}")):
                yield Held(f"runs/{path.relative_to(runs).as_posix()}", path, "an attempt that failed", False)


def _states(setup: Setup) -> Iterator[Held]:
    """Yield what interrupted trainings have kept beside deletion.yaml, the first checkpoint and the versions."""
    initial = setup.deletion.path("initial")
    folders = [setup.deletion.folder, initial.parent, initial.parent.parent, setup.models]
    for folder in {place.resolve(): place for place in folders if place.is_dir()}.values():
        for one in leftovers.list_partial_states(folder):
            why = one.kept_because or f"state of an interrupted run, {leftovers.describe_size(one.bytes)}"
            yield Held(setup.told(one.path), one.path, why, one.kept_because is not None)


def _requests(setup: Setup, now: datetime) -> Iterator[Held]:
    """Yield the files of ended requests, which name records; their age counts from when they were moved there."""
    for folder in (inbox.DONE, inbox.SET_ASIDE):
        for path in sorted((setup.inbox / folder).glob("*")):
            since = datetime.fromtimestamp(path.lstat().st_ctime, UTC)
            keep = setup.deletion.keep_ids or _is_young(setup, since, now)
            yield Held(f"requests/{folder}/{printable_name(path)}", path, f"ended {_day(since)}", keep)


def _copies(setup: Setup) -> Iterator[Held]:
    """Yield the copies of what lies behind URLs; the next run fetches again what it needs."""
    data = setup.manifest.data
    specs = [source.spec for source in (data.train, data.test) if source] if data else []
    paths = [value for spec in specs if spec for _, value in spec if isinstance(value, Path)]
    for path in dict.fromkeys([setup.deletion.initial, *paths]):
        for copy in list_copies(path):
            yield Held(f"copy of {redact_url(parse_url(path) or '')}: {printable_name(copy)}", copy, "fetched", False)
