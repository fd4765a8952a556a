"""What a batch did, read from the events that it added to the ledger: for a person, for a program, as an exit code."""

from collections.abc import Iterable
from typing import Any

from unlearn_cli.batch.ledger import clock
from unlearn_cli.batch.ledger.ledger_state import RunState, fold
from unlearn_cli.batch.ledger.store import Event
from unlearn_cli.batch.verdicts import describe_verdict
from unlearn_cli.commands.result import Result
from unlearn_cli.console import pluralize

DONE, GATE_FAILED, SET_ASIDE = 0, 3, 5


def to_result(events: list[Event], num_before: int) -> Result:
    """Return the result of a sub-command that added all events after the first `num_before` to the ledger."""
    summary = document(events, num_before, clock.format_time(clock.now()))
    return Result(text(summary), summary, exit_code(events, num_before))


def document(events: list[Event], before: int, now: str) -> dict[str, Any]:
    """Return what happened after the first `before` events, and where everything stands now."""
    state, new = fold(events), events[before:]
    runs = [state.runs[name] for name in dict.fromkeys(event.run for event in new if event.run)]
    waiting = [*state.requests_in("running"), *state.requests_in("pending")]
    return {
        "runs": [_run(run) for run in runs],
        "done": [event.request for event in new if event.kind == "done"],
        "set_aside": [_set_aside(event) for event in new if event.kind == "set_aside"],
        "repeated": [event.request for event in new if event.kind == "repeated"],
        "rolled_back": [event.body["requests"] for event in new if event.kind == "rolled_back"],
        "pending": len(waiting),
        "overdue": sum(clock.format_time(request.due) < now for request in waiting),
        "next_due": clock.format_time(waiting[0].due) if waiting else None,
        "current": state.current,
        "published": state.published,
        "head": events[-1].hash if events else None,
    }


def _run(run: RunState) -> dict[str, Any]:
    facts = ("records", "unknown", "already", "purged", "forgotten", "gates_left_out", "tool_version")
    made = ("method", "passed", "failed", "verdict", "policy")
    return {
        "run": run.id,
        "state": run.state,
        "requests": run.requests,
        "version": run.version,
        "reason": run.reason,
        "attempts": [{name: attempt.get(name) for name in made} for attempt in run.attempts],
        **{name: run.body[name] for name in facts},
    }


def _set_aside(event: Event) -> dict[str, Any]:
    return {"request": event.request, "file": event.body["file"], "reason": event.body["reason"]}


def exit_code(events: list[Event], before: int) -> int:
    """Return 3 if a run failed and its requests wait, 5 if anything was set aside, else 0.

    A run that `batch bisect` divides is not a failure: what spoils it is set aside.
    """
    state, new = fold(events), events[before:]
    failed = [state.runs[event.run or ""] for event in new if event.kind == "run_failed" and event.body["counted"]]
    if any(state.requests[name].state == "pending" for run in failed for name in run.requests):
        return GATE_FAILED
    return SET_ASIDE if any(event.kind == "set_aside" for event in new) else DONE


def text(found: dict[str, Any]) -> str:
    """Return the outcome for a person, one line a run and one a request that was set aside."""
    lines = [*map(_line, found["runs"])]
    alone = [name for name in found["done"] if not any(name in run["requests"] for run in found["runs"])]
    lines += [f"{name}: done, all that it names was forgotten before" for name in alone]
    lines += [f"{one['request'] or one['file']}: set aside: {one['reason']}" for one in found["set_aside"]]
    if not lines:
        lines = ["nothing to do"]
    if found["pending"]:
        overdue = f", {found['overdue']} overdue" if found["overdue"] else ""
        pending = pluralize(found["pending"], "request")
        lines.append(f"{pending} pending{overdue}; the next is due {clock.shorten_time(found['next_due'])}")
    return "\n".join([*lines, f"ledger head: {found['head']}"])


def _line(run: dict[str, Any]) -> str:
    if run["state"] == "promoted":
        made = next(made for made in run["attempts"] if made["passed"])
        requests, records = pluralize(len(run["requests"]), "request"), pluralize(run["records"], "record")
        what = f"{requests} done, {records} forgotten by {made['method']}"
        more = [f"{run[name]} {name}" for name in ("unknown", "already", "purged") if run[name]]
        verdict = describe_verdict(made)
        told = f"; {verdict}" if verdict else ""
        return f"{run['run']}: {what}{_in_brackets(more)}; {run['version']} is current{told}"
    if run["state"] == "rolled_back":
        requests = pluralize(len(run["requests"]), "request is", "requests are")
        return f"{run['run']}: rolled back, {requests} pending again"
    failed = [f"{made['method']}: {'; '.join(made['failed'])}" for made in run["attempts"] if not made["passed"]]
    return f"{run['run']}: {run['reason']}{_in_brackets(failed)}"


def _in_brackets(items: Iterable[str]) -> str:
    told = ", ".join(items)
    return f" ({told})" if told else ""
