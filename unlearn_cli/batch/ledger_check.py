"""What is checked of a ledger before it is believed: its file, its chain, its lists of forgotten records."""

from collections.abc import Iterator

from unlearn_cli.batch.chain import forgotten_digest
from unlearn_cli.batch.ledger import Ledger
from unlearn_cli.batch.state import State, fold
from unlearn_cli.errors import IntegrityError


def checked(ledger: Ledger) -> State:
    """Return where everything stands, after the ledger was checked as a whole.

    Raises:
        IntegrityError: its file, tables, events or lists of forgotten records are not as this tool left them.
    """
    damage = ledger.damage()
    state = State() if damage else fold(ledger.events())
    wrong = damage or [*forgotten(ledger, state)]
    if wrong:
        raise IntegrityError(f"{ledger.path}: {wrong[0]}; run --verify, and bring the ledger back from a backup")
    return state


def forgotten(ledger: Ledger, state: State) -> Iterator[str]:
    """Compare the keyed hashes of what was forgotten with what the chained events say of them."""
    counts = ledger.count_forgotten()
    for run in state.runs.values():
        stated = (run.forgotten, run.forgotten_digest) if run.forgotten_digest else (0, forgotten_digest([]))
        found = (counts.pop(run.id, 0), forgotten_digest(ledger.forgotten_digests(run.id)))
        if found != stated:
            yield f"{run.id}: the list of {found[0]} forgotten records is not the one of {stated[0]} that it wrote"
    for run in counts:
        yield f"{run}: has a list of forgotten records, but there is no such run"
