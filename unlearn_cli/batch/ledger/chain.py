"""The hash chain: each event holds the hash of the one before, so that a past event cannot be changed unnoticed.

The hashes are HMACs under a key that is derived from the ledger's key. Ledgers of the first version have plain SHA-256
hashes. The next run adds an event of the kind `keyed` to such a ledger. This event holds the head of all earlier events
(the hash of the last one) in both forms.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

from unlearn_cli.batch.ledger.keyed import derive_key, to_canonical_json

START = "0" * 64  # the "previous hash" of the first event
KEYED = "keyed"  # kind of the event that ends the part of a chain without a key
Row = tuple[int, str, str, str | None, str | None, str, str, str]  # as stored: ..., body, previous hash, hash


def derive_chain_key(key: bytes) -> bytes:
    """Return the key of the chain. Digests of ids and requests use another key."""
    return derive_key(key, "chain")


def derive_key_check(key: bytes) -> str:
    """Return the digest by which a ledger recognises its key."""
    return derive_key(key, "check").hex()


def hash_event(
    seq: int,
    time: str,
    kind: str,
    request: str | None,
    run: str | None,
    body: str,
    previous: str,
    key: bytes | None = None,
) -> str:
    """Return the hash over all stored fields of an event and the previous hash.

    `key` is the key of the chain; without it the result is the hash of a ledger of the first version.
    """
    text = to_canonical_json([seq, time, kind, request, run, body, previous]).encode()
    return hashlib.sha256(text).hexdigest() if key is None else hmac.digest(key, text, "sha256").hex()


def hash_digests(ordered: Iterable[str]) -> str:
    """Return one digest of the keyed hashes of a run's records, which must be sorted."""
    return hashlib.sha256("\n".join(ordered).encode("utf-8", "surrogateescape")).hexdigest()


def compute_head(rows: list[Row], key: bytes) -> str:
    """Return the hash of the last event if all events were chained with the key."""
    previous = START
    for row in rows:
        previous = hash_event(*row[:6], previous, key)
    return previous


def find_chain_faults(rows: list[Row], key: bytes | None) -> list[str]:
    """Return one line per row that does not follow from the row before.

    `key` is None for a ledger of the first version. Otherwise the rows before the event `keyed` may be without a key:
    only the holder of the key can write that event.
    """
    unkeyed = len(rows) if key is None else _count_unkeyed_rows(rows)
    faults, previous, last_time = [], START, ""
    for position, row in enumerate(rows, start=1):
        seq, time, *_, stated, digest = row
        if seq != position:
            return [*faults, f"event {position} is gone: the next one is {seq}"]
        if stated != previous or hash_event(*row[:7], None if position <= unkeyed else key) != digest:
            faults.append(f"event {seq} was changed: its hash does not match its content and the hash before it")
        elif time < last_time:
            faults.append(f"event {seq} has the time {time}, which is before the time of the event before it")
        previous, last_time = digest, time
    return faults or _check_keyed_event(rows, unkeyed, key)


def _count_unkeyed_rows(rows: list[Row]) -> int:
    """Return the number of events before the event `keyed`; 0 if there is no such event."""
    return next((number for number, row in enumerate(rows) if row[2] == KEYED), 0)


def _check_keyed_event(rows: list[Row], unkeyed: int, key: bytes | None) -> list[str]:
    """Compare the heads in the event `keyed`, if there is one, with the events before it."""
    if key is None or unkeyed == len(rows) or rows[unkeyed][2] != KEYED:
        return []
    if rows[unkeyed][5] == to_canonical_json(describe_heads(rows[:unkeyed], key)):
        return []
    return [f"event {unkeyed + 1} does not have the heads of the {unkeyed} events before it"]


def describe_heads(rows: list[Row], key: bytes) -> dict[str, Any]:
    """Return the body of an event `keyed` after these rows: their number, and their head without and with the key."""
    return {"events": len(rows), "old_head": rows[-1][7] if rows else START, "new_head": compute_head(rows, key)}
