"""What somebody, or a file system, has done to a finished batch: refused in one line, and nothing crashes."""

import sqlite3
from pathlib import Path

import pytest

from tests.batch.scene import rewrite
from tests.batch.test_verify import three_versions, verify
from unlearn_cli.batch.cleanup import remove_paths
from unlearn_cli.batch.ledger.store import open_ledger
from unlearn_cli.batch.ledger_check import check_ledger
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.errors import IntegrityError


def change_tables(where: DeletionSettings, statement: str) -> None:
    with sqlite3.connect(where.path("ledger")) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement", ["DROP TABLE event", "ALTER TABLE event RENAME COLUMN body TO text", "DROP TABLE key_check"]
)
def test_a_ledger_without_one_of_its_tables_is_refused(tmp_path: Path, statement: str) -> None:
    where = three_versions(tmp_path)
    change_tables(where, statement)
    with pytest.raises(IntegrityError):
        verify(where)
    with pytest.raises(IntegrityError), open_ledger(where.path("ledger"), create_missing=False) as ledger:
        ledger.events()


def test_a_ledger_without_its_last_events_is_found_by_a_request_without_an_end(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    rewrite(where, "DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)")
    expected = "R0004: has ended, but no event has the outcome of its request C: events are gone"
    assert verify(where) == [expected]
    with open_ledger(where.path("ledger")) as ledger, pytest.raises(IntegrityError, match=expected):
        check_ledger(ledger)


def test_a_ledger_that_is_gone_beside_runs_is_no_folder_before_its_first_run(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    where.path("ledger").unlink()
    with pytest.raises(IntegrityError, match=r"is gone, but runs holds R0002"):
        verify(where)


@pytest.mark.parametrize("name", ["model.safetensors", "report.json"])
def test_a_file_of_a_version_that_became_a_link_to_the_same_bytes_is_found(tmp_path: Path, name: str) -> None:
    where = three_versions(tmp_path)
    path = where.path("models") / "v0003" / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert verify(where) == [f"models/v0003/{name}: is a link; restore the file itself"]


def test_a_link_among_what_a_killed_run_left_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "file").touch()
    (tmp_path / "run").mkdir()
    link = tmp_path / "run" / "attempt-1.partial"
    link.symlink_to(tmp_path / "own")
    remove_paths(tmp_path / "run", [link])
    assert not link.is_symlink()
    assert (tmp_path / "own" / "file").exists()
