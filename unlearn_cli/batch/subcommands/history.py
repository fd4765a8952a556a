"""`batch history ID`: everything that happened to one request, from its arrival until it ended."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unlearn_cli.batch.attempt_text import describe_attempt
from unlearn_cli.batch.ledger import clock
from unlearn_cli.batch.ledger.ledger_state import LedgerState, fold
from unlearn_cli.batch.ledger.store import Event, open_ledger
from unlearn_cli.batch.settings import deletion
from unlearn_cli.commands.result import Result
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


def run(deletion_path: Path, request: str) -> Result:
    """Report what happened to a request.

    Raises:
        UserError: there is no ledger yet, or as `build_history`.
    """
    settings = deletion.read(deletion_path)
    with open_ledger(settings.path("ledger"), create_missing=False, key_file=settings.key_file) as ledger:
        document = build_history(ledger.events(), request)
    return Result(format_text(document), document)


def build_history(events: Iterable[Event], request: str) -> dict[str, Any]:
    """Return the request's state and its events, including those of the runs that it was in, in order of time.

    Raises:
        UserError: the ledger has no request of that id.
    """
    events, entries, runs = list(events), [], set()
    for event in events:
        is_listed = request in event.body.get("requests", ())
        if event.kind == "run_started" and is_listed:
            runs.add(event.run)
        is_named = request in (event.name, event.body.get("name"))
        if event.kind in TEXTS and (is_named or (event.request is None and (is_listed or event.run in runs))):
            entry = {"time": event.time, "kind": event.kind, "run": event.run, "text": _format_event(event)}
            entries.append(entry | event.body)
    if not entries:
        raise UserError(f"{request}: the ledger has no such request; 'batch status --json' lists them")
    return {"request": request, "state": _find_state(fold(events), request), "events": entries}


def _find_state(state: LedgerState, name: str) -> str:
    if name in state.requests:
        return state.requests[name].state
    return "set_aside" if any(refusal.name == name for refusal in state.open_refusals) else "closed"


def format_text(document: dict[str, Any]) -> str:
    """Return the history for a person, one line per event."""
    lines = [f"{clock.shorten_time(entry['time'])}  {entry['text']}" for entry in document["events"]]
    return "\n".join([f"{document['request']}: {document['state'].replace('_', ' ')}", *lines])


def _format_event(event: Event) -> str:
    facts = event.body | {"run": event.run}
    if event.kind == "received":
        facts["due"] = clock.shorten_time(event.body["due"])
    if event.kind == "run_started":
        facts["count"] = len(event.body["requests"])
    if event.kind == "done":
        facts["how"] = f"by {event.run}" if event.run else "without a run, nothing of it was left"
    if event.kind == "attempt":
        facts["how"] = describe_attempt(event.body)
    return TEXTS[event.kind].format_map(facts)
