"""The chain of hashes: every event has the hash of the one before, so that no past one can be changed unnoticed."""

import hashlib
from collections.abc import Iterable

from unlearn_cli.batch.keyed import canonical

START = "0" * 64  # what the first event has for the hash of the one before
Row = tuple[int, str, str, str | None, str | None, str, str, str]  # as stored: ... body, previous, hash


def event_hash(seq: int, time: str, kind: str, request: str | None, run: str | None, body: str, previous: str) -> str:
    """Return the hash of an event: over all that is stored of it, and the hash of the one before."""
    return hashlib.sha256(canonical([seq, time, kind, request, run, body, previous]).encode()).hexdigest()


def forgotten_digest(ordered: Iterable[str]) -> str:
    """Return the digest of a run's keyed hashes, given in their order."""
    return hashlib.sha256("\n".join(ordered).encode()).hexdigest()


def broken(rows: list[Row]) -> list[str]:
    """Return a line for each row that does not follow from the one before."""
    found, previous, last = [], START, ""
    for position, row in enumerate(rows, start=1):
        seq, time, *_, stated, digest = row
        if seq != position:
            return [*found, f"event {position} is gone: the next one is {seq}"]
        if stated != previous or event_hash(*row[:7]) != digest:
            found.append(f"event {seq} was changed: its hash does not follow from what it says and the one before")
        elif time < last:
            found.append(f"event {seq} is of {time}, before the one before it")
        previous, last = digest, time
    return found
