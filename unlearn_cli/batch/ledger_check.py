"""Checks of a ledger before it is used: its file, its chain, its lists of forgotten records, its key."""

from collections.abc import Iterator
from pathlib import Path

from unlearn_cli.batch.ledger.chain import hash_digests
from unlearn_cli.batch.ledger.ledger_state import LedgerState, fold
from unlearn_cli.batch.ledger.store import Ledger
from unlearn_cli.batch.requests import inbox
from unlearn_cli.errors import IntegrityError


def check_ledger(ledger: Ledger) -> LedgerState:
    """Check the whole ledger and return its state.

    Raises:
        IntegrityError: its file, tables, events or lists of forgotten records were changed.
    """
    faults = ledger.find_damage()
    state = LedgerState()
    if not faults:
        state = fold(ledger.events())
        faults = [*check_forgotten_lists(ledger, state), *find_requests_without_outcome(state)]
    if faults:
        raise IntegrityError(
            f"{ledger.path}: {faults[0]}; run 'unlearn-cli batch verify', and restore the ledger from a backup"
        )
    return state


def check_forgotten_lists(ledger: Ledger, state: LedgerState) -> Iterator[str]:
    """Yield one line per run whose list of forgotten records differs from what its event `promoted` says."""
    counts = ledger.count_forgotten()
    for run in state.runs.values():
        stated = (run.forgotten, run.forgotten_digest) if run.forgotten_digest else (0, hash_digests([]))
        stored = (counts.pop(run.id, 0), hash_digests(ledger.forgotten_digests(run.id)))
        if stored != stated:
            yield f"{run.id}: the list of {stored[0]} forgotten records is not the list of {stated[0]} that it wrote"
    for run in counts:
        yield f"{run}: has a list of forgotten records, but there is no such run"


def find_requests_without_outcome(state: LedgerState) -> Iterator[str]:
    """Yield one line per request without an outcome although its run has ended: a run writes both at once."""
    for name, request in state.requests.items():
        if request.state == "running" and request.run != state.unfinished:
            yield f"{request.run}: has ended, but no event has the outcome of its request {name}: events are gone"


def migrate_ledger(ledger: Ledger, requests: Path) -> None:
    """Give the chain of a ledger of the first version its key.

    The key must be the one that the ledger's digests were made with. A ledger of the first version has no check digest
    of its key, but files of requests may still exist, and the ledger has digests of their requests.

    Raises:
        IntegrityError: none of these requests has the ledger's digest of it; or as `Ledger.migrate`.
    """
    if not ledger.is_keyed:
        matches = [*_compare_digests(ledger, requests)]
        if matches and not any(matches):
            raise IntegrityError(
                f"{ledger.path}: none of {len(matches)} requests below {requests} has the digest that the ledger has "
                "of it; restore the ledger's key from a backup, or move these files away if the key is the right one"
            )
    ledger.migrate()


def _compare_digests(ledger: Ledger, requests: Path) -> Iterator[bool]:
    """Yield, for each request in the ledger whose file exists, whether the file's request has the ledger's digest."""
    state = fold(ledger.events())
    for folder in (requests, requests / inbox.DONE, requests / inbox.SET_ASIDE):
        for file in inbox.read(folder, ledger.key) if folder.is_dir() else ():
            for entry in file.entries:
                if entry.content and entry.id in state.requests:
                    yield entry.digest == state.requests[entry.id].digest
