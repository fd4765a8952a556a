"""`batch bisect`: finds the request that makes the batch fail and sets it aside; carries out the others.

A batch that fails is halved. Each half is a run of its own, the second on the checkpoint of the first; a request that
fails as the only one of a run is the culprit. Every run records in the ledger which requests were being divided, so the
same command continues where it was stopped.
"""

from pathlib import Path

from unlearn_cli import console
from unlearn_cli.batch import outcome
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.open_batch import Batch, open_batch
from unlearn_cli.batch.pipeline import carry_out, collect_requests, finish_interrupted_run, prepare
from unlearn_cli.batch.publishing import publish
from unlearn_cli.batch.requests.deletion_request import Request
from unlearn_cli.batch.setup import read_setup
from unlearn_cli.batch.signals import exit_on_signals
from unlearn_cli.commands.result import Result
from unlearn_cli.console import pluralize

CULPRIT = "a run with only this request failed ({reason}): every batch with it would fail"


def run(deletion_path: Path, *, allow_code: bool = False) -> Result:
    """Bisect the pending requests, and report the outcome as `batch run` does.

    Raises:
        CliError: as `pipeline.carry_out_pending` and `publish`.
    """
    setup = read_setup(deletion_path, allow_code=allow_code)
    with exit_on_signals(), open_batch(setup) as batch:
        num_before = len(batch.ledger.events())
        bisect(batch)
        publish(batch)
        events = batch.ledger.events()
    return outcome.to_result(events, num_before)


def bisect(batch: Batch) -> None:
    """Divide the pending requests until each is done or set aside, which the ledger records.

    Raises:
        IntegrityError, UserError: as `pipeline.carry_out_pending`.
    """
    prepare(batch)
    finish_interrupted_run(batch)
    requests = collect_requests(batch)
    root = _find_root(batch.state(), requests)
    _divide(batch, requests, root, root)


def _find_root(state: LedgerState, requests: dict[str, Request]) -> list[str]:
    """Return the requests to divide: those of an interrupted bisect, otherwise all that are pending."""
    interrupted = [*state.runs.values()][-1].body.get("bisect", []) if state.runs else []
    return interrupted if any(name in requests for name in interrupted) else list(requests)


def _divide(batch: Batch, requests: dict[str, Request], group: list[str], root: list[str]) -> None:
    """Carry out a group of requests, and if it fails its halves."""
    state = batch.state()
    waiting = [name for name in group if name in requests and state.requests[name].state == "pending"]
    if not waiting:
        return
    console.say(f"bisect: {pluralize(len(waiting), 'request')}", requests=waiting)
    # Where some of the group have ended, the whole group has been tried already, and failed.
    is_untried = len(waiting) == len(group) and not _failed_before(batch, state, group)
    if is_untried and carry_out(batch, [requests[name] for name in waiting], root) == "passed":
        return
    if len(group) == 1:
        culprit = batch.state().requests[group[0]]
        reason = CULPRIT.format(reason=culprit.reason)
        batch.ledger.append("set_aside", request=culprit.id, reason=reason, file=culprit.file)
        console.warn(f"{culprit.id}: set aside: {reason}", request=culprit.id)
        return
    middle = len(group) // 2
    _divide(batch, requests, group[:middle], root)
    _divide(batch, requests, group[middle:], root)


def _failed_before(batch: Batch, state: LedgerState, group: list[str]) -> bool:
    """Return whether a run over exactly these requests failed on the current checkpoint: it would fail again."""
    same = {"requests": set(group), "before": state.current, "config": batch.setup.digest}
    return any(
        {"requests": set(run.requests), "before": run.before["version"], "config": run.body["config"]} == same
        for run in state.runs.values()
        if run.state == "failed" and len(run.attempts) == len(batch.setup.deletion.methods)
    )
