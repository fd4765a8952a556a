"""The inbox: complete files are read once, told to the ledger once, and moved when all their requests have ended."""

import json
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.batch.scene import DELETION, MORNING, begin, clock, drop, fail, make, opened, promote, receive, request
from tests.batch.scene import roll_back as rolled_back
from unlearn_cli.batch.ledger.ledger_state import LedgerState, fold
from unlearn_cli.batch.requests import filing, inbox, request_files
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.errors import UserError

KEY = bytes(range(32))
TICK = 0.02  # seconds after which a file's times are surely others


def there(where: DeletionSettings) -> list[str]:
    folder = where.path("requests")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def kinds(where: DeletionSettings) -> list[tuple[str, str | None]]:
    with opened(where) as (ledger, _):
        return [(event.kind, event.request) for event in ledger.events()]


def test_half_written_files_and_other_files_are_left_alone(tmp_path: Path) -> None:
    where = make(tmp_path)
    for name in (".a.yaml", "~a.yaml", "a.yaml.tmp", "a.csv.part", "notes.txt", "a.json", "README"):
        (where.path("requests") / name).write_text(request("DSR-1"))
    (where.path("requests") / "folder.yaml").mkdir()
    drop(where, "b.yaml", request("DSR-2"))
    assert [file.name for file in inbox.read(where.path("requests"), KEY)] == ["b.yaml"]


def test_files_are_read_by_name_and_of_too_many_the_youngest_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = make(tmp_path)
    monkeypatch.setattr(inbox, "MAX_FILES", 2)
    for name in ("c", "b", "a"):
        drop(where, f"{name}.yaml", request(name))
        time.sleep(TICK)
    assert [file.name for file in inbox.read(where.path("requests"), KEY)] == ["b.yaml", "c.yaml"]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder; create it"):
        inbox.read(tmp_path / "requests", KEY)


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text(request("DSR-2"))])
def test_a_file_that_vanishes_or_changes_while_it_is_read_waits_for_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    where = make(tmp_path)
    path = drop(where, "a.yaml", request("DSR-1"))

    def read_slowly(path: Path, key: bytes) -> list[object]:
        found = request_files.read_request_file(path, key)
        time.sleep(TICK)
        change(path)
        return list(found)

    monkeypatch.setattr(inbox, "read_request_file", read_slowly)
    assert inbox.read(where.path("requests"), KEY) == []
    monkeypatch.undo()
    assert len(inbox.read(where.path("requests"), KEY)) == path.exists()


def test_a_request_is_received_once_however_often_a_run_looks(tmp_path: Path) -> None:
    where, state = make(tmp_path), LedgerState()
    drop(where, "a.yaml", request("DSR-1"))
    with opened(where) as (ledger, key):
        for _ in range(3):
            state, told = receive(where, ledger, key)
            assert told == []
        (event,) = ledger.events()
    assert (event.kind, event.request, event.body["file"]) == ("received", "DSR-1", "a.yaml")
    assert event.body["due"] == "2026-12-20T09:30:00.000000Z"
    assert state.requests["DSR-1"].state == "pending"
    assert there(where) == ["a.yaml"]


def test_the_ledger_holds_no_record_ids_unless_it_is_to(tmp_path: Path) -> None:
    for keep in (False, True):
        (tmp_path / str(keep)).mkdir()
        where = make(tmp_path / str(keep), f"{DELETION}keep_ids: {str(keep).lower()}\n")
        drop(where, "a.yaml", request("DSR-1", "[rec-4711]"))
        with opened(where) as (ledger, key):
            receive(where, ledger, key)
        assert (b"rec-4711" in where.path("ledger").read_bytes()) == keep


def test_a_due_time_of_its_own_counts(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("DSR-1") + "due: 2026-11-25T00:00:00+01:00\n")
    with opened(where) as (ledger, key):
        state, _ = receive(where, ledger, key)
    assert state.requests["DSR-1"].due.isoformat() == "2026-11-24T23:00:00+00:00"


def test_the_same_request_again_is_recognised_once_a_file(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("DSR-1", "[a, b]"))
    with opened(where) as (ledger, key):
        receive(where, ledger, key)
        drop(where, "b.yaml", request("DSR-1", "[b, a]"))
        receive(where, ledger, key)
        state, told = receive(where, ledger, key)
    assert kinds(where) == [("received", "DSR-1"), ("repeated", "DSR-1")]
    assert told == []
    assert [one.id for one in state.requests_in("pending")] == ["DSR-1"]


def test_the_same_id_with_other_content_is_set_aside_and_the_first_goes_on(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("DSR-1", "[a]"))
    drop(where, "b.yaml", request("DSR-1", "[b]"))
    with opened(where) as (ledger, key):
        state, told = receive(where, ledger, key)
        assert receive(where, ledger, key)[1] == []
    assert told == ["DSR-1: set aside: another request has this id and other content; give this request its own id"]
    assert kinds(where) == [("received", "DSR-1"), ("set_aside", "DSR-1")]
    assert (state.requests["DSR-1"].state, state.requests["DSR-1"].file) == ("pending", "a.yaml")
    assert there(where) == ["a.yaml", "set_aside/b.yaml", "set_aside/b.yaml.reason.txt"]


def test_equal_lines_of_a_file_are_one_request_and_other_ones_a_conflict(tmp_path: Path) -> None:
    where = make(tmp_path)
    lines = [{"request": "A", "received": "2026-11-20T09:30:00Z", "ids": ids} for ids in (["a"], ["a"], ["b"])]
    drop(where, "a.jsonl", "\n".join(map(json.dumps, lines)))
    with opened(where) as (ledger, key):
        _, told = receive(where, ledger, key)
    assert len(told) == 1
    assert kinds(where) == [("received", "A"), ("set_aside", "A")]


def test_a_bad_request_stops_no_other_and_is_told_once(tmp_path: Path) -> None:
    where = make(tmp_path)
    good = '{"request": "A", "received": "2026-11-20T09:30:00Z", "ids": ["a"]}'
    drop(where, "a.jsonl", f"{good}\n{{broken")
    drop(where, "b.yaml", "request: [")
    drop(where, "c.yaml", request("C"))
    with opened(where) as (ledger, key):
        state, told = receive(where, ledger, key)
        assert [line.split(":")[0] for line in told] == ["a.jsonl", "b.yaml"]
        assert receive(where, ledger, key)[1] == []
    assert [one.id for one in state.requests_in("pending")] == ["A", "C"]
    assert there(where) == ["a.jsonl", "c.yaml", "set_aside/b.yaml", "set_aside/b.yaml.reason.txt"]


def test_a_request_from_the_future_is_set_aside(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("A", received="2062-11-20T09:30:00Z"))
    drop(where, "b.yaml", request("B", received="2026-11-20T18:30:00+01:00"))  # somebody's clock, or zone, is ahead
    with opened(where) as (ledger, key):
        state, told = receive(where, ledger, key)
    assert told == ["A: set aside: its 'received' is in the future; correct it"]
    assert list(state.requests) == ["B"]


def test_a_link_out_of_the_folder_is_moved_and_not_followed(tmp_path: Path) -> None:
    where = make(tmp_path)
    secret = tmp_path / "secret.yaml"
    secret.write_text(request("SECRET"))
    (where.path("requests") / "a.yaml").symlink_to(secret)
    (where.path("requests") / "b.yaml").symlink_to(tmp_path / "nothing")
    with opened(where) as (ledger, key):
        state, told = receive(where, ledger, key)
    assert told == [
        f"{name}: set aside: {name}: is a link; put the file itself into the inbox" for name in ("a.yaml", "b.yaml")
    ]
    assert not state.requests
    assert (where.path("requests") / "set_aside" / "a.yaml").is_symlink()
    assert secret.read_text() == request("SECRET")


def test_a_file_moves_when_its_last_request_has_ended(tmp_path: Path) -> None:
    where = make(tmp_path)
    lines = [{"request": name, "received": "2026-11-20T09:30:00Z", "ids": [name]} for name in "ABC"]
    drop(where, "a.jsonl", "\n".join(map(json.dumps, lines)))
    drop(where, "d.yaml", request("D"))
    with opened(where) as (ledger, key):
        begin(where, ledger)
        receive(where, ledger, key)
        promote(where, ledger, ["A", "B", "D"])
        receive(where, ledger, key)
        assert there(where) == ["a.jsonl", "done/d.yaml"]
        ledger.append("set_aside", request="C", reason="the ids are unknown", file="a.jsonl")
        receive(where, ledger, key)
    assert there(where) == ["done/d.yaml", "set_aside/a.jsonl", "set_aside/a.jsonl.reason.txt"]
    reasons = (where.path("requests") / "set_aside" / "a.jsonl.reason.txt").read_text()
    assert reasons == "A: done\nB: done\nC: set aside: the ids are unknown\n"


def test_a_file_of_a_name_that_was_there_gets_a_number(tmp_path: Path) -> None:
    where = make(tmp_path)
    with opened(where) as (ledger, key):
        begin(where, ledger)
        for name in ("A", "B"):
            drop(where, "a.yaml", request(name))
            receive(where, ledger, key)
            promote(where, ledger, [name], digests=(name,))
            receive(where, ledger, key)
        for _ in range(2):
            drop(where, "bad.yaml", "- x")
            receive(where, ledger, key)
    aside = [f"set_aside/bad{number}.yaml{reason}" for number in (".2", "") for reason in ("", ".reason.txt")]
    assert there(where) == ["done/a.2.yaml", "done/a.yaml", *aside]


def test_a_long_name_is_moved_under_a_shorter_one(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "x" * 240 + ".yaml", "- x")
    with opened(where) as (ledger, key):
        receive(where, ledger, key)
    names = there(where)
    assert len(names) == 2
    assert all(name.startswith("set_aside/") and len(name) < 100 for name in names)


@pytest.mark.parametrize("step", ["output_file", "_rename", "fsync"])
def test_a_move_that_was_killed_is_ended_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", "- x")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with opened(where) as (ledger, key):
        monkeypatch.setattr(filing, step, die)
        with pytest.raises(KeyboardInterrupt):
            receive(where, ledger, key)
        monkeypatch.undo()
        receive(where, ledger, key)
    assert there(where) == ["set_aside/a.yaml", "set_aside/a.yaml.reason.txt"]
    assert kinds(where) == [("set_aside", None)]


def test_a_file_that_was_replaced_since_it_was_read_stays(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", "- x")
    with opened(where) as (ledger, key):
        files = inbox.read(where.path("requests"), key)
        inbox.register(ledger, files, where)
        drop(where, "a.yaml", request("A"))
        assert inbox.move_ended(where.path("requests"), files, fold(ledger.events())) == []
        (where.path("requests") / "a.yaml").unlink()
        assert inbox.move_ended(where.path("requests"), files, fold(ledger.events())) == []


def test_what_no_run_has_read_is_not_moved(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", "- x")
    files = inbox.read(where.path("requests"), KEY)
    assert inbox.move_ended(where.path("requests"), files, LedgerState()) == []


def test_a_request_that_was_set_aside_begins_anew_when_its_file_is_put_back(tmp_path: Path) -> None:
    where = make(tmp_path)
    folder = where.path("requests")
    path = drop(where, "a.yaml", request("A"))
    with opened(where) as (ledger, key):
        begin(where, ledger)
        receive(where, ledger, key)
        fail(ledger, ["A"])
        ledger.append("set_aside", request="A", reason="three runs failed", file="a.yaml")
        state, _ = receive(where, ledger, key)
        assert (state.requests["A"].state, there(where)[0]) == ("set_aside", "set_aside/a.yaml")
        time.sleep(TICK)
        (folder / "set_aside" / "a.yaml").rename(path)
        state, _ = receive(where, ledger, key)
        assert (state.requests["A"].state, state.requests["A"].attempts) == ("pending", 0)
        assert there(where)[0] == "a.yaml"


def test_a_request_that_was_set_aside_may_come_again_corrected(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("A", "[typo]"))
    with opened(where) as (ledger, key):
        receive(where, ledger, key)
        ledger.append("set_aside", request="A", reason="unknown ids", file="a.yaml")
        receive(where, ledger, key)
        drop(where, "b.yaml", request("A", "[right]"))
        state, told = receive(where, ledger, key)
        found, missing = inbox.find_pending(inbox.read(where.path("requests"), key), state)
    assert (told, missing) == ([], [])
    assert found["A"].ids == ["right"]


def test_pending_requests_come_by_due_time_and_those_without_their_file_are_named(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("LATE", received="2026-11-19T12:00:00Z"))
    drop(where, "b.yaml", request("EARLY", received="2026-11-01T12:00:00Z"))
    drop(where, "c.yaml", request("GONE"))
    with opened(where) as (ledger, key):
        receive(where, ledger, key)
        (where.path("requests") / "c.yaml").unlink()
        state, _ = receive(where, ledger, key)
        found, missing = inbox.find_pending(inbox.read(where.path("requests"), key), state)
    assert (list(found), missing) == (["EARLY", "LATE"], ["GONE"])


def test_a_file_under_a_pending_requests_id_with_other_content_is_not_taken_for_it(tmp_path: Path) -> None:
    where = make(tmp_path)
    path = drop(where, "a.yaml", request("A", "[a]"))
    with opened(where) as (ledger, key):
        state, _ = receive(where, ledger, key)
        path.write_text(request("A", "[b]"))
        assert inbox.find_pending(inbox.read(where.path("requests"), key), state) == ({}, ["A"])


def test_after_a_rollback_the_files_come_back(tmp_path: Path) -> None:
    where = make(tmp_path)
    folder = where.path("requests")
    drop(where, "a.yaml", request("A"))
    drop(where, "b.yaml", request("B"))
    drop(where, "mixed.jsonl", '{"request": "C", "received": "2026-11-20T09:30:00Z", "ids": ["c"]}\n{broken')
    with opened(where) as (ledger, key):
        begin(where, ledger)
        receive(where, ledger, key)
        promote(where, ledger, ["B"], digests=("b",))
        promote(where, ledger, ["A", "C"])
        receive(where, ledger, key)
        assert there(where)[0] == "done/a.yaml"
        rolled_back(where, ledger)
        assert inbox.restore(folder, key, ["A", "C", "GONE"]) == ["GONE"]
        assert there(where) == ["a.yaml", "done/b.yaml", "mixed.jsonl"]
        state, _ = receive(where, ledger, key)
        found, missing = inbox.find_pending(inbox.read(folder, key), state)
    assert (list(found), missing) == (["A", "C"], [])


def test_names_that_are_no_text_are_stored_and_moved(tmp_path: Path) -> None:
    where = make(tmp_path)
    path = os.fsencode(where.path("requests")) + b"/\xff.yaml"
    with open(path, "w") as file:
        file.write("- x\n")
    with opened(where) as (ledger, key):
        _, told = receive(where, ledger, key)
    assert told == ["\ufffd.yaml: set aside: \ufffd.yaml:1:1: expected a mapping with 'request' and 'received'"]
    assert not os.path.exists(path)


def test_a_transaction_that_fails_tells_the_ledger_of_no_file(tmp_path: Path) -> None:
    where = make(tmp_path)
    for name in "AB":
        drop(where, f"{name}.yaml", request(name))
    times = iter([MORNING, MORNING, MORNING, MORNING - timedelta(days=1), MORNING - timedelta(days=1)])
    with opened(where, now=lambda: next(times)) as (ledger, key):
        files = inbox.read(where.path("requests"), key)
        with pytest.raises(UserError, match="correct the clock"):
            inbox.register(ledger, files, where)
        assert ledger.events() == []


def test_thousands_of_requests_are_told_in_one_go(tmp_path: Path) -> None:
    where = make(tmp_path)
    lines = [{"request": f"R-{k}", "received": "2026-11-20T09:30:00Z", "ids": [k]} for k in range(2000)]
    drop(where, "a.jsonl", "\n".join(map(json.dumps, lines)))
    with opened(where, now=clock(step=0)) as (ledger, key):
        state, _ = receive(where, ledger, key)
    assert len(state.requests_in("pending")) == 2000
