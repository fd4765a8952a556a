"""The chain of hashes: every event has the hash of the one before, so that no past one can be changed unnoticed.

The hashes are HMACs under a key that is derived from the ledger's. Ledgers of the first version have plain SHA-256
hashes; the first run puts an event of the kind `keyed` after them, which has both heads of what lies before it.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

from unlearn_cli.batch.ledger.keyed import derive_key, to_canonical_json

START = "0" * 64  # what the first event has for the hash of the one before
KEYED = "keyed"  # the kind of the event at which a chain without a key ends
Row = tuple[int, str, str, str | None, str | None, str, str, str]  # as stored: ... body, previous, hash


def derive_chain_key(key: bytes) -> bytes:
    """Return the key of the chain, which is not the one that digests of ids and requests are made with."""
    return derive_key(key, "chain")


def derive_key_check(key: bytes) -> str:
    """Return what a ledger keeps of its key, to recognise it."""
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
    """Return the hash of an event: over all that is stored of it, and the hash of the one before.

    `key` is the chain's; without one the hash is that of a ledger of the first version.
    """
    text = to_canonical_json([seq, time, kind, request, run, body, previous]).encode()
    return hashlib.sha256(text).hexdigest() if key is None else hmac.digest(key, text, "sha256").hex()


def hash_digests(ordered: Iterable[str]) -> str:
    """Return the digest of a run's keyed hashes, given in their order."""
    return hashlib.sha256("\n".join(ordered).encode("utf-8", "surrogateescape")).hexdigest()


def compute_head(rows: list[Row], key: bytes) -> str:
    """Return the hash that the last of these events would have if all of them were chained with the key."""
    previous = START
    for row in rows:
        previous = hash_event(*row[:6], previous, key)
    return previous


def find_chain_faults(rows: list[Row], key: bytes | None) -> list[str]:
    """Return a line for each row that does not follow from the one before; without a key all are of the first version.

    Rows before an event `keyed` may be without a key: only who has the key can write that event.
    """
    bare = len(rows) if key is None else _count_unkeyed_rows(rows)
    found, previous, last = [], START, ""
    for position, row in enumerate(rows, start=1):
        seq, time, *_, stated, digest = row
        if seq != position:
            return [*found, f"event {position} is gone: the next one is {seq}"]
        if stated != previous or hash_event(*row[:7], None if position <= bare else key) != digest:
            found.append(f"event {seq} was changed: its hash does not follow from what it says and the one before")
        elif time < last:
            found.append(f"event {seq} is of {time}, before the one before it")
        previous, last = digest, time
    return found or _check_keyed_event(rows, bare, key)


def _count_unkeyed_rows(rows: list[Row]) -> int:
    """Return how many events lie before the one that gave the chain its key."""
    return next((number for number, row in enumerate(rows) if row[2] == KEYED), 0)


def _check_keyed_event(rows: list[Row], bare: int, key: bytes | None) -> list[str]:
    """Return what is wrong with the event that gave the chain its key, if there is one."""
    if key is None or bare == len(rows) or rows[bare][2] != KEYED:
        return []
    if rows[bare][5] == to_canonical_json(describe_heads(rows[:bare], key)):
        return []
    return [f"event {bare + 1} does not have the heads of the {bare} events before it"]


def describe_heads(rows: list[Row], key: bytes) -> dict[str, Any]:
    """Return the body of the event `keyed` after these rows: their number, their head, and their head with the key."""
    return {"events": len(rows), "old_head": rows[-1][7] if rows else START, "new_head": compute_head(rows, key)}
