"""Where everything stands: what follows from the events of the ledger, and from nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from unlearn_cli.batch import clock
from unlearn_cli.batch.ledger import Event

RequestStates = Literal["pending", "running", "done", "set_aside"]
RunStates = Literal["running", "promoting", "promoted", "failed", "rolled_back"]


@dataclass
class RequestState:
    """One request; `arrivals` are the files that it came in, `file` the name of the first."""

    id: str
    digest: str
    received: datetime
    due: datetime
    file: str
    state: RequestStates = "pending"
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
    state: RunStates = "running"
    attempts: list[dict[str, Any]] = field(default_factory=list)  # bodies of `attempt`
    version: str | None = None
    after: dict[str, Any] | None = None
    evidence: dict[str, str] = field(default_factory=dict)
    forgotten: int = 0
    forgotten_digest: str | None = None
    reason: str | None = None
    ended: datetime | None = None


@dataclass
class State:
    requests: dict[str, RequestState] = field(default_factory=dict)
    runs: dict[str, RunState] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)  # name -> {tensor_digest, file_sha256}, all
    current: str | None = None  # version
    unfinished: str | None = None  # run
    refused: dict[tuple[str, str], Event] = field(default_factory=dict)  # (arrival, digest) of what became no request
    published: str | None = None  # version that the remote's pointer names
    removed: set[str] = field(default_factory=set)  # what was vacuumed
    last: Event | None = None

    def having(self, state: RequestStates) -> list[RequestState]:
        """Return the requests in a state, the one due first at the top."""
        return sorted((r for r in self.requests.values() if r.state == state), key=lambda r: (r.due, r.id))

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


def fold(events: Iterable[Event], state: State | None = None) -> State:
    """Return what follows from the events; with `state`, from those before them, too."""
    state = State() if state is None else state
    for event in events:
        HANDLERS[event.kind](state, event)
        state.last = event
    return state


def _opened(state: State, event: Event) -> None:
    state.current = event.body["version"]
    state.versions[event.body["version"]] = event.body["checkpoint"]


def _received(state: State, event: Event) -> None:
    """Begin a request; one that was set aside begins anew."""
    body = event.body
    assert event.request is not None
    state.requests[event.request] = RequestState(
        event.request, body["digest"], clock.read(body["received"]), clock.read(body["due"]), body["file"],
        arrivals={body["arrival"]},
    )  # fmt: skip


def _repeated(state: State, event: Event) -> None:
    state.requests[event.request or ""].arrivals.add(event.body["arrival"])


def _set_aside(state: State, event: Event) -> None:
    """A request that is known, or what never became one: a bad file, a known id with other content."""
    known, body = state.requests.get(event.request or ""), event.body
    if known is None or body.get("digest") not in (None, known.digest):
        state.refused[body["arrival"], body["digest"]] = event
        return
    known.state, known.reason, known.ended = "set_aside", body["reason"], clock.read(event.time)


def _run_started(state: State, event: Event) -> None:
    body = event.body
    assert event.run is not None
    state.runs[event.run] = RunState(event.run, clock.read(event.time), body["requests"], body["before"], body)
    state.unfinished = event.run
    for name in body["requests"]:
        state.requests[name].state, state.requests[name].run = "running", event.run


def _attempt(state: State, event: Event) -> None:
    state.runs[event.run or ""].attempts.append(event.body)


def _run_failed(state: State, event: Event) -> None:
    run = state.runs[event.run or ""]
    run.state, run.reason, run.ended, state.unfinished = "failed", event.body["reason"], clock.read(event.time), None
    for name in run.requests:
        request = state.requests[name]
        request.state, request.reason = "pending", event.body["reason"]
        request.attempts += event.body["counted"]


def _promoting(state: State, event: Event) -> None:
    run, body = state.runs[event.run or ""], event.body
    run.state, run.version, run.after, run.evidence = "promoting", body["version"], body["after"], body["evidence"]
    state.versions[body["version"]] = body["after"]


def _promoted(state: State, event: Event) -> None:
    run, body = state.runs[event.run or ""], event.body
    run.state, run.ended, state.unfinished = "promoted", clock.read(event.time), None
    run.forgotten, run.forgotten_digest = body["forgotten"], body["forgotten_digest"]
    state.current = body["version"]


def _done(state: State, event: Event) -> None:
    request = state.requests[event.request or ""]
    request.state, request.run, request.ended = "done", event.run, clock.read(event.time)
    request.reason, request.counts = None, dict(event.body)


def _rolled_back(state: State, event: Event) -> None:
    state.runs[event.run or ""].state = "rolled_back"
    state.current = event.body["to"]
    for name in event.body["requests"]:
        request = state.requests[name]
        request.state, request.ended, request.counts = "pending", None, {}


def _published(state: State, event: Event) -> None:
    state.published = event.body["version"]


def _vacuumed(state: State, event: Event) -> None:
    state.removed.update(event.body["removed"])


HANDLERS = {
    "opened": _opened, "received": _received, "repeated": _repeated, "set_aside": _set_aside,
    "run_started": _run_started, "attempt": _attempt, "run_failed": _run_failed, "promoting": _promoting,
    "promoted": _promoted, "done": _done, "rolled_back": _rolled_back, "published": _published,
    "vacuumed": _vacuumed,
}  # fmt: skip
