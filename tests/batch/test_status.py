"""`batch status`: what waits, what is late, and that a batch which never runs is noticed."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.batch.scene import MORNING, begin, clock, drop, fail, make, opened, promote, receive, request, start
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.batch.subcommands import status
from unlearn_cli.errors import IntegrityError


def overview(where: DeletionSettings, days: float = 0) -> dict[str, Any]:
    return status.build_overview(where, now=lambda: MORNING + timedelta(days=days))


def test_before_the_first_run_what_lies_in_the_inbox_counts_and_nothing_is_written(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("A"))
    drop(where, "b.yaml", "- x")
    before = sorted(tmp_path.rglob("*"))
    found = overview(where)
    assert (found["pending"], found["not_read"], found["next_due"]) == (1, 1, "2026-12-20T09:30:00.000000Z")
    assert sorted(tmp_path.rglob("*")) == before


def test_everything_is_counted_where_it_stands(tmp_path: Path) -> None:
    where = make(tmp_path)
    for name in "ABCDE":
        drop(where, f"{name}.yaml", request(name))
    drop(where, "bad.yaml", "- x")
    with opened(where) as (ledger, key):
        begin(where, ledger)
        receive(where, ledger, key)
        promote(where, ledger, ["A"])
        fail(ledger, ["B"])
        ledger.append("set_aside", request="C", reason="unknown ids", file="C.yaml")
        receive(where, ledger, key)
        start(ledger, ["D"])
    drop(where, "F.yaml", request("F", received="2026-11-01T00:00:00Z"))
    (where.path("requests") / "E.yaml").unlink()
    found = overview(where)
    counted = {name: found[name] for name in ("pending", "running", "not_read", "done", "set_aside", "refused")}
    assert counted == {"pending": 4, "running": 1, "not_read": 1, "done": 1, "set_aside": 1, "refused": 1}
    assert (found["current"], found["unfinished"], found["without_file"]) == ("v0001", "R0003", ["E"])
    assert (found["oldest"], found["next_due"]) == ("2026-11-01T00:00:00.000000Z", "2026-12-01T00:00:00.000000Z")
    assert [one["request"] for one in found["requests"]][:2] == ["F", "B"]
    assert json.loads(json.dumps(found)) == found


def test_a_request_is_overdue_after_its_time_and_not_when_it_is_done(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("A"))
    drop(where, "b.yaml", request("B"))
    with opened(where) as (ledger, key):
        begin(where, ledger)
        receive(where, ledger, key)
        promote(where, ledger, ["A"])
    assert overview(where, days=30)["overdue"] == 0
    assert overview(where, days=30.1)["overdue"] == 1


@pytest.mark.parametrize(("days", "near"), [(22.9, []), (23, ["A", "B"]), (60, ["A", "B"])])
def test_what_is_due_within_a_time_is_named_whether_a_run_has_read_it_or_not(
    tmp_path: Path, days: float, near: list[str]
) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("A"))
    with opened(where) as (ledger, key):
        receive(where, ledger, key)
    drop(where, "b.yaml", request("B"))
    assert status.list_due(overview(where, days), timedelta(days=7)) == near


def test_a_request_that_was_set_aside_and_put_back_waits_again(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("A", "[typo]"))
    with opened(where) as (ledger, key):
        receive(where, ledger, key)
        ledger.append("set_aside", request="A", reason="unknown ids", file="a.yaml")
        receive(where, ledger, key)
    assert overview(where)["pending"] == 0
    drop(where, "b.yaml", request("A", "[right]"))
    assert (overview(where)["pending"], overview(where)["not_read"]) == (1, 1)


def test_the_table_lists_what_waits_and_is_cut_when_it_is_long(tmp_path: Path) -> None:
    where = make(tmp_path)
    for number in range(22):
        drop(where, f"{number}.yaml", request(f"R-{number:02}"))
    with opened(where, now=clock(step=0)) as (ledger, key):
        receive(where, ledger, key)
    told = status.format_text(overview(where, days=40)).splitlines()
    assert "pending" in told[2]
    assert told[2].endswith("22")
    assert sum(line.startswith("R-") for line in told) == 20
    assert all("overdue" in line for line in told if line.startswith("R-"))
    assert told[-1] == "... and 2 more, which --json lists"


def test_a_broken_ledger_is_no_status(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("A"))
    with opened(where) as (ledger, key):
        receive(where, ledger, key)
    data = where.path("ledger").read_bytes()
    where.path("ledger").write_bytes(data.replace(b"a.yaml", b"b.yaml"))
    with pytest.raises(IntegrityError, match="event 1 was changed"):
        overview(where)
