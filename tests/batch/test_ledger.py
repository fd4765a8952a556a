"""The ledger: append-only, chained, whole after every crash, and clear about what is wrong with it."""

import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.batch.scene import MORNING, clock
from unlearn_cli.batch.ledger import keyed
from unlearn_cli.batch.ledger import store as module
from unlearn_cli.batch.ledger.store import open_ledger
from unlearn_cli.errors import Busy, IntegrityError, ResourceError, UserError

WRITER = """
import sys
from pathlib import Path
from unlearn_cli.batch.ledger.store import open_ledger
with open_ledger(Path(sys.argv[1])) as ledger:
    for number in range(25):
        with ledger.transaction():
            ledger.append("vacuumed", removed=[f"{sys.argv[2]}-{number}-a"])
            ledger.append("vacuumed", removed=[f"{sys.argv[2]}-{number}-b"])
"""


def three_events(path: Path) -> Path:
    with open_ledger(path, now=clock()) as ledger:
        for name in ("a", "b", "c"):
            ledger.append("vacuumed", removed=[name])
    return path


def change(path: Path, statement: str) -> None:
    """Do what the triggers forbid, and put them back as somebody who knows them would."""
    with sqlite3.connect(path) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)
    connection.close()


def test_events_come_back_as_they_were_appended(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite", now=clock()) as ledger:
        ledger.append("opened", version="v0000", checkpoint={"file_sha256": "0", "tensor_digest": "é\n\x00'"})
        ledger.append("done", request="DSR-1", run="R0001", records=3, already=0, unknown=0)
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        first, second = ledger.events()
    assert first.body == {"version": "v0000", "checkpoint": {"file_sha256": "0", "tensor_digest": "é\n\x00'"}}
    assert (first.time, first.request, first.run) == ("2026-11-20T09:30:00.000000Z", None, None)
    assert (second.seq, second.kind, second.request, second.run) == (2, "done", "DSR-1", "R0001")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET body = '{}' WHERE seq = 2", "DELETE FROM event WHERE seq = 3", "DELETE FROM event",
        "INSERT OR REPLACE INTO event SELECT 2, time, kind, request, run, '{}', previous, 'x' FROM event WHERE seq = 2",
        "INSERT INTO event SELECT 9, time, kind, request, run, body, hash, 'x' FROM event WHERE seq = 3",
        "INSERT INTO event SELECT 4, time, kind, request, run, body, previous, 'x' FROM event WHERE seq = 3",
        "INSERT OR REPLACE INTO event SELECT 4, time, kind, request, run, body, hash, hash FROM event WHERE seq = 3",
        "UPDATE forgotten SET digest = 'x'", "DELETE FROM forgotten",
        "INSERT OR REPLACE INTO forgotten SELECT * FROM forgotten",
    ],
)  # fmt: skip
def test_the_tables_are_append_only(tmp_path: Path, statement: str) -> None:
    path = three_events(tmp_path / "ledger.sqlite")
    with open_ledger(path) as ledger:
        ledger.add_forgotten("R0001", ["a"])
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()


def test_the_file_is_synchronised_and_has_no_write_ahead_log(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        found = [ledger._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert found == ["delete", 2]


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with open_ledger(three_events(tmp_path / "ledger.sqlite")) as ledger:
        with pytest.raises(ZeroDivisionError), ledger.transaction():
            ledger.append("vacuumed", removed=["d"])
            ledger.add_forgotten("R0001", ["a"])
            raise ZeroDivisionError
        assert len(ledger.events()) == 3
        assert not list(ledger.forgotten_digests())
        ledger.append("vacuumed", removed=["e"])
        assert [event.body["removed"] for event in ledger.events()[3:]] == [["e"]]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ('UPDATE event SET body = \'{"removed":["z"]}\' WHERE seq = 2', "event 2 was changed"),
        ("UPDATE event SET time = '2027-01-01T00:00:00.000000Z' WHERE seq = 3", "event 3 was changed"),
        ("UPDATE event SET request = 'DSR-1' WHERE seq = 1", "event 1 was changed"),
        ("UPDATE event SET body = x'ff00' WHERE seq = 2", "event 2 was changed"),
        ("UPDATE event SET run = x'ff' WHERE seq = 2", "event 2 was changed"),
        ("UPDATE event SET previous = 'x' WHERE seq = 1", "event 1 was changed"),
        ("DELETE FROM event WHERE seq = 2", "event 2 is gone: the next one is 3"),
        ("DELETE FROM event WHERE seq = 1", "event 1 is gone: the next one is 2"),
    ],
)
def test_a_changed_row_is_found(tmp_path: Path, statement: str, told: str) -> None:
    path = three_events(tmp_path / "ledger.sqlite")
    change(path, statement)
    with open_ledger(path) as ledger:
        assert not ledger.find_damage()
        assert [line.split(":")[0] for line in ledger.find_chain_faults(ledger.rows())] == [told.split(":")[0]]
        with pytest.raises(IntegrityError, match=told):
            ledger.events()


def test_bytes_changed_in_the_file_are_found(tmp_path: Path) -> None:
    path = three_events(tmp_path / "ledger.sqlite")
    data = path.read_bytes()
    assert data.count(b'{"removed":["b"]}') == 1
    path.write_bytes(data.replace(b'{"removed":["b"]}', b'{"removed":["B"]}'))
    with open_ledger(path) as ledger, pytest.raises(IntegrityError, match="event 2 was changed"):
        ledger.events()


def test_a_trigger_that_was_taken_away_is_found(tmp_path: Path) -> None:
    path = three_events(tmp_path / "ledger.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER event_no_delete")
    connection.close()
    with open_ledger(path) as ledger:
        assert ledger.find_damage() == ["the ledger's tables or triggers were changed: it was not append-only"]


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    for name, write in (("text", lambda path: path.write_text("no database " * 100)), ("other", other_database)):
        path = tmp_path / name
        write(path)
        keyed.read_or_create_key(path.with_suffix(".key"), tmp_path / "no ledger")
        before = path.read_bytes()
        with pytest.raises(IntegrityError, match=r"damaged|not a ledger of unlearn-cli"), open_ledger(path):
            pass
        assert path.read_bytes() == before


def other_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE addresses(name)")
    connection.close()


def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    path = three_events(tmp_path / "ledger.sqlite")
    path.write_bytes(path.read_bytes()[:-4096])
    with pytest.raises(IntegrityError, match="damaged"), open_ledger(path) as ledger:
        ledger.append("vacuumed", removed=["d"])


def test_a_ledger_is_made_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with pytest.raises(UserError, match="there is no ledger yet"), open_ledger(path, create_missing=False):
        pass
    assert not path.exists()
    with pytest.raises(UserError, match="cannot be written"), open_ledger(tmp_path / "none" / "ledger.sqlite"):
        pass


def test_a_ledger_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = three_events(tmp_path / "ledger.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 3")
    connection.close()
    with pytest.raises(UserError, match="of another version"), open_ledger(path):
        pass


def test_a_locked_ledger_is_told_with_the_code_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = three_events(tmp_path / "ledger.sqlite")
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.01)
    other = sqlite3.connect(path, isolation_level=None)
    with open_ledger(path) as ledger:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Busy, match="another process is writing") as caught:
            ledger.append("vacuumed", removed=["d"])
        assert caught.value.exit_code == 75
        other.execute("ROLLBACK")
        ledger.append("vacuumed", removed=["d"])
        assert len(ledger.events()) == 4
    other.close()


def test_a_full_disk_is_told_and_leaves_the_ledger_whole(tmp_path: Path) -> None:
    with open_ledger(three_events(tmp_path / "ledger.sqlite")) as ledger:
        pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(ResourceError, match="the disk is full"):
            ledger.append("vacuumed", removed=["x" * 10**5])
        assert len(ledger.events()) == 3


def test_a_ledger_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with open_ledger(three_events(tmp_path / "ledger.sqlite")) as ledger:
        ledger._connection.execute("PRAGMA query_only = ON")  # what a read-only file system answers
        with pytest.raises(UserError, match="the ledger cannot be written"):
            ledger.append("vacuumed", removed=["d"])
        assert len(ledger.events()) == 3


def test_a_clock_set_back_a_little_is_waited_for_and_a_lot_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    times = iter([0, -59, -61, 1])
    with open_ledger(path, now=lambda: MORNING + timedelta(seconds=next(times))) as ledger:
        first, second = (ledger.append("vacuumed", removed=[name]) for name in "ab")
        assert first.time == second.time
        with pytest.raises(UserError, match="correct the clock"):
            ledger.append("vacuumed", removed=["c"])
        assert ledger.append("vacuumed", removed=["d"]).time > first.time
        assert len(ledger.events()) == 3


def test_two_processes_that_write_at_once_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, name]) for name in ("one", "two")]
    assert [writer.wait() for writer in writers] == [0, 0]
    with open_ledger(path) as ledger:
        told = [event.body["removed"][0] for event in ledger.events()]
    assert len(told) == 100
    for name in ("one", "two"):
        assert [one for one in told if one.startswith(name)] == [
            f"{name}-{k}-{part}" for k in range(25) for part in "ab"
        ]
    assert all(first[:-1] == second[:-1] for first, second in zip(told[::2], told[1::2], strict=True))


def test_what_is_forgotten_is_known_until_its_run_is_rolled_back(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.add_forgotten("R0001", ["b", "a", "b"])[0] == 2
        ledger.add_forgotten("R0002", ["c", "a"])
        assert list(ledger.forgotten_digests()) == ["a", "b", "c"]
        ledger.append("rolled_back", run="R0001", **{"from": "v0001", "to": "v0000", "requests": []})
        assert list(ledger.forgotten_digests()) == ["a", "c"]
        assert list(ledger.forgotten_digests("R0001")) == ["a", "b"]
        ledger.add_forgotten("R0003", ["b"])  # the same record again: the next run forgets it, too
        assert ledger.export_forgotten(tmp_path / "forgotten.csv") == 3
        assert ledger.count_forgotten() == {"R0001": 2, "R0002": 2, "R0003": 1}
    assert (tmp_path / "forgotten.csv").read_text() == "digest\na\nb\nc\n"


def test_a_process_that_dies_in_a_transaction_leaves_nothing_of_it(tmp_path: Path) -> None:
    path = three_events(tmp_path / "ledger.sqlite")
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom unlearn_cli.batch.ledger.store import open_ledger\n"
        "with open_ledger(Path(sys.argv[1])) as ledger, ledger.transaction():\n"
        "    ledger.append('vacuumed', removed=['d'])\n    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, path], check=False).returncode == -9
    with open_ledger(path) as ledger:
        assert len(ledger.events()) == 3
        ledger.append("vacuumed", removed=["e"])
