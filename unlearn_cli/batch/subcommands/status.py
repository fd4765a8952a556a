"""`batch status`: how many requests wait, which is due next, which were set aside. It writes nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from unlearn_cli import console
from unlearn_cli.batch.ledger import clock, keyed
from unlearn_cli.batch.ledger.ledger_state import LedgerState, fold
from unlearn_cli.batch.ledger.store import Clock, open_ledger
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.settings import deletion
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.commands.result import Result

WAITING = ("not_read", "pending", "running")
ASIDE = ("set_aside", "refused")  # refused: what never became a request
OPEN = (*WAITING, *ASIDE)  # until it comes again or is closed, its deadline runs on
LISTED = 20  # requests in the table; the document has all
DUE_SOON, SET_ASIDE = 3, 5  # exit codes


def run(deletion_path: Path, fail_if_due_within: str | None = None) -> Result:
    """Report where everything stands. The exit code is 3 if a request that waits is due soon, else 5 if requests are
    set aside, which no run will carry out.

    Raises:
        UserError: `fail_if_due_within` is not a length of time, or deletion.yaml is not valid.
        IntegrityError: the ledger or its key is damaged.
    """
    settings = deletion.read(deletion_path)
    limit = clock.parse_duration(fail_if_due_within) if fail_if_due_within else None
    document = build_overview(settings)
    due_soon = list_due(document, limit) if limit is not None else []
    summary = format_text(document)
    if due_soon:
        summary += f"\n\ndue within {fail_if_due_within}: {', '.join(due_soon[:LISTED])}"
    aside = {request["request"] for request in document["requests"] if request["state"] in ASIDE}
    code = DUE_SOON if set(due_soon) - aside else SET_ASIDE if aside else 0
    return Result(summary, {**document, "near": due_soon}, code)


def build_overview(settings: DeletionSettings, *, now: Clock = clock.now) -> dict[str, Any]:
    """Return where everything stands; requests that no run has read yet count as pending.

    Raises:
        IntegrityError: the ledger or its key is damaged.
    """
    state, key = LedgerState(), bytes(keyed.KEY_BYTES)
    if settings.path("ledger").exists():
        key = keyed.read_key(settings.key_file)
        with open_ledger(settings.path("ledger"), now=now, create_missing=False) as ledger:
            state = fold(ledger.events())
    files = inbox.read(settings.path("requests"), key) if settings.path("requests").is_dir() else []
    waiting = [*_list_unread(state, files, settings)]
    repeated = {request["request"] for request in waiting}
    registered = [*_list_registered(state), *_list_refused(state, settings)]
    others = [request for request in registered if request["request"] not in repeated]
    document = _build_document(state, [*others, *waiting], now())
    return {**document, "without_file": inbox.find_pending(files, state)[1]}


def _list_registered(state: LedgerState) -> Iterator[dict[str, Any]]:
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


def _list_refused(state: LedgerState, settings: DeletionSettings) -> Iterator[dict[str, Any]]:
    """Yield files without a valid request, by file name where there is no id; the deadline began when it was read."""
    for event in state.open_refusals:
        due = clock.compute_due_time(clock.parse_time(event.time), settings.deadline)
        yield {
            "request": event.name,
            "state": "refused",
            "received": event.time,
            "due": clock.format_time(due),
            "attempts": 0,
            "run": None,
            "reason": event.body["reason"],
        }


def _list_unread(
    state: LedgerState, files: list[inbox.InboxFile], settings: DeletionSettings
) -> Iterator[dict[str, Any]]:
    """Yield the requests in the inbox that are not in the ledger yet: a batch that never runs must be noticed."""
    for file in files:
        for item in file.entries:
            request, content = state.requests.get(item.id or ""), item.content
            came_again = request and request.state in inbox.ENDED_OTHERWISE and file.arrival not in request.arrivals
            if content and (request is None or came_again):
                due = content.due or clock.compute_due_time(content.received, settings.deadline)
                yield {
                    "request": item.id,
                    "state": "not_read",
                    "received": clock.format_time(content.received),
                    "due": clock.format_time(due),
                    "attempts": 0,
                    "run": None,
                    "reason": None,
                }


def _build_document(state: LedgerState, requests: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    time = clock.format_time(now)
    for request in requests:
        request["overdue"] = request["state"] in OPEN and request["due"] < time
    waiting = [request for request in requests if request["state"] in WAITING]
    still_open = [request for request in requests if request["state"] in OPEN]
    counts = {name: sum(request["state"] == name for request in requests) for name in (*OPEN, "done", "closed")}
    return {
        "time": time,
        "current": state.current,
        "runs": len(state.runs),
        "unfinished": state.unfinished,
        "last": state.last.time if state.last else None,
        **counts,
        "pending": len(waiting),  # all that wait, including the two other counts of WAITING
        "overdue": sum(request["overdue"] for request in requests),
        "oldest": min((request["received"] for request in still_open), default=None),
        "next_due": min((request["due"] for request in still_open), default=None),
        "requests": sorted(requests, key=_rank_urgency),
    }


def _rank_urgency(request: dict[str, Any]) -> tuple[bool, str, str]:
    return request["state"] not in OPEN, request["due"], request["request"]


def list_due(document: dict[str, Any], within: timedelta) -> list[str]:
    """Return the ids of the requests that wait or are set aside, and are due within that time or overdue."""
    limit = clock.format_time(clock.parse_time(document["time"]) + within)
    due = [request for request in document["requests"] if request["state"] in OPEN and request["due"] <= limit]
    return [request["request"] for request in due]


def format_text(document: dict[str, Any]) -> str:
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
        ["oldest received", _shorten_time(document["oldest"])],
        ["next due", _shorten_time(document["next_due"])],
        ["current checkpoint", document["current"] or "-"],
        ["unfinished run", document["unfinished"] or "-"],
    ]
    tables = [console.table("", ["deletion requests", _shorten_time(document["time"])], counted)]
    open_or_aside = [request for request in document["requests"] if request["state"] in OPEN]
    if open_or_aside:
        rows = [
            [request["request"], _describe_state(request), _shorten_time(request["due"]), str(request["attempts"])]
            for request in open_or_aside[:LISTED]
        ]
        tables.append(console.table("", ["request", "state", "due", "failed runs"], rows))
    if len(open_or_aside) > LISTED:
        tables.append(f"... and {len(open_or_aside) - LISTED} more, which --json lists")
    return "\n\n".join(tables)


def _shorten_time(text: str | None) -> str:
    return clock.shorten_time(text) if text else "-"


def _describe_state(request: dict[str, Any]) -> str:
    if request["state"] in ASIDE:
        return "set aside, overdue" if request["overdue"] else "set aside"
    return "overdue" if request["overdue"] else request["state"].replace("_", " ")
