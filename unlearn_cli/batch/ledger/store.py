"""The ledger in its SQLite file: events are appended, each with the hash of the event before it, and read back."""

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

BUSY_SECONDS = 5.0  # how long a write waits for another process, whose write takes milliseconds
TOLERANCE = timedelta(minutes=1)  # by which a time service may set the clock back

# A damaged row may hold values of any type; as text they can be compared with the row's hash.
_TEXT_COLUMNS = ", ".join(
    f"CAST({column} AS TEXT)" for column in ("time", "kind", "request", "run", "body", "previous", "hash")
)

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Event:
    """One event of the ledger; `time` has the form of `clock.format_time`."""

    seq: int
    time: str
    kind: str
    request: str | None
    run: str | None
    body: dict[str, Any]
    hash: str

    @property
    def name(self) -> str | None:
        """The id of the request; for a file that holds no valid request, the name of the file."""
        return self.request or self.body.get("file")


class Ledger:
    """An open ledger. `open_ledger` makes it.

    `key` is the key of ids and requests. `is_keyed`: whether the chain is keyed, too; if not, call `migrate` before
    the first `append`.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, now: Clock, key: bytes, is_keyed: bool) -> None:
        self.path, self._connection, self.now = path, connection, now
        self.key, self.is_keyed = key, is_keyed

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Combine all writes inside into one transaction: after a crash the ledger has either all of them or none."""
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
        """Append an event and return it.

        Raises:
            UserError: the clock was set back, or the file cannot be written.
            Busy: another process does not finish writing.
            ResourceError: the disk is full.
        """
        bodies.check_body(kind, request, run, body)
        assert self.is_keyed, "a ledger of the first version must be migrated before an event is appended"
        with self.transaction():
            last = self._connection.execute("SELECT seq, time, hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
            seq, last_time, previous = last or (0, "", START)
            time, text = self._next_time(last_time), to_canonical_json(body)
            digest = hash_event(seq + 1, time, kind, request, run, text, previous, derive_chain_key(self.key))
            row = (seq + 1, time, kind, request, run, text, previous, digest)
            self._connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        return Event(seq + 1, time, kind, request, run, body, digest)

    def _next_time(self, last: str) -> str:
        """Return the time of the next event, which is never before that of the last one."""
        now = clock.format_time(self.now())
        if now >= last:
            return now
        if clock.parse_time(last) - clock.parse_time(now) <= TOLERANCE:
            return last
        raise UserError(f"{self.path}: its last event has the time {last}, but it is {now} now; correct the clock")

    def events(self) -> list[Event]:
        """Return all events in order.

        Raises:
            IntegrityError: an event was changed or is missing; `batch verify` lists all faults.
        """
        rows = self.rows()
        faults = self.find_chain_faults(rows)
        if faults:
            raise IntegrityError(
                f"{self.path}: {faults[0]}; run 'unlearn-cli batch verify', and restore the ledger from a backup"
            )
        try:
            return [Event(*row[:5], bodies.parse_body(row), row[7]) for row in rows]
        except IntegrityError as error:
            raise IntegrityError(f"{self.path}: {error}; restore the ledger from a backup") from None

    def find_chain_faults(self, rows: list[Row]) -> list[str]:
        """Return one line per row that does not follow from the row before."""
        return find_chain_faults(rows, derive_chain_key(self.key) if self.is_keyed else None)

    def migrate(self) -> None:
        """Give the chain of a ledger of the first version a key, in one transaction; do nothing if it has one.

        Raises:
            IntegrityError: the ledger was changed or damaged before.
        """
        if self.is_keyed:
            return
        with self.transaction():
            rows = self.rows()
            faults = [*self.find_damage(), *self.find_chain_faults(rows)]
            if faults:
                raise IntegrityError(
                    f"{self.path}: the ledger is from an older version and cannot be migrated, because it was changed: "
                    f"{faults[0]}; restore the ledger from a backup"
                )
            add_key(self._connection, derive_key_check(self.key))
            self.is_keyed = True
            self.append(KEYED, **describe_heads(rows, derive_chain_key(self.key)))
            fault.step("migrating")
        fault.step("migrated")

    def rows(self) -> list[Row]:
        """Return the stored events without checking them: seq, time, kind, request, run, body, previous, hash."""
        with translate_sqlite_errors(self.path):
            return self._connection.execute(f"SELECT seq, {_TEXT_COLUMNS} FROM event ORDER BY seq").fetchall()

    def find_damage(self) -> list[str]:
        """Return what is wrong with the file, its tables and its triggers, without checking the events."""
        with translate_sqlite_errors(self.path):
            return find_damage(self._connection)

    def add_forgotten(self, run: str, digests: Iterable[str]) -> tuple[int, str]:
        """Add the keyed hashes of the ids that a run made the model forget; return their number and their digest."""
        ordered = sorted(set(digests))
        with self.transaction():
            self._connection.executemany("INSERT INTO forgotten VALUES (?, ?)", ((digest, run) for digest in ordered))
        return len(ordered), hash_digests(ordered)

    def forgotten_digests(self, run: str | None = None) -> Iterator[str]:
        """Yield the distinct keyed hashes of all forgotten records, sorted, except those of rolled-back runs.

        With `run`, yield the hashes of that run, whether it was rolled back or not.
        """
        condition = (
            "run = ?" if run else "run NOT IN (SELECT run FROM event WHERE kind = 'rolled_back' AND run IS NOT NULL)"
        )
        query = f"SELECT DISTINCT CAST(digest AS TEXT) AS digest FROM forgotten WHERE {condition} ORDER BY digest"
        with translate_sqlite_errors(self.path):
            for (digest,) in self._connection.execute(query, (run,) if run else ()):
                yield digest

    def count_forgotten(self) -> dict[str, int]:
        """Return the number of forgotten records per run, including rolled-back runs."""
        query = "SELECT CAST(run AS TEXT) AS run, count(*) FROM forgotten GROUP BY 1 ORDER BY 1"
        with translate_sqlite_errors(self.path):
            return dict(self._connection.execute(query))

    def export_forgotten(self, path: Path) -> int:
        """Write `forgotten_digests` to a csv file with the column `digest`; return their number."""
        count = 0
        with path.open("w", encoding="ascii") as file:
            file.write("digest\n")
            for digest in self.forgotten_digests():
                file.write(f"{digest}\n")
                count += 1
        return count


@contextmanager
def open_ledger(
    path: Path,
    *,
    now: Clock = clock.now,
    create_missing: bool = True,
    key_file: Path | None = None,
) -> Iterator[Ledger]:
    """Open the ledger with its key, which is in `key_file` (default: next to the ledger); create them if missing.

    Raises:
        UserError: it cannot be opened or created, or it is missing and `create_missing` is false.
        IntegrityError: the file is not a ledger or is damaged, or its key is another one or missing.
        Busy: another process does not finish writing.
    """
    if not path.exists() and not create_missing:
        raise UserError(f"{path}: there is no ledger yet; the first run creates it")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the ledger cannot be written; choose a folder that exists and that you may write to")
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
    """Refuse an unkeyed chain if the key file has the mark of a keyed chain: anybody could have written it.

    Raises:
        IntegrityError: this is the case.
    """
    if version == UNKEYED_VERSION and has_chain_mark(key_file):
        raise IntegrityError(
            f"{path}: its chain had a key and now has none, so somebody rewrote it; restore the ledger and its key "
            "from one backup"
        )
