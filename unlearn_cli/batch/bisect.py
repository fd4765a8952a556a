"""`batch --bisect`: which of the pending requests spoils the batch? It is set aside; the others are carried out.

A batch that fails is halved, and each half is a run of its own, the second on what the first made; a request that fails
alone is the culprit. Which requests were being divided is in the ledger with every run, so that the same command goes
on where it was stopped.
"""

from unlearn_cli import console
from unlearn_cli.batch.requests import Request
from unlearn_cli.batch.run import carry_out, collect, ready, recover
from unlearn_cli.batch.state import State
from unlearn_cli.batch.work import Batch

CULPRIT = "a run over it alone failed: it spoils every batch that it is in"


def bisect(batch: Batch) -> None:
    """Divide the pending requests until each is done or set aside; what became of them is in the ledger.

    Raises:
        IntegrityError, UserError: as `run`.
    """
    ready(batch)
    recover(batch)
    requests = collect(batch)
    _divide(batch, requests, _root(batch.state(), requests), _root(batch.state(), requests))


def _root(state: State, requests: dict[str, Request]) -> list[str]:
    """Return the requests to divide: those that an interrupted division began with, or all that are pending."""
    last = max(state.runs.values(), key=lambda run: run.id, default=None)
    began = last.body.get("bisect", []) if last else []
    return began if any(name in requests for name in began) else list(requests)


def _divide(batch: Batch, requests: dict[str, Request], group: list[str], root: list[str]) -> None:
    """Carry out a group of requests, and if it fails its halves."""
    state = batch.state()
    waiting = [name for name in group if name in requests and state.requests[name].state == "pending"]
    if not waiting:
        return
    whole = len(waiting) == len(group)  # else it failed, or parts of it would not have ended
    console.say(f"bisect: {len(waiting)} requests", requests=waiting)
    if whole and not _failed_before(batch, state, group) and carry_out(batch, [requests[name] for name in group], root):
        return
    if len(group) == 1:
        batch.ledger.append("set_aside", request=group[0], reason=CULPRIT, file=state.requests[group[0]].file)
        console.warn(f"{group[0]}: set aside: {CULPRIT}", request=group[0])
        return
    middle = len(group) // 2
    _divide(batch, requests, group[:middle], root)
    _divide(batch, requests, group[middle:], root)


def _failed_before(batch: Batch, state: State, group: list[str]) -> bool:
    """Say whether a run over just these failed on the current checkpoint; it would fail again."""
    return any(
        run.state == "failed" and set(run.requests) == set(group) and run.before["version"] == state.current
        and run.body["config"] == batch.setup.digest and run.attempts and not any(made["passed"] for made in run.attempts)
        for run in state.runs.values()
    )  # fmt: skip
