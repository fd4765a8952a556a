"""The ledger's tables, the triggers that make them append-only, and the translation of SQLite's errors.

The journal mode is DELETE and every commit is synchronised: a write-ahead log is unsafe on network file systems.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearn_cli.batch.ledger.chain import START
from unlearn_cli.errors import Busy, CliError, IntegrityError, ResourceError, UserError, translate_resource_errors

APPLICATION_ID, SCHEMA_VERSION = 0x756E6C64, 2  # 'unld', in the file's header; version of the tables
UNKEYED_VERSION = 1  # version whose chain has no key

TABLES = (
    """CREATE TABLE event(seq INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, request TEXT, run TEXT,
 body TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL UNIQUE)""",
    # Two runs may forget the same record: the first one may have been rolled back.
    "CREATE TABLE forgotten(digest TEXT NOT NULL, run TEXT NOT NULL, PRIMARY KEY(digest, run)) WITHOUT ROWID",
)
# INSERT OR REPLACE deletes a row without firing the trigger for DELETE, so inserts are checked: only the next event is
# accepted.
TRIGGERS = (
    f"""CREATE TRIGGER event_follows BEFORE INSERT ON event
 WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM event)
 OR NEW.previous IS NOT coalesce((SELECT hash FROM event ORDER BY seq DESC LIMIT 1), '{START}')
 OR EXISTS (SELECT 1 FROM event WHERE hash = NEW.hash)
 BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER forgotten_is_new BEFORE INSERT ON forgotten
 WHEN EXISTS (SELECT 1 FROM forgotten WHERE digest = NEW.digest AND run = NEW.run)
 BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    *(
        f"CREATE TRIGGER {table}_no_{command.lower()} BEFORE {command} ON {table}\n"
        " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        for table in ("event", "forgotten")
        for command in ("UPDATE", "DELETE")
    ),
)
# One row: the digest by which the ledger recognises its key.
KEY_TABLE = (
    "CREATE TABLE key_check(digest TEXT NOT NULL)",
    """CREATE TRIGGER key_check_once BEFORE INSERT ON key_check WHEN EXISTS (SELECT 1 FROM key_check)
 BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    *(
        f"CREATE TRIGGER key_check_no_{command.lower()} BEFORE {command} ON key_check\n"
        " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        for command in ("UPDATE", "DELETE")
    ),
)
SCHEMAS = {UNKEYED_VERSION: (*TABLES, *TRIGGERS), SCHEMA_VERSION: (*TABLES, *TRIGGERS, *KEY_TABLE)}


def set_up(connection: sqlite3.Connection, path: Path, key_check: str) -> int:
    """Configure the connection, create the tables if the file is empty, and return the version of the tables.

    `key_check` is the digest by which the ledger recognises its key.

    Raises:
        IntegrityError: the file belongs to another program, or the key is not the ledger's key.
        UserError: the ledger is from another version of unlearn-cli.
    """
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = FULL")
    if _read_pragma(connection, "application_id") == 0 and not _list_names(connection):
        _create_tables(connection, key_check)
    if _read_pragma(connection, "application_id") != APPLICATION_ID:
        raise IntegrityError(f"{path}: is an SQLite file, but not a ledger of unlearn-cli; name another file")
    version = _read_pragma(connection, "user_version")
    if version not in SCHEMAS:
        raise UserError(f"{path}: is a ledger of another version of unlearn-cli; use that version")
    if version != UNKEYED_VERSION and _read_key_checks(connection) != [(key_check,)]:
        raise IntegrityError(
            f"{path}: the key next to it is not the key that it was written with; restore the key and the ledger from "
            "one backup"
        )
    return version


def _create_tables(connection: sqlite3.Connection, key_check: str) -> None:
    """Create the tables in an empty file, unless another process was first."""
    connection.execute("BEGIN IMMEDIATE")
    if not _list_names(connection):
        for statement in (*TABLES, *TRIGGERS):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        add_key(connection, key_check)
    connection.execute("COMMIT")


def add_key(connection: sqlite3.Connection, key_check: str) -> None:
    """Add the table of the key's check digest, inside a transaction."""
    for statement in KEY_TABLE:
        connection.execute(statement)
    connection.execute("INSERT INTO key_check VALUES (?)", (key_check,))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _read_key_checks(connection: sqlite3.Connection) -> list[tuple[str]]:
    """Return the check digest of the key as rows; no row if the table is missing."""
    if ("key_check",) not in _list_names(connection):
        return []
    return connection.execute("SELECT digest FROM key_check").fetchall()


def _read_pragma(connection: sqlite3.Connection, pragma: str) -> int:
    return connection.execute(f"PRAGMA {pragma}").fetchone()[0]


def _list_names(connection: sqlite3.Connection) -> list[tuple[str]]:
    """Return the names of all tables, indices and triggers as rows."""
    return connection.execute("SELECT name FROM sqlite_master").fetchall()


def find_damage(connection: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the file itself, and with the tables and triggers that make it append-only."""
    (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    damage = [] if answer == "ok" else [f"the ledger's file is damaged: {answer}"]
    statements = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if statements != set(SCHEMAS[_read_pragma(connection, "user_version")]):
        damage.append("the ledger's tables or triggers were changed: it was not append-only")
    return damage


@contextmanager
def translate_sqlite_errors(path: Path) -> Iterator[None]:
    """Raise SQLite's errors that are not bugs (busy, disk full, read-only, damaged) as errors with an exit code."""
    try:
        with translate_resource_errors(path):
            yield
    except sqlite3.Error as error:
        raise _to_cli_error(error, path) from None
    except UnicodeDecodeError:  # raised for SQLite's own message if it quotes a damaged file
        raise IntegrityError(f"{path}: the ledger's file is damaged; restore it from a backup") from None


def _to_cli_error(error: sqlite3.Error, path: Path) -> sqlite3.Error | CliError:
    """Return the error to raise in place of one of SQLite; the same error if it is a bug."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code; the higher bits are details
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(f"{path}: another process is writing to the ledger; run the same command again later")
    if code == sqlite3.SQLITE_FULL:
        return ResourceError(f"{path}: the disk is full; free some space and run the same command again")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return UserError(f"{path}: the ledger cannot be written; choose a folder that you may write to")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return IntegrityError(f"{path}: the ledger's file is damaged ({error}); restore it from a backup")
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(("no such table", "no such column", "table ")):
        return IntegrityError(f"{path}: the ledger's tables were changed ({error}); restore it from a backup")
    return error
