"""The state: what follows from the events, whatever happened in between."""

from pathlib import Path
from typing import Any

import pytest

from tests.batch.scene import begin, drop, fail, make, opened, promote, receive, request, roll_back, start, started
from unlearn_cli.batch.ledger.ledger_state import LedgerState, fold
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.errors import IntegrityError


def two_pending(folder: Path) -> DeletionSettings:
    where = make(folder)
    drop(where, "a.yaml", request("A"))
    drop(where, "b.yaml", request("B", received="2026-11-19T00:00:00Z"))
    with opened(where) as (ledger, key):
        begin(where, ledger)
        receive(where, ledger, key)
    return where


def states(state: LedgerState) -> dict[str, str]:
    return {request.id: request.state for request in state.requests.values()}


def test_an_empty_ledger_has_nothing() -> None:
    state = fold([])
    assert (state.current, state.unfinished, state.next_run, state.last) == (None, None, "R0001", None)


def test_a_run_that_passes_ends_its_requests_and_moves_the_current_version(tmp_path: Path) -> None:
    where = two_pending(tmp_path)
    with opened(where) as (ledger, _):
        promote(where, ledger, ["A"])
        state = fold(ledger.events())
    assert states(state) == {"A": "done", "B": "pending"}
    assert (state.current, state.unfinished, state.next_run, state.next_version) == ("v0001", None, "R0002", "v0002")
    assert [run.id for run in state.lineage] == ["R0001"]
    assert (state.requests["A"].run, state.requests["A"].counts["records"]) == ("R0001", 2)
    assert state.runs["R0001"].forgotten == 2


def test_a_run_that_fails_leaves_its_requests_pending_with_one_failed_run_more(tmp_path: Path) -> None:
    where = two_pending(tmp_path)
    with opened(where) as (ledger, _):
        fail(ledger, ["A", "B"])
        fail(ledger, ["A"])
        state = fold(ledger.events())
    assert states(state) == {"A": "pending", "B": "pending"}
    assert {request.id: request.attempts for request in state.requests.values()} == {"A": 2, "B": 1}
    assert (state.current, state.unfinished, state.next_version) == ("v0000", None, "v0001")
    assert state.requests["A"].reason == "forget.accuracy <= 0.1 does not hold"


def test_a_run_that_was_killed_is_unfinished_and_its_requests_are_running(tmp_path: Path) -> None:
    where = two_pending(tmp_path)
    with opened(where) as (ledger, _):
        start(ledger, ["A"])
        state = fold(ledger.events())
    assert states(state) == {"A": "running", "B": "pending"}
    assert (state.unfinished, state.current) == ("R0001", "v0000")


def test_while_promoting_the_old_version_is_current_by_the_ledger(tmp_path: Path) -> None:
    where = two_pending(tmp_path)
    with opened(where) as (ledger, _):
        run = start(ledger, ["A"])
        after = {"tensor_digest": "t", "file_sha256": "f"}
        ledger.append("promoting", run=run, version="v0001", after=after, evidence={"statement.json": "s"}, number=1)
        state = fold(ledger.events())
    assert (state.current, state.unfinished, state.runs[run].state) == ("v0000", "R0001", "promoting")
    assert (state.runs[run].version, state.runs[run].after) == ("v0001", after)
    assert state.next_version == "v0002"


def test_a_rollback_makes_requests_pending_and_its_version_is_never_used_again(tmp_path: Path) -> None:
    where = two_pending(tmp_path)
    with opened(where) as (ledger, _):
        promote(where, ledger, ["A"], digests=("a",))
        promote(where, ledger, ["B"], digests=("b",))
        roll_back(where, ledger)
        state = fold(ledger.events())
        assert states(state) == {"A": "done", "B": "pending"}
        assert (state.current, state.next_version, state.next_run) == ("v0001", "v0003", "R0003")
        assert [run.id for run in state.lineage] == ["R0001"]
        promote(where, ledger, ["B"], digests=("b",))
        state = fold(ledger.events())
    assert (state.current, states(state)["B"]) == ("v0003", "done")
    assert state.runs["R0003"].before["version"] == "v0001"


def test_the_request_due_first_comes_first(tmp_path: Path) -> None:
    where = two_pending(tmp_path)
    with opened(where) as (ledger, _):
        assert [request.id for request in fold(ledger.events()).requests_in("pending")] == ["B", "A"]


def test_a_failure_that_was_not_the_requests_is_not_counted(tmp_path: Path) -> None:
    where = two_pending(tmp_path)
    with opened(where) as (ledger, _):
        run = start(ledger, ["A"])
        ledger.append("run_failed", run=run, reason="the source cannot be read", counted=False)
        state = fold(ledger.events())
    assert (state.requests["A"].state, state.requests["A"].attempts) == ("pending", 0)


def test_folding_in_two_parts_is_folding_at_once(tmp_path: Path) -> None:
    where = two_pending(tmp_path)
    with opened(where) as (ledger, _):
        promote(where, ledger, ["A"])
        events = ledger.events()
    for cut in range(len(events)):
        assert fold(events[cut:], fold(events[:cut])) == fold(events)


def test_events_that_cannot_follow_are_an_integrity_error(tmp_path: Path) -> None:
    where = two_pending(tmp_path)
    after = {"tensor_digest": "t", "file_sha256": "f"}
    promoting = {"version": "v0001", "after": after, "evidence": {}, "number": 1}
    unfit: list[tuple[str, dict[str, str], dict[str, Any]]] = [
        ("opened", {}, {"version": "v0000", "checkpoint": after}),
        ("repeated", {"request": "Z"}, {"digest": "d", "file": "f", "arrival": "a"}),
        ("set_aside", {"request": "Z"}, {"reason": "r", "file": "f"}),
        ("run_started", {"run": "R0007"}, started(["A"], {**after, "version": "v0000"})),
        ("run_started", {"run": "R0001"}, started(["Z"], {**after, "version": "v0000"})),
        ("step_ended", {"run": "R0001"}, {"number": 1, "folder": "attempt-1", "files": {}}),
        ("promoting", {"run": "R0001"}, promoting),
        ("promoted", {"run": "R0001"}, {"version": "v0001", "forgotten": 0, "forgotten_digest": "x"}),
        ("run_failed", {"run": "R0001"}, {"reason": "r", "counted": True}),
        ("done", {"request": "Z"}, {"records": 0, "already": 0, "unknown": 0, "purged": 0}),
        ("rolled_back", {"run": "R0001"}, {"from": "v0001", "to": "v0000", "requests": []}),
        ("published", {}, {"version": "v0009"}),
    ]
    with opened(where) as (ledger, _):
        for kind, names, body in unfit:
            with pytest.raises(ZeroDivisionError), ledger.transaction():
                ledger.append(kind, **names, **body)
                with pytest.raises(IntegrityError, match=f"{kind}\\) cannot follow those before it"):
                    fold(ledger.events())
                raise ZeroDivisionError
        assert fold(ledger.events()).current == "v0000"
