"""The state of a batch: requests, runs and versions, computed only from the events of the ledger.

`fold` applies the events in order; `HANDLERS` has one function per kind of event.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from unlearn_cli.batch.ledger import clock
from unlearn_cli.batch.ledger.store import Event
from unlearn_cli.errors import IntegrityError

RequestStatus = Literal["pending", "running", "done", "set_aside", "closed"]
RunStatus = Literal["running", "promoting", "promoted", "failed", "rolled_back"]


@dataclass
class RequestState:
    """One request. `arrivals` are the files that it was in (see `inbox.InboxFile`), `file` is the name of the first."""

    id: str
    digest: str
    received: datetime
    due: datetime
    file: str
    state: RequestStatus = "pending"
    attempts: int = 0  # failed runs with this request
    run: str | None = None  # last run with this request
    reason: str | None = None  # why it was set aside or closed, or why the last run failed
    ended: datetime | None = None
    counts: dict[str, int] = field(default_factory=dict)  # body of the event `done`
    arrivals: set[str] = field(default_factory=set)


@dataclass
class RunState:
    """One run; `before` and `after` are the digests of its two checkpoints, `before` with the version."""

    id: str
    started: datetime
    requests: list[str]
    before: dict[str, Any]
    body: dict[str, Any]  # body of the event `run_started`
    state: RunStatus = "running"
    attempts: list[dict[str, Any]] = field(default_factory=list)  # bodies of the events `attempt`
    steps: dict[str, dict[str, str]] = field(default_factory=dict)  # folder of a step -> digests of its files
    version: str | None = None
    after: dict[str, Any] | None = None
    evidence: dict[str, str] = field(default_factory=dict)
    forgotten: int = 0
    forgotten_digest: str | None = None
    reason: str | None = None
    ended: datetime | None = None


@dataclass
class LedgerState:
    """The state after the last event."""

    requests: dict[str, RequestState] = field(default_factory=dict)
    runs: dict[str, RunState] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)  # name -> digests, of all versions ever
    current: str | None = None  # current version
    unfinished: str | None = None  # run that has started and not ended
    refused: dict[tuple[str, str], Event] = field(default_factory=dict)  # (arrival, digest) of invalid requests
    answered: set[tuple[str, str]] = field(default_factory=set)  # keys of `refused`: closed, or valid at a later try
    published: str | None = None  # version that the remote pointer names
    removed: set[str] = field(default_factory=set)  # names of the files and folders that `vacuum` has removed
    last: Event | None = None

    def requests_in(self, state: RequestStatus) -> list[RequestState]:
        """Return the requests in a state, ordered by due time."""
        return sorted((r for r in self.requests.values() if r.state == state), key=lambda r: (r.due, r.id))

    @property
    def open_refusals(self) -> list[Event]:
        """Return the events of invalid requests that neither came again as valid ones nor were closed."""
        return [event for key, event in self.refused.items() if key not in self.answered]

    @property
    def next_run(self) -> str:
        return f"R{len(self.runs) + 1:04d}"

    @property
    def next_version(self) -> str:
        """Return a name that no version has had, including versions that were rolled back."""
        return f"v{len(self.versions):04d}"

    @property
    def lineage(self) -> list[RunState]:
        """Return the runs that led from the first checkpoint to the current one, in order."""
        return [run for run in self.runs.values() if run.state == "promoted"]


def fold(events: Iterable[Event], state: LedgerState | None = None) -> LedgerState:
    """Return the state after these events. `state`, if given, is the state before them and is updated in place.

    Raises:
        IntegrityError: an event cannot follow the events before it, so unlearn-cli has not written it.
    """
    state = LedgerState() if state is None else state
    for event in events:
        HANDLERS[event.kind](state, event)
        state.last = event
    return state


def _make_order_error(event: Event, why: str) -> IntegrityError:
    return IntegrityError(
        f"the ledger's event {event.seq} ({event.kind}) cannot follow those before it: {why}; "
        "restore the ledger from a backup"
    )


def _find_run(state: LedgerState, event: Event, *states: RunStatus) -> RunState:
    """Return the run that an event names, which must be in one of these states."""
    run = state.runs.get(event.run or "")
    if run is None or run.state not in states:
        raise _make_order_error(event, f"{event.run} is {run.state if run else 'not a run'}")
    return run


def _find_request(state: LedgerState, event: Event, name: str | None) -> RequestState:
    request = state.requests.get(name or "")
    if request is None:
        raise _make_order_error(event, f"'{name}' is not a request")
    return request


def _check_version(state: LedgerState, event: Event, name: str) -> None:
    if name not in state.versions:
        raise _make_order_error(event, f"'{name}' is not a version")


def _apply_opened(state: LedgerState, event: Event) -> None:
    if state.versions:
        raise _make_order_error(event, "there is already a checkpoint")
    state.current = event.body["version"]
    state.versions[event.body["version"]] = event.body["checkpoint"]


def _apply_keyed(state: LedgerState, event: Event) -> None:
    """Do nothing: the event matters only to the chain, which is keyed from here on."""


def _apply_received(state: LedgerState, event: Event) -> None:
    """Add a request; one that was set aside or closed starts again.

    Earlier invalid requests under the same id or file name are answered by it.
    """
    body = event.body
    name = event.request or ""
    if name in state.requests and state.requests[name].state not in ("set_aside", "closed"):
        raise _make_order_error(event, f"'{name}' is {state.requests[name].state}")
    for (arrival, digest), refusal in state.refused.items():
        if arrival != body["arrival"] and refusal.name in (name, body["file"]):
            state.answered.add((arrival, digest))
    state.requests[name] = RequestState(
        name,
        body["digest"],
        clock.parse_time(body["received"]),
        clock.parse_time(body["due"]),
        body["file"],
        arrivals={body["arrival"]},
    )


def _apply_repeated(state: LedgerState, event: Event) -> None:
    _find_request(state, event, event.request).arrivals.add(event.body["arrival"])


def _apply_set_aside(state: LedgerState, event: Event) -> None:
    """Set a request aside; without a request of this id and digest, note an invalid one (a bad file, a reused id)."""
    request, body = state.requests.get(event.request or ""), event.body
    digest, arrival = body.get("digest"), body.get("arrival")
    if request and digest in (None, request.digest):
        request.state, request.reason, request.ended = "set_aside", body["reason"], clock.parse_time(event.time)
    elif digest is None or arrival is None:
        raise _make_order_error(event, f"'{event.request}' is not a request")
    else:
        state.refused[arrival, digest] = event


def _apply_run_started(state: LedgerState, event: Event) -> None:
    body, run = event.body, state.next_run
    if event.run != run or state.unfinished:
        raise _make_order_error(event, f"the next run is {run}, unfinished is {state.unfinished or 'none'}")
    _check_version(state, event, body["before"]["version"])
    state.runs[run] = RunState(run, clock.parse_time(event.time), body["requests"], body["before"], body)
    state.unfinished = run
    for name in body["requests"]:
        request = _find_request(state, event, name)
        request.state, request.run = "running", run


def _apply_step_ended(state: LedgerState, event: Event) -> None:
    _find_run(state, event, "running").steps[event.body["folder"]] = event.body["files"]


def _apply_attempt(state: LedgerState, event: Event) -> None:
    _find_run(state, event, "running").attempts.append(event.body)


def _apply_run_failed(state: LedgerState, event: Event) -> None:
    run, reason = _find_run(state, event, "running"), event.body["reason"]
    run.state, run.reason, run.ended = "failed", reason, clock.parse_time(event.time)
    state.unfinished = None
    for name in run.requests:
        request = state.requests[name]
        request.state, request.reason = "pending", reason
        request.attempts += event.body["counted"]


def _apply_promoting(state: LedgerState, event: Event) -> None:
    run, body = _find_run(state, event, "running"), event.body
    if body["version"] != state.next_version:
        raise _make_order_error(event, f"the next version is {state.next_version}")
    run.state, run.version, run.after, run.evidence = "promoting", body["version"], body["after"], body["evidence"]
    state.versions[body["version"]] = body["after"]


def _apply_promoted(state: LedgerState, event: Event) -> None:
    run, body = _find_run(state, event, "promoting"), event.body
    if body["version"] != run.version:
        raise _make_order_error(event, f"the version of {run.id} is {run.version}")
    run.state, run.ended, state.unfinished = "promoted", clock.parse_time(event.time), None
    run.forgotten, run.forgotten_digest = body["forgotten"], body["forgotten_digest"]
    state.current = body["version"]


def _apply_done(state: LedgerState, event: Event) -> None:
    request = _find_request(state, event, event.request)
    request.state, request.run, request.ended = "done", event.run, clock.parse_time(event.time)
    request.reason, request.counts = None, dict(event.body)


def _apply_rolled_back(state: LedgerState, event: Event) -> None:
    run = _find_run(state, event, "promoted")
    _check_version(state, event, event.body["to"])
    run.state, state.current = "rolled_back", event.body["to"]
    for name in event.body["requests"]:
        request = _find_request(state, event, name)
        request.state, request.ended, request.counts = "pending", None, {}


def _apply_published(state: LedgerState, event: Event) -> None:
    _check_version(state, event, event.body["version"])
    state.published = event.body["version"]


def _apply_vacuumed(state: LedgerState, event: Event) -> None:
    state.removed.update(event.body["removed"])


def _apply_closed(state: LedgerState, event: Event) -> None:
    if event.request is not None:
        request = _find_request(state, event, event.request)
        if request.state != "set_aside":
            raise _make_order_error(event, f"'{request.id}' is {request.state}")
        request.state, request.reason, request.ended = "closed", event.body["because"], clock.parse_time(event.time)
    state.answered.update((arrival, digest) for arrival, digest in event.body["refusals"])


HANDLERS = {
    "opened": _apply_opened,
    "keyed": _apply_keyed,
    "received": _apply_received,
    "repeated": _apply_repeated,
    "set_aside": _apply_set_aside,
    "run_started": _apply_run_started,
    "step_ended": _apply_step_ended,
    "attempt": _apply_attempt,
    "run_failed": _apply_run_failed,
    "promoting": _apply_promoting,
    "promoted": _apply_promoted,
    "done": _apply_done,
    "rolled_back": _apply_rolled_back,
    "published": _apply_published,
    "vacuumed": _apply_vacuumed,
    "closed": _apply_closed,
}
