"""`batch --status`: how many requests wait, which is due next, what was set aside. It writes nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from unlearn_cli import console
from unlearn_cli.batch import clock, inbox, keyed
from unlearn_cli.batch.ledger import Clock, open_ledger
from unlearn_cli.batch.state import State, fold
from unlearn_cli.deletion import Deletion

OPEN = ("not_read", "pending", "running")
LISTED = 20  # requests in the table; the document has all


def overview(deletion: Deletion, *, now: Clock = clock.now) -> dict[str, Any]:
    """Return where everything stands; requests that no run has read yet count as pending.

    Raises:
        IntegrityError: the ledger or its key is damaged.
    """
    state, key = State(), bytes(keyed.KEY_BYTES)
    if deletion.path("ledger").exists():
        key = keyed.read_key(deletion.key_file)
        with open_ledger(deletion.path("ledger"), now=now, create_missing=False) as ledger:
            state = fold(ledger.events())
    files = inbox.read(deletion.path("requests"), key) if deletion.path("requests").is_dir() else []
    document = _document(state, [*_known(state), *_not_read(state, files, deletion)], now())
    return {**document, "without_file": inbox.pending(files, state)[1]}


def _known(state: State) -> Iterator[dict[str, Any]]:
    for request in state.requests.values():
        yield {
            "request": request.id, "state": request.state, "received": clock.told(request.received),
            "due": clock.told(request.due), "attempts": request.attempts, "run": request.run, "reason": request.reason,
        }  # fmt: skip


def _not_read(state: State, files: list[inbox.File], deletion: Deletion) -> Iterator[dict[str, Any]]:
    """Yield the requests that lie in the inbox and are new to the ledger: a batch that never runs must be noticed."""
    for file in files:
        for item in file.items:
            known, content = state.requests.get(item.id or ""), item.content
            if content and (known is None or (known.state == "set_aside" and file.arrival not in known.arrivals)):
                due = content.due or clock.due(content.received, deletion.deadline)
                yield {
                    "request": item.id, "state": "not_read", "received": clock.told(content.received),
                    "due": clock.told(due), "attempts": 0, "run": None, "reason": None,
                }  # fmt: skip


def _document(state: State, requests: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    time = clock.told(now)
    for request in requests:
        request["overdue"] = request["state"] in OPEN and request["due"] < time
    waiting = [request for request in requests if request["state"] in OPEN]
    counts = {name: sum(one["state"] == name for one in requests) for name in (*OPEN, "done", "set_aside")}
    return {
        "time": time, "current": state.current, "runs": len(state.runs), "unfinished": state.unfinished,
        "last": state.last.time if state.last else None,
        **counts, "pending": len(waiting),  # all that wait, the two other counts of OPEN among them
        "refused": len(state.refused),
        "overdue": sum(request["overdue"] for request in requests),
        "oldest": min((request["received"] for request in waiting), default=None),
        "next_due": min((request["due"] for request in waiting), default=None),
        "requests": sorted(requests, key=lambda one: (one["state"] not in OPEN, one["due"], one["request"])),
    }  # fmt: skip


def near(document: dict[str, Any], within: timedelta) -> list[str]:
    """Return the ids of the requests that wait and are due within that time, or overdue."""
    limit = clock.told(clock.read(document["time"]) + within)
    return [one["request"] for one in document["requests"] if one["state"] in OPEN and one["due"] <= limit]


def text(document: dict[str, Any]) -> str:
    """Return the table for a person: counts, then the requests that wait, then those that were set aside."""
    counted = [
        ["pending", str(document["pending"])],
        ["  of these: overdue", str(document["overdue"])],
        ["  of these: in no run's ledger yet", str(document["not_read"])],
        ["  of these: their file is gone", str(len(document["without_file"]))],
        ["done", str(document["done"])],
        ["set aside", str(document["set_aside"])],
        ["no requests, set aside", str(document["refused"])],
        ["oldest received", _time(document["oldest"])],
        ["next due", _time(document["next_due"])],
        ["current checkpoint", document["current"] or "-"],
        ["unfinished run", document["unfinished"] or "-"],
    ]
    told = [console.table("", ["deletion requests", _time(document["time"])], counted)]
    open_or_aside = [one for one in document["requests"] if one["state"] != "done"]
    if open_or_aside:
        rows = [
            [one["request"], _state(one), _time(one["due"]), str(one["attempts"])] for one in open_or_aside[:LISTED]
        ]
        told.append(console.table("", ["request", "state", "due", "failed runs"], rows))
    if len(open_or_aside) > LISTED:
        told.append(f"... and {len(open_or_aside) - LISTED} more, which --json lists")
    return "\n\n".join(told)


def _time(text: str | None) -> str:
    return clock.short(text) if text else "-"


def _state(request: dict[str, Any]) -> str:
    return "overdue" if request["overdue"] else request["state"].replace("_", " ")
