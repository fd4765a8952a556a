"""One batch: end what a killed run began, read the inbox, and carry out what is pending in one run.

Where a run stands is in the ledger alone; each stage looks there, and can be done again. So a run that was killed at
any moment ends, by the same command, as if it had not been.
"""

from collections.abc import Sequence
from typing import Literal

from unlearn_cli import console
from unlearn_cli.batch import run_files
from unlearn_cli.batch.attempts import first_that_passes
from unlearn_cli.batch.finishing import announce, fail, promote
from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.ledger.ledger_state import RunState
from unlearn_cli.batch.opening import begin, check_current, refuse_unknown
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.requests.deletion_request import Request
from unlearn_cli.batch.selecting import start
from unlearn_cli.batch.tidying import clean, remove_unbegun, tidy
from unlearn_cli.batch.work import Batch
from unlearn_cli.errors import UserError

FAILED = "no method passed"

Ending = Literal["passed", "failed", "refused"]  # refused: a command of the run cannot work on what requests select


def carry_out_pending(batch: Batch) -> None:
    """Do one batch; what became of it is in the ledger. A run that was killed and now fails ends it, too.

    Raises:
        IntegrityError: the current checkpoint is not the one that the ledger knows.
        UserError: the source cannot be read, or a command of the run refuses something else than what requests select.
    """
    prepare(batch)
    if finish_interrupted_run(batch) != "failed":
        _carry_out_by_halves(batch, list(collect_requests(batch).values()))


def _carry_out_by_halves(batch: Batch, requests: Sequence[Request]) -> None:
    """Carry out requests in one run; when it is refused, each half by itself, so that only those at fault are left."""
    state = batch.state()
    waiting = [one for one in requests if state.requests[one.request].state == "pending"]
    if not waiting or carry_out(batch, waiting) != "refused" or len(waiting) == 1:
        return
    middle = len(waiting) // 2
    _carry_out_by_halves(batch, waiting[:middle])
    _carry_out_by_halves(batch, waiting[middle:])


def prepare(batch: Batch) -> None:
    """Bring everything to where the ledger says that it is.

    Raises:
        IntegrityError: the current checkpoint is not the one that the ledger knows, or a run's folder is not.
    """
    remove_unbegun(batch, batch.state())
    begin(batch)
    refuse_unknown(batch.setup.models, batch.state())
    check_current(batch, batch.state())
    clean(batch, batch.state())


def finish_interrupted_run(batch: Batch) -> Ending:
    """End the run that a killed process began, if there is one; unless it failed, what is pending comes next."""
    state = batch.state()
    if state.unfinished is None:
        return "passed"
    unfinished = state.runs[state.unfinished]
    console.say(f"{unfinished.id}: goes on where it was stopped", run=unfinished.id)
    changed = _changed(batch, unfinished) if unfinished.state == "running" else None
    if changed:
        with batch.ledger.transaction():
            fail(batch, unfinished, f"{changed} since it began; it begins anew", counted=False)
            if not batch.folder(unfinished.id).exists():
                batch.ledger.append("vacuumed", removed=[f"runs/{unfinished.id}"])
        tidy(batch)
        return "passed"
    return finish_run(batch, unfinished.id)


def _changed(batch: Batch, unfinished: RunState) -> str | None:
    """Say what was changed since a run began, so that it cannot end as it would have.

    Raises:
        IntegrityError: a file in its folder was changed, which nothing but the run itself should do.
    """
    if not batch.folder(unfinished.id).exists():
        return "its folder was removed"
    if unfinished.body.get("files") is None:
        return "the tool was changed"
    run_files.check(batch, unfinished)
    if batch.setup.digest != unfinished.body["config"]:
        return "deletion.yaml, the manifest or the tool was changed"
    if run_files.references(batch.setup) != unfinished.body["references"]:
        return "a checkpoint that attacks compare with was changed"
    return None


def collect_requests(batch: Batch) -> dict[str, Request]:
    """Read the inbox, tell the ledger what is new in it, and return the requests that are pending, by id."""
    if ignored := inbox.find_ignored(batch.setup.inbox):
        console.warn(inbox.describe_ignored(ignored), files=ignored)
    found = inbox.read(batch.setup.inbox, batch.key)
    for line in inbox.register(batch.ledger, found, batch.setup.deletion):
        console.warn(line)
    fault.step("listed")
    requests, gone = inbox.find_pending(found, batch.state())
    if gone:
        inbox.restore(batch.setup.inbox, batch.key, gone)  # what a rollback that was killed left undone
        found = inbox.read(batch.setup.inbox, batch.key)
        requests, gone = inbox.find_pending(found, batch.state())
    state = batch.state()
    with batch.ledger.transaction():
        for name in gone:
            reason = "its file is gone; drop it into the inbox again"
            batch.ledger.append("set_aside", request=name, reason=reason, file=state.requests[name].file)
            console.warn(f"{name}: set aside: {reason}", request=name)
    inbox.move_ended(batch.setup.inbox, found, batch.state())
    return requests


def carry_out(batch: Batch, requests: Sequence[Request], bisect: Sequence[str] | None = None) -> Ending:
    """Do one run over these requests; say how it ended; it passed, too, if none was needed."""
    state = batch.state()
    if not start(batch, state, requests, bisect):
        tidy(batch)
        return "passed"
    return finish_run(batch, state.next_run)


def finish_run(batch: Batch, name: str) -> Ending:
    """Bring a run from wherever it stands to its end; say how it ended.

    Raises:
        UserError: a command of the run refuses something else than what the requests select; the run is ended, and its
            requests are pending.
    """
    run = batch.state().runs[name]
    if run.state == "running":
        try:
            made = first_that_passes(batch, run)
        except UserError as error:
            return _refuse(batch, run, error)
        if made is None:
            fail(batch, run, FAILED, counted="bisect" not in run.body)
            tidy(batch)
            return "failed"
        announce(batch, run, made)
    promote(batch, batch.state().runs[name])
    tidy(batch)
    return "passed"


def _refuse(batch: Batch, run: RunState, error: UserError) -> Ending:
    """End a run that a command refused. It counts against a request only if that was the only one in the run."""
    from unlearn_cli.batch import blame

    blamed = blame.is_of_requests(batch, run, error)
    reason = batch.setup.reason(str(error)) if blamed else "something must be fixed before it can be run"
    fail(batch, run, reason, counted=blamed and len(run.requests) == 1 and "bisect" not in run.body)
    tidy(batch)
    if not blamed:
        raise error
    return "refused"
