"""`batch --bisect`: which of the pending requests spoils the batch? It is set aside; the others are carried out.

A batch that fails is halved, and each half is a run of its own, the second on what the first made; a request that fails
alone is the culprit. Which requests were being divided is in the ledger with every run, so that the same command goes
on where it was stopped.
"""

from unlearn_cli import console
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.requests.deletion_request import Request
from unlearn_cli.batch.run import carry_out, collect, ready, recover
from unlearn_cli.batch.work import Batch
from unlearn_cli.console import pluralize

CULPRIT = "a run over it alone failed ({why}): it spoils every batch that it is in"


def bisect(batch: Batch) -> None:
    """Divide the pending requests until each is done or set aside; what became of them is in the ledger.

    Raises:
        IntegrityError, UserError: as `run`.
    """
    ready(batch)
    recover(batch)
    requests = collect(batch)
    root = _root(batch.state(), requests)
    _divide(batch, requests, root, root)


def _root(state: LedgerState, requests: dict[str, Request]) -> list[str]:
    """Return the requests to divide: those that an interrupted division began with, or all that are pending."""
    began = [*state.runs.values()][-1].body.get("bisect", []) if state.runs else []
    return began if any(name in requests for name in began) else list(requests)


def _divide(batch: Batch, requests: dict[str, Request], group: list[str], root: list[str]) -> None:
    """Carry out a group of requests, and if it fails its halves."""
    state = batch.state()
    waiting = [name for name in group if name in requests and state.requests[name].state == "pending"]
    if not waiting:
        return
    whole = len(waiting) == len(group)  # else it failed, or parts of it would not have ended
    console.say(f"bisect: {pluralize(len(waiting), 'request')}", requests=waiting)
    to_try = [requests[name] for name in waiting] if whole and not _failed_before(batch, state, group) else []
    if to_try and carry_out(batch, to_try, root) == "passed":
        return
    if len(group) == 1:
        known = batch.state().requests[group[0]]
        reason = CULPRIT.format(why=known.reason)
        batch.ledger.append("set_aside", request=known.id, reason=reason, file=known.file)
        console.warn(f"{known.id}: set aside: {reason}", request=known.id)
        return
    middle = len(group) // 2
    _divide(batch, requests, group[:middle], root)
    _divide(batch, requests, group[middle:], root)


def _failed_before(batch: Batch, state: LedgerState, group: list[str]) -> bool:
    """Say whether a run over just these failed on the current checkpoint; it would fail again."""
    same = {"requests": set(group), "before": state.current, "config": batch.setup.digest}
    return any(
        {"requests": set(run.requests), "before": run.before["version"], "config": run.body["config"]} == same
        for run in state.runs.values()
        if run.state == "failed" and len(run.attempts) == len(batch.setup.deletion.methods)
    )
