"""Opens a batch: takes its lock, and opens and checks its ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unlearn_cli.batch.ledger import clock, keyed
from unlearn_cli.batch.ledger.ledger_state import LedgerState, fold
from unlearn_cli.batch.ledger.store import Clock, Ledger, open_ledger
from unlearn_cli.batch.ledger_check import check_ledger, migrate_ledger
from unlearn_cli.batch.lock import hold_lock
from unlearn_cli.batch.setup import Setup
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.schema.literals import Half
from unlearn_cli.storage.atomic_files import tidy_up


@dataclass(frozen=True)
class Batch:
    """An open batch: this process holds the lock of its ledger."""

    setup: Setup
    ledger: Ledger
    key: bytes

    def state(self) -> LedgerState:
        return fold(self.ledger.events())

    def run_options(self, half: Half | None = None) -> RunOptions:
        """Return the options of the commands that a run calls, with the key of the selection's digest."""
        return self.setup.run_options(half).model_copy(update={"selection_key": self.key})

    def run_folder(self, run: str) -> Path:
        """Return the folder of a run: its working files while it is unfinished, its reports and evidence afterwards."""
        return self.setup.deletion.path("runs") / run

    def version_folder(self, name: str | None) -> Path:
        """Return the folder of a version of the checkpoint."""
        assert name is not None
        return self.setup.models / name


@contextmanager
def open_batch(setup: Setup, now: Clock = clock.now) -> Iterator[Batch]:
    """Hold the lock, and yield the batch with its ledger and key.

    Raises:
        UserError: there is neither a ledger nor an initial checkpoint.
        Busy: another process has the lock.
        IntegrityError: the key or the ledger is damaged, or the key is missing.
    """
    settings = setup.deletion
    if not settings.path("ledger").exists():
        read_header(setup.initial)
    with hold_lock(settings.lock_file):
        tidy_up(settings.key_file)
        with open_ledger(settings.path("ledger"), now=now, key_file=settings.key_file) as ledger:
            migrate_ledger(ledger, settings.path("requests"))
            if not keyed.has_chain_mark(settings.key_file):
                keyed.write_chain_mark(settings.key_file)
            check_ledger(ledger)
            yield Batch(setup, ledger, ledger.key)


def read_state(setup: Setup) -> LedgerState:
    """Return the state of the ledger, without the lock.

    Raises:
        UserError: there is no ledger yet.
    """
    settings = setup.deletion
    with open_ledger(settings.path("ledger"), create_missing=False, key_file=settings.key_file) as ledger:
        return check_ledger(ledger)
