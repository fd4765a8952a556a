"""The cleanup of ended and killed runs: their files are moved to where they belong, or removed."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.open_batch import Batch
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.run_files import MANIFEST, SELECTION, TEMPORARY
from unlearn_cli.errors import IntegrityError
from unlearn_cli.storage import atomic_files

KILLED_LEFTOVERS = (".*.lock", ".control.yaml")  # of a killed run: locks of outputs; earlier versions' control


def tidy_up(batch: Batch) -> None:
    """Move the files of ended requests out of the inbox, and remove files that ended runs no longer need."""
    state = batch.state()
    inbox.move_ended(batch.setup.inbox, inbox.read(batch.setup.inbox, batch.key), state)
    fault.step("filed")
    remove_leftovers(batch, state)
    fault.step("cleaned")


def remove_leftovers(batch: Batch, state: LedgerState) -> None:
    """Remove files that ended runs no longer need: lists of records, saved states of trainings, temporary files."""
    for folder in [batch.run_folder(run.id) for run in state.runs.values() if run.id != state.unfinished]:
        leftovers = [path for pattern in (SELECTION, "*.partial", *KILLED_LEFTOVERS) for path in folder.glob(pattern)]
        remove_paths(folder, [*leftovers, *folder.rglob(TEMPORARY)])
    for folder in (batch.setup.models, batch.setup.inbox / inbox.SET_ASIDE):
        remove_paths(folder, [*folder.glob(TEMPORARY)])


def remove_unstarted_run(batch: Batch, state: LedgerState) -> None:
    """Remove the folder of a run that was killed before its start was recorded.

    Raises:
        IntegrityError: a run that is not in the ledger was started, so another ledger has it.
    """
    runs = batch.setup.deletion.path("runs")
    unknown = list_unknown_runs(runs, state)
    for folder in unknown:
        if not is_unstarted(folder):
            raise IntegrityError(
                f"{folder}: holds a run that is not in the ledger; restore the ledger from a backup, or move the "
                "folder away"
            )
    remove_paths(runs, unknown)


def list_unknown_runs(runs: Path, state: LedgerState) -> list[Path]:
    """Return the folders of runs that are not in the ledger."""
    names = sorted(path.name for path in runs.iterdir()) if runs.is_dir() else []
    return [runs / name for name in names if re.fullmatch(r"R\d{4,}", name) and name not in state.runs]


def is_unstarted(folder: Path) -> bool:
    """Return whether a run was killed before its start was recorded. The folder of an ended run has no selection."""
    names = {path.name for path in folder.iterdir() if not path.match(TEMPORARY)}
    return not names or (SELECTION in names and names <= {SELECTION, MANIFEST})


def remove_paths(folder: Path, paths: Sequence[Path]) -> None:
    """Remove files and folders below a folder; one of them may be inside another."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():  # a new pointer before its rename is a link to a folder
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if paths:
        atomic_files.fsync(folder)
