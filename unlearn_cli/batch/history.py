"""`batch --history ID`: what happened to one request, from its arrival until it was done."""

from collections.abc import Iterable
from typing import Any

from unlearn_cli.batch.ledger import clock
from unlearn_cli.batch.ledger.ledger_state import LedgerState, fold
from unlearn_cli.batch.ledger.store import Event
from unlearn_cli.batch.verdicts import describe
from unlearn_cli.errors import UserError

COUNTS = "records: {records}, unknown: {unknown}, forgotten before: {already}"
TEXTS = {
    "received": "received in {file}; due {due}",
    "repeated": "came again in {file}",
    "set_aside": "set aside ({file}): {reason}",
    "closed": "closed: {because}",
    "run_started": "{run} began; requests: {count}, " + COUNTS,
    "attempt": "{run}, attempt {number} with {method}: {how}",
    "run_failed": "{run} failed: {reason}; pending again",
    "promoting": "{run} passed; {version} is to become current",
    "promoted": "{version} of {run} is current; records forgotten: {forgotten}",
    "done": "done {how}; " + COUNTS,
    "rolled_back": "{run} rolled back, from {from} to {to}; pending again",
}


def history(events: Iterable[Event], request: str) -> dict[str, Any]:
    """Return the request's state, and what happened to it and to the runs it was in, in the order of time.

    Raises:
        UserError: the ledger knows no request of that id.
    """
    told, runs, known = [], set(), list(events)
    for event in known:
        listed = request in event.body.get("requests", ())
        if event.kind == "run_started" and listed:
            runs.add(event.run)
        if event.kind not in TEXTS:
            continue
        if request in (event.name, event.body.get("name")) or (event.request is None and (listed or event.run in runs)):
            told.append({"time": event.time, "kind": event.kind, "run": event.run, "text": _text(event)} | event.body)
    if not told:
        raise UserError(f"--history {request}: the ledger knows no such request; 'batch --status --json' lists them")
    state = fold(known)
    return {"request": request, "state": _state(state, request), "events": told}


def _state(state: LedgerState, name: str) -> str:
    if name in state.requests:
        return state.requests[name].state
    return "set_aside" if any(one.name == name for one in state.open_refusals) else "closed"


def text(document: dict[str, Any]) -> str:
    """Return the history for a person, one line an event."""
    lines = [f"{clock.shorten_time(one['time'])}  {one['text']}" for one in document["events"]]
    return "\n".join([f"{document['request']}: {document['state'].replace('_', ' ')}", *lines])


def _text(event: Event) -> str:
    facts = event.body | {"run": event.run}
    if event.kind == "received":
        facts["due"] = clock.shorten_time(event.body["due"])
    if event.kind == "run_started":
        facts["count"] = len(event.body["requests"])
    if event.kind == "done":
        facts["how"] = f"by {event.run}" if event.run else "without a run, nothing of it was left"
    if event.kind == "attempt":
        facts["how"] = describe(event.body)
    return TEXTS[event.kind].format_map(facts)
