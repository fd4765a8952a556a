"""The ledger: one SQLite file to which events are appended, each with the hash of the one before it."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from unlearn_cli.batch.ledger import clock, fault
from unlearn_cli.batch.ledger import events as bodies
from unlearn_cli.batch.ledger.chain import (
    KEYED,
    START,
    Row,
    derive_chain_key,
    derive_key_check,
    describe_heads,
    find_chain_faults,
    hash_digests,
    hash_event,
)
from unlearn_cli.batch.ledger.keyed import has_chain_mark, read_key, read_or_create_key, to_canonical_json
from unlearn_cli.batch.ledger.ledger_schema import (
    UNKEYED_VERSION,
    add_key,
    find_damage,
    set_up,
    translate_sqlite_errors,
)
from unlearn_cli.errors import IntegrityError, UserError

BUSY_SECONDS = 5.0  # how long a write waits for another one, which takes milliseconds
TOLERANCE = timedelta(minutes=1)  # by so much clocks are set back by those who keep them right

# A damaged row may hold anything; as text it can be compared with its hash.
_TEXT_COLUMNS = ", ".join(
    f"CAST({name} AS TEXT)" for name in ("time", "kind", "request", "run", "body", "previous", "hash")
)

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Event:
    """One thing that happened; `time` as `clock.format_time` has it."""

    seq: int
    time: str
    kind: str
    request: str | None
    run: str | None
    body: dict[str, Any]
    hash: str

    @property
    def name(self) -> str | None:
        """The request, or where there is none the name of the file that was to hold one."""
        return self.request or self.body.get("file")


class Ledger:
    """What happened so far, and the only way to add to it. Made by `open_ledger`.

    `key` is that of ids and requests; `is_keyed`: whether the chain has one, too, without which nothing is appended.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, now: Clock, key: bytes, is_keyed: bool) -> None:
        self.path, self._connection, self.now = path, connection, now
        self.key, self.is_keyed = key, is_keyed

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is appended inside one: after a crash all of it is there or nothing of it."""
        if self._connection.in_transaction:
            yield
            return
        with translate_sqlite_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def append(self, kind: str, *, request: str | None = None, run: str | None = None, **body: Any) -> Event:
        """Add an event.

        Raises:
            UserError: the clock was set back, or the file cannot be written.
            Busy: another process is writing all the time.
            ResourceError: the disk is full.
        """
        bodies.check_body(kind, request, run, body)
        assert self.is_keyed, "a ledger of the first version is migrated before it is added to"
        with self.transaction():
            last = self._connection.execute("SELECT seq, time, hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
            seq, last_time, previous = last or (0, "", START)
            time, text = self._next_time(last_time), to_canonical_json(body)
            digest = hash_event(seq + 1, time, kind, request, run, text, previous, derive_chain_key(self.key))
            row = (seq + 1, time, kind, request, run, text, previous, digest)
            self._connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        return Event(seq + 1, time, kind, request, run, body, digest)

    def _next_time(self, last: str) -> str:
        now = clock.format_time(self.now())
        if now >= last:
            return now
        if clock.parse_time(last) - clock.parse_time(now) <= TOLERANCE:
            return last
        raise UserError(f"{self.path}: its last event is of {last}, but it is {now} now; set the clock right")

    def events(self) -> list[Event]:
        """Return all events in their order.

        Raises:
            IntegrityError: one was changed, or some are gone; `batch --verify` says all that is wrong.
        """
        rows = self.rows()
        wrong = self.find_chain_faults(rows)
        if wrong:
            raise IntegrityError(f"{self.path}: {wrong[0]}; run --verify, and bring the ledger back from a backup")
        try:
            return [Event(*row[:5], bodies.parse_body(row), row[7]) for row in rows]
        except IntegrityError as error:
            raise IntegrityError(f"{self.path}: {error}; bring the ledger back from a backup") from None

    def find_chain_faults(self, rows: list[Row]) -> list[str]:
        """Return a line for each row that does not follow from the one before."""
        return find_chain_faults(rows, derive_chain_key(self.key) if self.is_keyed else None)

    def migrate(self) -> None:
        """Give the chain of a ledger of the first version a key, in one transaction; do nothing if it has one.

        Raises:
            IntegrityError: the ledger does not verify as it is.
        """
        if self.is_keyed:
            return
        with self.transaction():
            rows = self.rows()
            wrong = [*self.find_damage(), *self.find_chain_faults(rows)]
            if wrong:
                what = "its chain is to get a key, but it was changed"
                raise IntegrityError(f"{self.path}: {what}: {wrong[0]}; bring the ledger back from a backup")
            add_key(self._connection, derive_key_check(self.key))
            self.is_keyed = True
            self.append(KEYED, **describe_heads(rows, derive_chain_key(self.key)))
            fault.step("migrating")
        fault.step("migrated")

    def rows(self) -> list[Row]:
        """Return the events as they are stored, unchecked: seq, time, kind, request, run, body, previous, hash."""
        with translate_sqlite_errors(self.path):
            return self._connection.execute(f"SELECT seq, {_TEXT_COLUMNS} FROM event ORDER BY seq").fetchall()

    def find_damage(self) -> list[str]:
        """Return what is wrong with the file, its tables and its triggers; the events are not looked at."""
        with translate_sqlite_errors(self.path):
            return find_damage(self._connection)

    def add_forgotten(self, run: str, digests: Iterable[str]) -> tuple[int, str]:
        """Note the keyed hashes of the ids that a run made the model forget; return what `promoted` says of them."""
        ordered = sorted(set(digests))
        with self.transaction():
            self._connection.executemany("INSERT INTO forgotten VALUES (?, ?)", ((one, run) for one in ordered))
        return len(ordered), hash_digests(ordered)

    def forgotten_digests(self, run: str | None = None) -> Iterator[str]:
        """Return the keyed hashes of all that is forgotten, sorted, each once; what was rolled back is not.

        With `run`, those of that run, rolled back or not.
        """
        chosen = (
            "run = ?" if run else "run NOT IN (SELECT run FROM event WHERE kind = 'rolled_back' AND run IS NOT NULL)"
        )
        query = f"SELECT DISTINCT CAST(digest AS TEXT) AS digest FROM forgotten WHERE {chosen} ORDER BY digest"
        with translate_sqlite_errors(self.path):
            for (one,) in self._connection.execute(query, (run,) if run else ()):
                yield one

    def count_forgotten(self) -> dict[str, int]:
        """Return how many records each run made the model forget, rolled back or not."""
        with translate_sqlite_errors(self.path):
            return dict(
                self._connection.execute(
                    "SELECT CAST(run AS TEXT) AS run, count(*) FROM forgotten GROUP BY 1 ORDER BY 1"
                )
            )

    def export_forgotten(self, path: Path) -> int:
        """Write the keyed hashes of all that is forgotten as a csv with the column `digest`; return how many."""
        count = 0
        with path.open("w", encoding="ascii") as file:
            file.write("digest\n")
            for one in self.forgotten_digests():
                file.write(f"{one}\n")
                count += 1
        return count


@contextmanager
def open_ledger(
    path: Path, *, now: Clock = clock.now, create_missing: bool = True, key_file: Path | None = None
) -> Iterator[Ledger]:
    """Open the ledger with the key beside it (or in `key_file`); both are made when there are none.

    Raises:
        UserError: it cannot be opened or made, or there is none and `create_missing` is false.
        IntegrityError: it is no ledger, or its file is damaged, or the key is not the one that it was written with.
        Busy: another process is writing all the time.
    """
    if not path.exists() and not create_missing:
        raise UserError(f"{path}: there is no ledger yet; the first run makes it")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the ledger cannot be written; choose a place you may use")
    key_file = key_file or path.with_suffix(".key")
    key = read_or_create_key(key_file, path) if create_missing else read_key(key_file)
    with translate_sqlite_errors(path):
        address = f"{path.absolute().as_uri()}?mode={'rwc' if create_missing else 'rw'}"
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        try:
            version = set_up(connection, path, derive_key_check(key))
            _check_version(path, version, key_file)
        except BaseException:
            connection.close()
            raise
    try:
        yield Ledger(path, connection, now, key, version != UNKEYED_VERSION)
    finally:
        connection.close()


def _check_version(path: Path, version: int, key_file: Path) -> None:
    """Refuse a chain without a key where it has had one: anybody could have written it.

    Raises:
        IntegrityError: it is so.
    """
    if version == UNKEYED_VERSION and has_chain_mark(key_file):
        what = "its chain has no key, but it had one"
        raise IntegrityError(
            f"{path}: {what}; somebody wrote it anew: bring the ledger and its key back from one backup"
        )
