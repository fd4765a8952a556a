"""`batch --status`: how many requests wait, which is due next, what was set aside. It writes nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from unlearn_cli import console
from unlearn_cli.batch.ledger import clock, keyed
from unlearn_cli.batch.ledger.ledger_state import LedgerState, fold
from unlearn_cli.batch.ledger.store import Clock, open_ledger
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.settings.deletion import DeletionSettings

WAITING = ("not_read", "pending", "running")
ASIDE = ("set_aside", "refused")  # refused: what never became a request
OPEN = (*WAITING, *ASIDE)  # until it comes again or is closed, its deadline runs on
LISTED = 20  # requests in the table; the document has all


def overview(deletion: DeletionSettings, *, now: Clock = clock.now) -> dict[str, Any]:
    """Return where everything stands; requests that no run has read yet count as pending.

    Raises:
        IntegrityError: the ledger or its key is damaged.
    """
    state, key = LedgerState(), bytes(keyed.KEY_BYTES)
    if deletion.path("ledger").exists():
        key = keyed.read_key(deletion.key_file)
        with open_ledger(deletion.path("ledger"), now=now, create_missing=False) as ledger:
            state = fold(ledger.events())
    files = inbox.read(deletion.path("requests"), key) if deletion.path("requests").is_dir() else []
    waiting = [*_not_read(state, files, deletion)]
    again = {one["request"] for one in waiting}
    others = [one for one in (*_known(state), *_refused(state, deletion)) if one["request"] not in again]
    document = _document(state, [*others, *waiting], now())
    return {**document, "without_file": inbox.find_pending(files, state)[1]}


def _known(state: LedgerState) -> Iterator[dict[str, Any]]:
    for request in state.requests.values():
        yield {
            "request": request.id,
            "state": request.state,
            "received": clock.format_time(request.received),
            "due": clock.format_time(request.due),
            "attempts": request.attempts,
            "run": request.run,
            "reason": request.reason,
        }


def _refused(state: LedgerState, deletion: DeletionSettings) -> Iterator[dict[str, Any]]:
    """Yield what became no request, by the name of its file where it has no id; its deadline began when it was read."""
    for event in state.open_refusals:
        due = clock.compute_due_time(clock.parse_time(event.time), deletion.deadline)
        yield {
            "request": event.name,
            "state": "refused",
            "received": event.time,
            "due": clock.format_time(due),
            "attempts": 0,
            "run": None,
            "reason": event.body["reason"],
        }


def _not_read(state: LedgerState, files: list[inbox.InboxFile], deletion: DeletionSettings) -> Iterator[dict[str, Any]]:
    """Yield the requests that lie in the inbox and are new to the ledger: a batch that never runs must be noticed."""
    for file in files:
        for item in file.entries:
            known, content = state.requests.get(item.id or ""), item.content
            if content and (
                known is None or (known.state in inbox.ENDED_OTHERWISE and file.arrival not in known.arrivals)
            ):
                due = content.due or clock.compute_due_time(content.received, deletion.deadline)
                yield {
                    "request": item.id,
                    "state": "not_read",
                    "received": clock.format_time(content.received),
                    "due": clock.format_time(due),
                    "attempts": 0,
                    "run": None,
                    "reason": None,
                }


def _document(state: LedgerState, requests: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    time = clock.format_time(now)
    for request in requests:
        request["overdue"] = request["state"] in OPEN and request["due"] < time
    waiting = [request for request in requests if request["state"] in WAITING]
    still_open = [request for request in requests if request["state"] in OPEN]
    counts = {name: sum(one["state"] == name for one in requests) for name in (*OPEN, "done", "closed")}
    return {
        "time": time,
        "current": state.current,
        "runs": len(state.runs),
        "unfinished": state.unfinished,
        "last": state.last.time if state.last else None,
        **counts,
        "pending": len(waiting),  # all that wait, the two other counts of WAITING among them
        "overdue": sum(request["overdue"] for request in requests),
        "oldest": min((request["received"] for request in still_open), default=None),
        "next_due": min((request["due"] for request in still_open), default=None),
        "requests": sorted(requests, key=lambda one: (one["state"] not in OPEN, one["due"], one["request"])),
    }


def near(document: dict[str, Any], within: timedelta) -> list[str]:
    """Return the ids of the requests that wait or are set aside, and are due within that time or overdue."""
    limit = clock.format_time(clock.parse_time(document["time"]) + within)
    return [one["request"] for one in document["requests"] if one["state"] in OPEN and one["due"] <= limit]


def text(document: dict[str, Any]) -> str:
    """Return the table for a person: counts, then the requests that wait, then those that were set aside."""
    counted = [
        ["pending", str(document["pending"])],
        ["  of these: in no run's ledger yet", str(document["not_read"])],
        ["  of these: their file is gone", str(len(document["without_file"]))],
        ["done", str(document["done"])],
        ["set aside, and still open", str(document["set_aside"] + document["refused"])],
        ["  of these: files without a request", str(document["refused"])],
        ["closed", str(document["closed"])],
        ["overdue, set aside or not", str(document["overdue"])],
        ["oldest received", _time(document["oldest"])],
        ["next due", _time(document["next_due"])],
        ["current checkpoint", document["current"] or "-"],
        ["unfinished run", document["unfinished"] or "-"],
    ]
    told = [console.table("", ["deletion requests", _time(document["time"])], counted)]
    open_or_aside = [one for one in document["requests"] if one["state"] in OPEN]
    if open_or_aside:
        rows = [
            [one["request"], _state(one), _time(one["due"]), str(one["attempts"])] for one in open_or_aside[:LISTED]
        ]
        told.append(console.table("", ["request", "state", "due", "failed runs"], rows))
    if len(open_or_aside) > LISTED:
        told.append(f"... and {len(open_or_aside) - LISTED} more, which --json lists")
    return "\n\n".join(told)


def _time(text: str | None) -> str:
    return clock.shorten_time(text) if text else "-"


def _state(request: dict[str, Any]) -> str:
    if request["state"] in ASIDE:
        return "set aside, overdue" if request["overdue"] else "set aside"
    return "overdue" if request["overdue"] else request["state"].replace("_", " ")
