"""`batch --rollback`: the version before the current one is current again, and what the last run did is to be done."""

from pathlib import Path

from unlearn_cli import console
from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.ledger.ledger_state import LedgerState, RunState
from unlearn_cli.batch.opening import check_version
from unlearn_cli.batch.promote import point
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.run import ready
from unlearn_cli.batch.work import Batch
from unlearn_cli.errors import UserError


def rollback(batch: Batch) -> None:
    """Take the last run back: the ledger says so, then the pointer names the version before, then files come back.

    Raises:
        UserError: there is no run to take back, one is unfinished, or the version before was removed.
        IntegrityError: the version before is not the one that the ledger knows.
    """
    ready(batch)
    state = batch.state()
    run, to = refuse_impossible(batch.setup.path, state)
    check_version(batch, state, to)
    names = taken_back(state, run)
    batch.ledger.append("rolled_back", run=run.id, requests=names, to=to, **{"from": run.version})
    fault.step("rolled_back")
    point(batch.setup.models, to)
    fault.step("pointed_back")
    lost = inbox.restore(batch.setup.inbox, batch.key, names)
    for name in lost:
        console.warn(f"{name}: is pending again, but its file is gone; drop it into the inbox again", request=name)


def refuse_impossible(path: Path, state: LedgerState) -> tuple[RunState, str]:
    """Return the run to take back and the version to go back to.

    Raises:
        UserError: as `rollback`.
    """
    if state.unfinished:
        raise UserError(f"{path}: {state.unfinished} is unfinished; run the batch first, then roll it back")
    if not state.lineage:
        raise UserError(f"{path}: {state.current} is the first checkpoint; there is no run to take back")
    run = state.lineage[-1]
    to = run.before["version"]
    if f"models/{to}" in state.removed:
        raise UserError(f"{path}: {to}, which {run.id} began with, was removed by --vacuum; there is no way back")
    return run, to


def taken_back(state: LedgerState, run: RunState) -> list[str]:
    """Return the requests that are pending again: the run's, and those that needed none because of it."""
    needed_none = [
        one.id
        for one in state.requests_in("done")
        if one.run is None and run.ended and one.ended and one.ended >= run.ended
    ]
    return [*run.requests, *needed_none]
