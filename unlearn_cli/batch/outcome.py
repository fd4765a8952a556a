"""The outcome of a sub-command, from the events that it added to the ledger: as a text, a document, an exit code."""

from collections.abc import Iterable
from typing import Any

from unlearn_cli.batch.attempt_text import describe_verdict
from unlearn_cli.batch.ledger import clock
from unlearn_cli.batch.ledger.ledger_state import RunState, fold
from unlearn_cli.batch.ledger.store import Event
from unlearn_cli.commands.result import Result
from unlearn_cli.console import pluralize

DONE, GATE_FAILED, SET_ASIDE = 0, 3, 5


def to_result(events: list[Event], num_before: int) -> Result:
    """Return the result of a sub-command that added all events after the first `num_before` to the ledger."""
    document = build_document(events, num_before, clock.format_time(clock.now()))
    return Result(format_text(document), document, choose_exit_code(events, num_before))


def build_document(events: list[Event], num_before: int, now: str) -> dict[str, Any]:
    """Return what happened after the first `num_before` events, and the state now."""
    state, new = fold(events), events[num_before:]
    runs = [state.runs[name] for name in dict.fromkeys(event.run for event in new if event.run)]
    waiting = [*state.requests_in("running"), *state.requests_in("pending")]
    return {
        "runs": [_describe_run(run) for run in runs],
        "done": [event.request for event in new if event.kind == "done"],
        "set_aside": [
            {"request": event.request, "file": event.body["file"], "reason": event.body["reason"]}
            for event in new
            if event.kind == "set_aside"
        ],
        "repeated": [event.request for event in new if event.kind == "repeated"],
        "rolled_back": [event.body["requests"] for event in new if event.kind == "rolled_back"],
        "pending": len(waiting),
        "overdue": sum(clock.format_time(request.due) < now for request in waiting),
        "next_due": clock.format_time(waiting[0].due) if waiting else None,
        "current": state.current,
        "published": state.published,
        "head": events[-1].hash if events else None,
    }


def _describe_run(run: RunState) -> dict[str, Any]:
    facts = ("records", "unknown", "already", "purged", "forgotten", "gates_left_out", "tool_version")
    results = ("method", "passed", "failed", "verdict", "policy")
    return {
        "run": run.id,
        "state": run.state,
        "requests": run.requests,
        "version": run.version,
        "reason": run.reason,
        "attempts": [{name: attempt.get(name) for name in results} for attempt in run.attempts],
        **{name: run.body[name] for name in facts},
    }


def choose_exit_code(events: list[Event], num_before: int) -> int:
    """Return 3 if a run failed and its requests are pending, 5 if a request was set aside, else 0.

    A run that `batch bisect` divides does not count as a failure: the request that makes it fail is set aside.
    """
    state, new = fold(events), events[num_before:]
    failed = [state.runs[event.run or ""] for event in new if event.kind == "run_failed" and event.body["counted"]]
    if any(state.requests[name].state == "pending" for run in failed for name in run.requests):
        return GATE_FAILED
    return SET_ASIDE if any(event.kind == "set_aside" for event in new) else DONE


def format_text(document: dict[str, Any]) -> str:
    """Return the outcome for a person: one line per run and per request that was set aside."""
    lines = [*map(_format_run, document["runs"])]
    without_run = [name for name in document["done"] if not any(name in run["requests"] for run in document["runs"])]
    lines += [f"{name}: done, all that it names was forgotten before" for name in without_run]
    lines += [f"{entry['request'] or entry['file']}: set aside: {entry['reason']}" for entry in document["set_aside"]]
    if not lines:
        lines = ["nothing to do"]
    if document["pending"]:
        overdue = f", {document['overdue']} overdue" if document["overdue"] else ""
        pending = pluralize(document["pending"], "request")
        lines.append(f"{pending} pending{overdue}; the next is due {clock.shorten_time(document['next_due'])}")
    return "\n".join([*lines, f"ledger head: {document['head']}"])


def _format_run(run: dict[str, Any]) -> str:
    if run["state"] == "promoted":
        attempt = next(attempt for attempt in run["attempts"] if attempt["passed"])
        requests, records = pluralize(len(run["requests"]), "request"), pluralize(run["records"], "record")
        others = [f"{run[name]} {name}" for name in ("unknown", "already", "purged") if run[name]]
        verdict = describe_verdict(attempt)
        return (
            f"{run['run']}: {requests} done, {records} forgotten by {attempt['method']}{_in_brackets(others)}; "
            f"{run['version']} is current{f'; {verdict}' if verdict else ''}"
        )
    if run["state"] == "rolled_back":
        requests = pluralize(len(run["requests"]), "request is", "requests are")
        return f"{run['run']}: rolled back, {requests} pending again"
    failed = [f"{item['method']}: {'; '.join(item['failed'])}" for item in run["attempts"] if not item["passed"]]
    return f"{run['run']}: {run['reason']}{_in_brackets(failed)}"


def _in_brackets(items: Iterable[str]) -> str:
    text = ", ".join(items)
    return f" ({text})" if text else ""
