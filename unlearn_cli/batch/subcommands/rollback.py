"""`batch rollback`: makes the version before the current one current again; the requests of the last run are pending.

The order makes it safe to kill: the ledger records the rollback, then the pointer moves, then request files return.
"""

from pathlib import Path

from unlearn_cli import console
from unlearn_cli.batch import outcome
from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.ledger.ledger_state import LedgerState, RunState
from unlearn_cli.batch.open_batch import Batch, open_batch, read_state
from unlearn_cli.batch.pipeline import prepare
from unlearn_cli.batch.publishing import publish
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.setup import read_setup
from unlearn_cli.batch.signals import exit_on_signals
from unlearn_cli.batch.version_checks import check_version
from unlearn_cli.batch.versions import set_pointer
from unlearn_cli.commands.result import Result
from unlearn_cli.console import pluralize
from unlearn_cli.errors import UserError


def run(deletion_path: Path, *, dry_run: bool = False, allow_code: bool = False) -> Result:
    """Take the last run back, or report what that would mean.

    Raises:
        CliError: as `rollback` and `publish`.
    """
    setup = read_setup(deletion_path, allow_code=allow_code)
    with exit_on_signals():
        if dry_run:
            last_run, target = find_target(setup.path, read_state(setup))
            pending = pluralize(len(last_run.requests), "request")
            text = f"{last_run.id} would be taken back: {target} current again, {pending} pending again"
            return Result(text, {"run": last_run.id, "to": target, "requests": last_run.requests})
        with open_batch(setup) as batch:
            num_before = len(batch.ledger.events())
            rollback(batch)
            publish(batch)
            events = batch.ledger.events()
    return outcome.to_result(events, num_before)


def rollback(batch: Batch) -> None:
    """Take the last run back.

    Raises:
        UserError: as `find_target`.
        IntegrityError: the version before is not the one that the ledger recorded.
    """
    prepare(batch)
    state = batch.state()
    last_run, target = find_target(batch.setup.path, state)
    check_version(batch, state, target)
    names = list_requests_to_repeat(state, last_run)
    batch.ledger.append("rolled_back", run=last_run.id, requests=names, to=target, **{"from": last_run.version})
    fault.step("rolled_back")
    set_pointer(batch.setup.models, target)
    fault.step("pointed_back")
    for name in inbox.restore(batch.setup.inbox, batch.key, names):
        console.warn(f"{name}: is pending again, but its file is gone; drop it into the inbox again", request=name)


def find_target(deletion_path: Path, state: LedgerState) -> tuple[RunState, str]:
    """Return the run to take back and the version to go back to.

    Raises:
        UserError: there is no run to take back, one is unfinished, or the version before it was removed.
    """
    if state.unfinished:
        raise UserError(f"{deletion_path}: {state.unfinished} is unfinished; use 'batch run' first, then roll it back")
    if not state.lineage:
        raise UserError(f"{deletion_path}: {state.current} is the first checkpoint; there is no run to take back")
    last_run = state.lineage[-1]
    target = last_run.before["version"]
    if f"models/{target}" in state.removed:
        removed = f"{target}, which {last_run.id} began with, was removed by 'batch vacuum'"
        raise UserError(f"{deletion_path}: {removed}; a rollback is not possible")
    return last_run, target


def list_requests_to_repeat(state: LedgerState, run: RunState) -> list[str]:
    """Return the requests that become pending again: those of the run, and those that it made unnecessary."""
    without_a_run = [
        request.id
        for request in state.requests_in("done")
        if request.run is None and run.ended and request.ended and request.ended >= run.ended
    ]
    return [*run.requests, *without_a_run]
