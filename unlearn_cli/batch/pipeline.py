"""The pipeline of a batch: completes an interrupted run, reads the inbox, and carries out all pending requests.

Only the ledger has the state of a run. Each stage reads it from there and can be repeated, so a run that was killed at
any moment ends, by the same command, with the same result.
"""

from collections.abc import Sequence
from typing import Literal

from unlearn_cli import console
from unlearn_cli.batch import run_files
from unlearn_cli.batch.attempts import try_methods
from unlearn_cli.batch.cleanup import remove_leftovers, remove_unstarted_run, tidy_up
from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.ledger.ledger_state import RunState
from unlearn_cli.batch.open_batch import Batch
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.requests.deletion_request import Request
from unlearn_cli.batch.run_end import announce_promotion, fail_run, promote
from unlearn_cli.batch.run_start import start_run
from unlearn_cli.batch.version_checks import add_first_version, check_current_version, refuse_unknown_versions
from unlearn_cli.errors import UserError

FAILED = "no method passed"

Ending = Literal["passed", "failed", "refused"]  # refused: a command of the run cannot work on the selection


def carry_out_pending(batch: Batch) -> None:
    """Carry out all pending requests; the outcome is in the ledger. If an interrupted run now fails, stop there.

    Raises:
        IntegrityError: the current checkpoint is not the one in the ledger.
        UserError: the source cannot be read, or a command of the run refuses something other than the selection.
    """
    prepare(batch)
    if finish_interrupted_run(batch) != "failed":
        _carry_out_by_halves(batch, list(collect_requests(batch).values()))


def _carry_out_by_halves(batch: Batch, requests: Sequence[Request]) -> None:
    """Carry out requests in one run; if it is refused, carry out each half, until only the cause is left."""
    state = batch.state()
    pending = [request for request in requests if state.requests[request.request].state == "pending"]
    if not pending or carry_out(batch, pending) != "refused" or len(pending) == 1:
        return
    middle = len(pending) // 2
    _carry_out_by_halves(batch, pending[:middle])
    _carry_out_by_halves(batch, pending[middle:])


def prepare(batch: Batch) -> None:
    """Bring the files into the state that the ledger describes.

    Raises:
        IntegrityError: the current checkpoint or the folder of a run differs from the ledger.
    """
    remove_unstarted_run(batch, batch.state())
    add_first_version(batch)
    refuse_unknown_versions(batch.setup.models, batch.state())
    check_current_version(batch, batch.state())
    remove_leftovers(batch, batch.state())


def finish_interrupted_run(batch: Batch) -> Ending:
    """End the run that a killed process started, and return how; without such a run, "passed".

    A run whose inputs were changed meanwhile is ended as not counted, and its requests are pending again.
    """
    state = batch.state()
    if state.unfinished is None:
        return "passed"
    run = state.runs[state.unfinished]
    console.say(f"{run.id}: continues where it was stopped", run=run.id)
    change = _find_changed_input(batch, run) if run.state == "running" else None
    if change is None:
        return finish_run(batch, run.id)
    with batch.ledger.transaction():
        fail_run(batch, run, f"{change} since it started; a new run starts", counted=False)
        if not batch.run_folder(run.id).exists():
            batch.ledger.append("vacuumed", removed=[f"runs/{run.id}"])
    tidy_up(batch)
    return "passed"


def _find_changed_input(batch: Batch, run: RunState) -> str | None:
    """Return which input was changed since a run started, so that it cannot end with the same result.

    Raises:
        IntegrityError: a file in its folder was changed, which only the run itself may change.
    """
    if not batch.run_folder(run.id).exists():
        return "its folder was removed"
    if run.body.get("files") is None:
        return "the version of unlearn-cli was changed"
    run_files.check_run(batch, run)
    if batch.setup.digest != run.body["config"]:
        return "deletion.yaml, the manifest or the version of unlearn-cli was changed"
    if run_files.digest_references(batch.setup) != run.body["references"]:
        return "a checkpoint that attacks compare with was changed"
    return None


def collect_requests(batch: Batch) -> dict[str, Request]:
    """Read the inbox, record what is new in it, and return the pending requests by id."""
    if ignored := inbox.find_ignored(batch.setup.inbox):
        console.warn(inbox.describe_ignored(ignored), files=ignored)
    files = inbox.read(batch.setup.inbox, batch.key)
    for line in inbox.register(batch.ledger, files, batch.setup.deletion):
        console.warn(line)
    fault.step("listed")
    requests, missing = inbox.find_pending(files, batch.state())
    if missing:
        inbox.restore(batch.setup.inbox, batch.key, missing)  # completes a rollback that was killed
        files = inbox.read(batch.setup.inbox, batch.key)
        requests, missing = inbox.find_pending(files, batch.state())
    _set_aside_missing(batch, missing)
    inbox.move_ended(batch.setup.inbox, files, batch.state())
    return requests


def _set_aside_missing(batch: Batch, names: Sequence[str]) -> None:
    """Set pending requests aside whose file is gone."""
    state, reason = batch.state(), "its file is gone; drop it into the inbox again"
    with batch.ledger.transaction():
        for name in names:
            batch.ledger.append("set_aside", request=name, reason=reason, file=state.requests[name].file)
            console.warn(f"{name}: set aside: {reason}", request=name)


def carry_out(batch: Batch, requests: Sequence[Request], bisect: Sequence[str] | None = None) -> Ending:
    """Carry out these requests in one run, and return how it ended; "passed" also if no run was needed."""
    state = batch.state()
    if not start_run(batch, state, requests, bisect):
        tidy_up(batch)
        return "passed"
    return finish_run(batch, state.next_run)


def finish_run(batch: Batch, name: str) -> Ending:
    """Continue a run from its last recorded step to its end, and return how it ended.

    Raises:
        UserError: a command of the run refuses something other than the selection; the run is ended, and its requests
            are pending again.
    """
    run = batch.state().runs[name]
    if run.state == "running":
        try:
            attempt = try_methods(batch, run)
        except UserError as error:
            return _end_refused_run(batch, run, error)
        if attempt is None:
            fail_run(batch, run, FAILED, counted="bisect" not in run.body)
            tidy_up(batch)
            return "failed"
        announce_promotion(batch, run, attempt)
    promote(batch, batch.state().runs[name])
    tidy_up(batch)
    return "passed"


def _end_refused_run(batch: Batch, run: RunState, error: UserError) -> Ending:
    """End a run that a command refused. The failure counts against a request only if the run had no other request."""
    from unlearn_cli.batch.control_check import is_caused_by_requests

    caused = is_caused_by_requests(batch, run, error)
    reason = batch.setup.format_reason(str(error)) if caused else "something must be fixed before it can be run"
    fail_run(batch, run, reason, counted=caused and len(run.requests) == 1 and "bisect" not in run.body)
    tidy_up(batch)
    if not caused:
        raise error
    return "refused"
