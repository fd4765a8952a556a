"""What ended runs leave behind, whether they ended well or were killed: brought to its place, or removed."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.run_files import HALF_WRITTEN
from unlearn_cli.batch.work import MANIFEST, SELECTION, Batch
from unlearn_cli.errors import IntegrityError
from unlearn_cli.storage import atomic_files

LEFT = (".*.lock", ".control.yaml")  # of a run that was killed: locks of its outputs, and what it tried for `blame`


def tidy(batch: Batch) -> None:
    """Move the files of ended requests out of the inbox, and remove what ended runs need no more."""
    state = batch.state()
    inbox.move_ended(batch.setup.inbox, inbox.read(batch.setup.inbox, batch.key), state)
    fault.step("filed")
    clean(batch, state)
    fault.step("cleaned")


def clean(batch: Batch, state: LedgerState) -> None:
    """Remove what ended runs need no more: lists of records, kept state of trainings, what was half-written."""
    for folder in [batch.folder(run.id) for run in state.runs.values() if run.id != state.unfinished]:
        left = [path for pattern in (SELECTION, "*.partial", *LEFT) for path in folder.glob(pattern)]
        _remove(folder, [*left, *folder.rglob(HALF_WRITTEN)])
    for folder in (batch.setup.models, batch.setup.inbox / inbox.SET_ASIDE):
        _remove(folder, [*folder.glob(HALF_WRITTEN)])


def remove_unbegun(batch: Batch, state: LedgerState) -> None:
    """Remove the folder of a run that was killed before the ledger knew of it.

    Raises:
        IntegrityError: a run that the ledger does not know got further than that, so another ledger knows it.
    """
    unknown = unknown_runs(batch.setup.deletion.path("runs"), state)
    for folder in unknown:
        if not is_unbegun(folder):
            what = "holds a run that the ledger knows nothing of"
            raise IntegrityError(f"{folder}: {what}; bring the ledger back from a backup, or move the folder away")
    _remove(batch.setup.deletion.path("runs"), unknown)


def unknown_runs(runs: Path, state: LedgerState) -> list[Path]:
    """Return the folders of runs that the ledger does not know."""
    names = sorted(path.name for path in runs.iterdir()) if runs.is_dir() else []
    return [runs / name for name in names if re.fullmatch(r"R\d{4,}", name) and name not in state.runs]


def is_unbegun(folder: Path) -> bool:
    """Say whether a run was killed before the ledger could know of it: a run that has ended has no lists of records."""
    names = {path.name for path in folder.iterdir() if not path.match(HALF_WRITTEN)}
    return not names or (SELECTION in names and names <= {SELECTION, MANIFEST})


def _remove(folder: Path, leftovers: Sequence[Path]) -> None:
    """Remove files and folders, of which one may lie in another, and let the disk know."""
    for path in leftovers:
        if path.is_dir() and not path.is_symlink():  # a new pointer that was not renamed yet is a link to a folder
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if leftovers:
        atomic_files.fsync(folder)
