"""Where everything stands: what follows from the events of the ledger, and from nothing else."""

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
    """One request; `arrivals` are the files that it came in, `file` the name of the first."""

    id: str
    digest: str
    received: datetime
    due: datetime
    file: str
    state: RequestStatus = "pending"
    attempts: int = 0  # failed runs that it was in
    run: str | None = None  # the last one
    reason: str | None = None  # of being set aside, or of the last run's failure
    ended: datetime | None = None
    counts: dict[str, int] = field(default_factory=dict)  # records, unknown, already: what `done` says
    arrivals: set[str] = field(default_factory=set)


@dataclass
class RunState:
    """One run; `before` and `after` are the checkpoints' {tensor_digest, file_sha256, version}."""

    id: str
    started: datetime
    requests: list[str]
    before: dict[str, Any]
    body: dict[str, Any]  # of run_started
    state: RunStatus = "running"
    attempts: list[dict[str, Any]] = field(default_factory=list)  # bodies of `attempt`
    steps: dict[str, dict[str, str]] = field(default_factory=dict)  # folder of an attempt -> digests of its files
    version: str | None = None
    after: dict[str, Any] | None = None
    evidence: dict[str, str] = field(default_factory=dict)
    forgotten: int = 0
    forgotten_digest: str | None = None
    reason: str | None = None
    ended: datetime | None = None


@dataclass
class LedgerState:
    requests: dict[str, RequestState] = field(default_factory=dict)
    runs: dict[str, RunState] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)  # name -> {tensor_digest, file_sha256}, all
    current: str | None = None  # version
    unfinished: str | None = None  # run
    refused: dict[tuple[str, str], Event] = field(default_factory=dict)  # (arrival, digest) of what became no request
    answered: set[tuple[str, str]] = field(default_factory=set)  # of `refused`: came again in order, or were closed
    published: str | None = None  # version that the remote's pointer names
    removed: set[str] = field(default_factory=set)  # what was vacuumed
    last: Event | None = None

    def requests_in(self, state: RequestStatus) -> list[RequestState]:
        """Return the requests in a state, the one due first at the top."""
        return sorted((r for r in self.requests.values() if r.state == state), key=lambda r: (r.due, r.id))

    @property
    def open_refusals(self) -> list[Event]:
        """Return what became no request, and neither came again in order nor was closed."""
        return [event for key, event in self.refused.items() if key not in self.answered]

    @property
    def next_run(self) -> str:
        return f"R{len(self.runs) + 1:04d}"

    @property
    def next_version(self) -> str:
        """Return the name of a version that never was: one that was rolled back keeps its own."""
        return f"v{len(self.versions):04d}"

    @property
    def lineage(self) -> list[RunState]:
        """Return the runs that made the current checkpoint of the first one, in their order."""
        return [run for run in self.runs.values() if run.state == "promoted"]


def fold(events: Iterable[Event], state: LedgerState | None = None) -> LedgerState:
    """Return what follows from the events; with `state`, from those before them, too.

    Raises:
        IntegrityError: one cannot have followed the others, so this tool has not written it.
    """
    state = LedgerState() if state is None else state
    for event in events:
        HANDLERS[event.kind](state, event)
        state.last = event
    return state


def _make_order_error(event: Event, why: str) -> IntegrityError:
    what = f"the ledger's event {event.seq} ({event.kind}) cannot follow those before it: {why}"
    return IntegrityError(f"{what}; bring the ledger back from a backup")


def _find_run(state: LedgerState, event: Event, *states: RunStatus) -> RunState:
    """Return the run of an event, which must be in one of these states."""
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
        raise _make_order_error(event, "there is a checkpoint already")
    state.current = event.body["version"]
    state.versions[event.body["version"]] = event.body["checkpoint"]


def _apply_keyed(state: LedgerState, event: Event) -> None:
    """The chain has a key from here on; nothing else follows."""


def _apply_received(state: LedgerState, event: Event) -> None:
    """Begin a request; one that was set aside begins anew, and so does what became none, under its id or file name."""
    body = event.body
    name = event.request or ""
    if name in state.requests and state.requests[name].state not in ("set_aside", "closed"):
        raise _make_order_error(event, f"'{name}' is {state.requests[name].state}")
    earlier = {key: one for key, one in state.refused.items() if key[0] != body["arrival"]}
    state.answered.update(key for key, one in earlier.items() if one.name in (name, body["file"]))
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
    """A request that is known, or what never became one: a bad file, a known id with other content."""
    known, body = state.requests.get(event.request or ""), event.body
    if known is None or body.get("digest") not in (None, known.digest):
        if body.get("digest") is None or body.get("arrival") is None:
            raise _make_order_error(event, f"'{event.request}' is not a request")
        state.refused[body["arrival"], body["digest"]] = event
        return
    known.state, known.reason, known.ended = "set_aside", body["reason"], clock.parse_time(event.time)


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
    run = _find_run(state, event, "running")
    run.state, run.reason, run.ended, state.unfinished = (
        "failed",
        event.body["reason"],
        clock.parse_time(event.time),
        None,
    )
    for name in run.requests:
        request = state.requests[name]
        request.state, request.reason = "pending", event.body["reason"]
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
        raise _make_order_error(event, f"{run.id} made {run.version}")
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
        known = _find_request(state, event, event.request)
        if known.state != "set_aside":
            raise _make_order_error(event, f"'{known.id}' is {known.state}")
        known.state, known.reason, known.ended = "closed", event.body["because"], clock.parse_time(event.time)
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
