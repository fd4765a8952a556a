"""The ledger's tables, the triggers that make them append-only, and SQLite's errors told with our exit codes.

The journal is DELETE and every commit is synchronised: a write-ahead log is unsafe on network file systems.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearn_cli.batch.ledger.chain import START
from unlearn_cli.errors import Busy, CliError, IntegrityError, ResourceError, UserError, resources

APPLICATION_ID, SCHEMA_VERSION = 0x756E6C64, 2  # 'unld', in the file's header; the version of the tables
UNKEYED_VERSION = 1  # the version whose chain has no key

TABLES = (
    """CREATE TABLE event(seq INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, request TEXT, run TEXT,
 body TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL UNIQUE)""",
    # A record may be forgotten by two runs, when the first was rolled back.
    "CREATE TABLE forgotten(digest TEXT NOT NULL, run TEXT NOT NULL, PRIMARY KEY(digest, run)) WITHOUT ROWID",
)
# INSERT OR REPLACE would delete a row without a trigger for DELETE being asked: a new event must be the next one.
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
        f"CREATE TRIGGER {table}_no_{what.lower()} BEFORE {what} ON {table}\n"
        " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        for table in ("event", "forgotten")
        for what in ("UPDATE", "DELETE")
    ),
)
# What the ledger keeps of its key: one row.
KEY_TABLE = (
    "CREATE TABLE key_check(digest TEXT NOT NULL)",
    """CREATE TRIGGER key_check_once BEFORE INSERT ON key_check WHEN EXISTS (SELECT 1 FROM key_check)
 BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    *(
        f"CREATE TRIGGER key_check_no_{what.lower()} BEFORE {what} ON key_check\n"
        " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        for what in ("UPDATE", "DELETE")
    ),
)
SCHEMAS = {UNKEYED_VERSION: (*TABLES, *TRIGGERS), SCHEMA_VERSION: (*TABLES, *TRIGGERS, *KEY_TABLE)}


def set_up(connection: sqlite3.Connection, path: Path, check: str) -> int:
    """Set the connection up, make the tables in an empty file, and return the version of the tables.

    `check` is what the ledger keeps of its key.

    Raises:
        IntegrityError: the file is another program's, or the key is not the ledger's.
        UserError: it is of a later version of this tool.
    """
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = FULL")
    if _read_pragma(connection, "application_id") == 0 and not _list_names(connection):
        connection.execute("BEGIN IMMEDIATE")
        if not _list_names(connection):  # else another process was faster
            for statement in (*TABLES, *TRIGGERS):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            add_key(connection, check)
        connection.execute("COMMIT")
    if _read_pragma(connection, "application_id") != APPLICATION_ID:
        raise IntegrityError(f"{path}: is an SQLite file, but not a ledger of unlearn-cli; name another file")
    version = _read_pragma(connection, "user_version")
    if version not in SCHEMAS:
        raise UserError(f"{path}: is a ledger of another version of unlearn-cli; use that version")
    if version != UNKEYED_VERSION and _read_key_checks(connection) != [(check,)]:
        what = "the key beside it is not the one that it was written with"
        raise IntegrityError(f"{path}: {what}; bring the key and the ledger back from one backup")
    return version


def add_key(connection: sqlite3.Connection, check: str) -> None:
    """Add what the ledger keeps of its key, inside a transaction."""
    for statement in KEY_TABLE:
        connection.execute(statement)
    connection.execute("INSERT INTO key_check VALUES (?)", (check,))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _read_key_checks(connection: sqlite3.Connection) -> list[tuple[str]]:
    """Return what the ledger keeps of its key; nothing where the table is gone."""
    if ("key_check",) not in _list_names(connection):
        return []
    return connection.execute("SELECT digest FROM key_check").fetchall()


def _read_pragma(connection: sqlite3.Connection, pragma: str) -> int:
    return connection.execute(f"PRAGMA {pragma}").fetchone()[0]


def _list_names(connection: sqlite3.Connection) -> list[tuple[str]]:
    return connection.execute("SELECT name FROM sqlite_master").fetchall()


def find_damage(connection: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the file itself, and with what makes it append-only."""
    (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    found = [] if answer == "ok" else [f"the ledger's file is damaged: {answer}"]
    found_sql = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if found_sql != set(SCHEMAS[_read_pragma(connection, "user_version")]):
        found.append("the ledger's tables or triggers were changed: it was not append-only")
    return found


@contextmanager
def translate_sqlite_errors(path: Path) -> Iterator[None]:
    """Tell SQLite's errors that are no bugs: busy, disk full, read-only, damaged."""
    try:
        with resources(path):
            yield
    except sqlite3.Error as error:
        raise _to_cli_error(error, path) from None
    except UnicodeDecodeError:  # of SQLite's own message, which quotes a damaged file
        raise IntegrityError(f"{path}: the ledger's file is damaged; bring it back from a backup") from None


def _to_cli_error(error: sqlite3.Error, path: Path) -> sqlite3.Error | CliError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the other bits say which kind of it
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(f"{path}: another process is writing to the ledger; run the same command again later")
    if code == sqlite3.SQLITE_FULL:
        return ResourceError(f"{path}: the disk is full; free some space and run the same command again")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return UserError(f"{path}: the ledger cannot be written; choose a place you may use")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return IntegrityError(f"{path}: the ledger's file is damaged ({error}); bring it back from a backup")
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(("no such table", "no such column", "table ")):
        return IntegrityError(f"{path}: the ledger's tables were changed ({error}); bring it back from a backup")
    return error
