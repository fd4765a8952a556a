"""`batch history ID`: all that happened to one request, and nothing of the others."""

from pathlib import Path

import pytest

from tests.batch.scene import begin, drop, fail, make, opened, promote, receive, request, roll_back, start
from unlearn_cli.batch.attempt_text import describe_attempt
from unlearn_cli.batch.subcommands import history
from unlearn_cli.errors import UserError


def test_a_request_is_followed_through_failure_rollback_and_success(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("A"))
    drop(where, "b.yaml", request("B"))
    with opened(where) as (ledger, key):
        begin(where, ledger)
        receive(where, ledger, key)
        fail(ledger, ["A", "B"])
        promote(where, ledger, ["B"], digests=("b",))
        promote(where, ledger, ["A"])
        roll_back(where, ledger)
        promote(where, ledger, ["A"])
        found = history.build_history(ledger.events(), "A")
    assert found["state"] == "done"
    lines = [line.partition("Z  ")[2] for line in history.format_text(found).splitlines()[1:]]
    assert lines == [
        "received in a.yaml; due 2026-12-20T09:30:00Z",
        "R0001 began; requests: 2, records: 2, unknown: 0, forgotten before: 0",
        "R0001 failed: forget.accuracy <= 0.1 does not hold; pending again",
        "R0003 began; requests: 1, records: 2, unknown: 0, forgotten before: 0",
        "R0003, attempt 1 with bad_teacher: passed",
        "R0003 passed; v0002 is to become current",
        "v0002 of R0003 is current; records forgotten: 2",
        "done by R0003; records: 2, unknown: 0, forgotten before: 0",
        "R0003 rolled back, from v0002 to v0001; pending again",
        "R0004 began; requests: 1, records: 2, unknown: 0, forgotten before: 0",
        "R0004, attempt 1 with bad_teacher: passed",
        "R0004 passed; v0003 is to become current",
        "v0003 of R0004 is current; records forgotten: 2",
        "done by R0004; records: 2, unknown: 0, forgotten before: 0",
    ]


def test_a_method_that_failed_is_told_with_its_conditions(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("A"))
    with opened(where) as (ledger, key):
        begin(where, ledger)
        receive(where, ledger, key)
        run = start(ledger, ["A"])
        ledger.append(
            "attempt", run=run, method="unsir", number=1, passed=False, failed=["a < 1", "b < 2"], subject="t",
            unlearn_report="u", judge_report=None, attack_report=None,
        )  # fmt: skip
        told = history.format_text(history.build_history(ledger.events(), "A"))
    assert told.endswith("R0001, attempt 1 with unsir: failed: a < 1; b < 2")


def test_a_request_of_which_nothing_was_left_is_followed_through_a_rollback(tmp_path: Path) -> None:
    where = make(tmp_path)
    for name in "AB":
        drop(where, f"{name}.yaml", request(name))
    with opened(where) as (ledger, key):
        begin(where, ledger)
        receive(where, ledger, key)
        promote(where, ledger, ["A"])
        ledger.append("done", request="B", records=0, unknown=0, already=2, purged=0)
        back = {"from": "v0001", "to": "v0000", "requests": ["A", "B"]}
        ledger.append("rolled_back", run="R0001", **back)
        found = history.build_history(ledger.events(), "B")
    assert found["state"] == "pending"
    assert [one["text"] for one in found["events"]][1:] == [
        "done without a run, nothing of it was left; records: 0, unknown: 0, forgotten before: 2",
        "R0001 rolled back, from v0001 to v0000; pending again",
    ]


def test_a_reason_with_braces_is_told_as_it_is(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("A"))
    with opened(where) as (ledger, key):
        receive(where, ledger, key)
        ledger.append("set_aside", request="A", reason="{run.__class__} {0}", file="a.yaml")
        found = history.build_history(ledger.events(), "A")
    assert history.format_text(found).endswith("set aside (a.yaml): {run.__class__} {0}")
    assert found["state"] == "set_aside"


def test_what_never_became_a_request_has_a_history_when_its_id_could_be_read(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("A", "[]"))
    with opened(where) as (ledger, key):
        receive(where, ledger, key)
        assert "names no records" in history.format_text(history.build_history(ledger.events(), "A"))
        with pytest.raises(UserError, match="B: the ledger has no such request"):
            history.build_history(ledger.events(), "B")


@pytest.mark.parametrize(
    ("verdict", "policy", "text"),
    [
        (None, None, "passed"), ("passed", None, "passed"),
        ("passed_screen", None, "passed; the attack's verdict is passed_screen"),
        ("inconclusive", "attack.inconclusive: pass",
         "passed; the attack's verdict is inconclusive, accepted by attack.inconclusive: pass"),
    ],
)  # fmt: skip
def test_an_attempt_is_told_with_its_verdict(verdict: str | None, policy: str | None, text: str) -> None:
    assert describe_attempt({"passed": True, "failed": [], "verdict": verdict, "policy": policy}) == text
