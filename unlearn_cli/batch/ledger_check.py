"""What is checked of a ledger before it is believed: its file, its chain, its lists of forgotten records."""

from collections.abc import Iterator
from pathlib import Path

from unlearn_cli.batch.ledger.chain import hash_digests
from unlearn_cli.batch.ledger.ledger_state import LedgerState, fold
from unlearn_cli.batch.ledger.store import Ledger
from unlearn_cli.batch.requests import inbox
from unlearn_cli.errors import IntegrityError


def check_ledger(ledger: Ledger) -> LedgerState:
    """Return where everything stands, after the ledger was checked as a whole.

    Raises:
        IntegrityError: its file, tables, events or lists of forgotten records are not as this tool left them.
    """
    damage = ledger.find_damage()
    state = LedgerState() if damage else fold(ledger.events())
    wrong = damage or [*check_forgotten_lists(ledger, state), *find_requests_without_outcome(state)]
    if wrong:
        raise IntegrityError(f"{ledger.path}: {wrong[0]}; run --verify, and bring the ledger back from a backup")
    return state


def check_forgotten_lists(ledger: Ledger, state: LedgerState) -> Iterator[str]:
    """Compare the keyed hashes of what was forgotten with what the chained events say of them."""
    counts = ledger.count_forgotten()
    for run in state.runs.values():
        stated = (run.forgotten, run.forgotten_digest) if run.forgotten_digest else (0, hash_digests([]))
        found = (counts.pop(run.id, 0), hash_digests(ledger.forgotten_digests(run.id)))
        if found != stated:
            yield f"{run.id}: the list of {found[0]} forgotten records is not the one of {stated[0]} that it wrote"
    for run in counts:
        yield f"{run}: has a list of forgotten records, but there is no such run"


def find_requests_without_outcome(state: LedgerState) -> Iterator[str]:
    """Look for requests whose run has ended, while nothing says what became of them: a run notes both at once."""
    for name, request in state.requests.items():
        if request.state == "running" and request.run != state.unfinished:
            yield f"{request.run}: has ended, but nothing says what became of its request {name}: events are gone"


def migrate_ledger(ledger: Ledger, requests: Path) -> None:
    """Give the chain of a ledger of the first version its key, which must be the one that its digests were made with.

    Such a ledger has no check of its key; but files of requests, whose digests it has, may still be there.

    Raises:
        IntegrityError: no file of a request has the digest that the ledger has of it; or as `Ledger.migrate`.
    """
    if not ledger.is_keyed:
        known = [*_compare_digests(ledger, requests)]
        if known and not any(known):
            what = f"none of {len(known)} requests below {requests} has the digest that the ledger has of it"
            advice = "bring the ledger's key back from a backup; if it is the right one, move these files away"
            raise IntegrityError(f"{ledger.path}: {what}; {advice}")
    ledger.migrate()


def _compare_digests(ledger: Ledger, requests: Path) -> Iterator[bool]:
    """Yield of each request that the ledger knows and whose file is there whether it has the digest of the ledger."""
    state = fold(ledger.events())
    for folder in (requests, requests / inbox.DONE, requests / inbox.SET_ASIDE):
        for file in inbox.read(folder, ledger.key) if folder.is_dir() else ():
            for item in file.items:
                if item.content and item.id in state.requests:
                    yield item.digest == state.requests[item.id].digest
