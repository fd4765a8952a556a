"""The chain has a key: who lacks it can rewrite nothing unnoticed; a ledger of the first version gets it from a run."""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.batch.scene import chain_anew, rewrite, unmigrated
from tests.batch.test_verify import three_versions
from tests.forked import exit_code_of_fork
from unlearn_cli.batch.ledger import fault, keyed
from unlearn_cli.batch.ledger.chain import START, compute_head, derive_chain_key
from unlearn_cli.batch.ledger.ledger_state import fold
from unlearn_cli.batch.ledger.store import open_ledger
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.batch.subcommands import verify as module
from unlearn_cli.batch.subcommands.history import build_history
from unlearn_cli.batch.subcommands.status import build_overview
from unlearn_cli.errors import CliError, IntegrityError

PROMOTED = "UPDATE event SET body = replace(body, 'v0003', 'v0001') WHERE kind = 'promoted'"
REASON = "UPDATE event SET body = replace(body, '<= 0.1', '<= 0.2') WHERE kind = 'run_failed'"


def verify(where: DeletionSettings, head: str | None = None) -> list[str]:
    return module.verify(where, head).findings


def migrate(where: DeletionSettings) -> None:
    with open_ledger(where.path("ledger")) as ledger:
        ledger.migrate()
    keyed.write_chain_mark(where.key_file)


def versions(where: DeletionSettings) -> tuple[int, int]:
    """Return the version of the tables, and how many events there are."""
    with sqlite3.connect(where.path("ledger")) as connection:
        found = (
            connection.execute("PRAGMA user_version").fetchone()[0],
            connection.execute("SELECT count(*) FROM event").fetchone()[0],
        )
    connection.close()
    return found


def test_a_chain_that_was_recomputed_without_its_key_is_found(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    rewrite(where, REASON)
    chain_anew(where, None)
    assert "event 1 was changed" in verify(where)[0]
    chain_anew(where, derive_chain_key(bytes(32)))
    assert "event 1 was changed" in verify(where)[0]


def test_digests_of_what_requests_say_are_no_hashes_of_the_chain(tmp_path: Path) -> None:
    """Anybody may drop a file into the inbox whose text is an event: its keyed digest is told by the ledger."""
    where = three_versions(tmp_path)
    key = keyed.read_key(where.key_file)
    text = keyed.to_canonical_json([1, "time", "opened", None, None, "{}", START])
    assert keyed.digest(key, text) != compute_head(
        [(1, "time", "opened", None, None, "{}", START, "")], derive_chain_key(key)
    )
    assert keyed.digest(key, "chain") != derive_chain_key(key).hex()


def test_a_ledger_of_the_first_version_is_read_and_not_written(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    unmigrated(where)
    before = where.path("ledger").read_bytes(), where.key_file.read_bytes()
    assert verify(where) == []
    assert build_overview(where)["current"] == "v0003"
    with open_ledger(where.path("ledger"), create_missing=False) as ledger:
        assert build_history(ledger.events(), "A")["state"] == "done"
    rewrite(where, REASON)
    assert "was changed" in verify(where)[0]
    rewrite(where, REASON.replace("'<= 0.1', '<= 0.2'", "'<= 0.2', '<= 0.1'"))
    assert verify(where) == []
    assert where.key_file.read_bytes() == before[1]
    assert versions(where)[0] == 1


def test_a_migrated_ledger_has_both_heads_and_verifies_in_both_parts(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    unmigrated(where)
    with open_ledger(where.path("ledger")) as ledger:
        rows = ledger.rows()
        ledger.migrate()
        ledger.migrate()  # nothing is left to do
        event = ledger.events()[-1]
    assert (event.kind, event.body) == (
        "keyed", {"events": len(rows), "old_head": rows[-1][7],
                  "new_head": compute_head(rows, derive_chain_key(keyed.read_key(where.key_file)))},
    )  # fmt: skip
    keyed.write_chain_mark(where.key_file)
    with open_ledger(where.path("ledger")) as ledger:
        ledger.append("vacuumed", removed=["x"])
        assert fold(ledger.events()).current == "v0003"
    assert verify(where) == []


@pytest.mark.parametrize("change", [REASON, "UPDATE event SET body = replace(body, 'old_head', 'head')"])
def test_the_part_before_the_key_cannot_be_rewritten_without_it(tmp_path: Path, change: str) -> None:
    where = three_versions(tmp_path)
    unmigrated(where)
    migrate(where)
    assert verify(where) == []
    rewrite(where, change)
    chain_anew(where, None, before="keyed")
    assert any("was changed" in line for line in verify(where))
    chain_anew(where, None)
    assert any("was changed" in line for line in verify(where))


def test_a_changed_ledger_of_the_first_version_is_not_migrated(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    unmigrated(where)
    rewrite(where, REASON)
    before = versions(where)
    with pytest.raises(IntegrityError, match="cannot be migrated, because it was changed: event 6"):
        migrate(where)
    assert versions(where) == before


@pytest.mark.parametrize("mark_is_kept", [True, False])
def test_a_keyed_chain_cannot_become_one_of_the_first_version(tmp_path: Path, mark_is_kept: bool) -> None:
    where = three_versions(tmp_path)
    marked = where.key_file.read_bytes()
    unmigrated(where)
    if mark_is_kept:
        where.key_file.write_bytes(marked)
        with pytest.raises(IntegrityError, match="its chain had a key and now has none"):
            verify(where)
    else:
        assert verify(where) == []  # this needs the key, or a backup from before


@pytest.mark.parametrize(("step", "version"), [("migrating", 1), ("migrated", 2)])
def test_a_migration_that_is_killed_leaves_the_old_ledger_or_the_new_one(
    tmp_path: Path, step: str, version: int
) -> None:
    where = three_versions(tmp_path)
    unmigrated(where)
    events = versions(where)[1]

    def work() -> int:
        os.environ[fault.VARIABLE] = step
        migrate(where)
        return 0

    assert exit_code_of_fork(work) == fault.KILLED
    assert verify(where) == []
    assert versions(where) == (version, events + version - 1)
    migrate(where)
    assert versions(where) == (2, events + 1)
    assert verify(where) == []
    assert keyed.has_chain_mark(where.key_file)


ODD: dict[str, Callable[[dict[str, Any]], str]] = {
    "unheard_of": lambda body: json.dumps(body), "opened": lambda body: "{}",
    "received": lambda body: json.dumps(body | {"due": "soon"}), "set_aside": lambda body: "[]",
    "promoted": lambda body: json.dumps(body | {"version": "../v0001"}), "done": lambda body: "{",
    "attempt": lambda body: json.dumps(body | {"passed": "yes"}), "vacuumed": lambda body: '{"removed": 7}',
    "promoting": lambda body: json.dumps(body | {"evidence": {"../x": "y"}}), "keyed": lambda body: "null",
    "run_started": lambda body: json.dumps(body | {"more": 1}), "published": lambda body: "[" * 10**5,
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_an_event_that_this_tool_does_not_write_is_an_integrity_error(tmp_path: Path, kind: str) -> None:
    """Even when it is chained with the right key."""
    where = three_versions(tmp_path)
    with sqlite3.connect(where.path("ledger")) as connection:
        body = connection.execute("SELECT body FROM event WHERE kind = ?", (kind,)).fetchone()
    connection.close()
    odd = ODD[kind](json.loads(body[0]) if body else {}).replace("'", "''")
    if kind == "keyed":
        chosen = "kind = 'done'"
    else:
        chosen = f"kind = '{kind}'" if body else "seq = (SELECT max(seq) FROM event)"
    rewrite(where, f"UPDATE event SET kind = '{kind}', body = '{odd}' WHERE {chosen}")
    chain_anew(where, derive_chain_key(keyed.read_key(where.key_file)))
    for look in (verify, build_overview):
        try:
            found = look(where)
        except IntegrityError as error:
            found = [str(error)]
        assert isinstance(found, list)
        assert "event " in found[0]


def test_events_of_another_time_form_or_without_a_run_are_integrity_errors(tmp_path: Path) -> None:
    for number, change in enumerate(("time = '2027'", "run = NULL", "run = 'R0099'", "request = NULL")):
        folder = tmp_path / str(number)
        folder.mkdir()
        where = three_versions(folder)
        kind = "done" if "request" in change else "promoted"
        rewrite(where, f"UPDATE event SET {change} WHERE kind = '{kind}' AND seq > 20")
        chain_anew(where, derive_chain_key(keyed.read_key(where.key_file)))
        with pytest.raises(CliError) as caught:
            build_overview(where)
        assert caught.value.exit_code == 6
