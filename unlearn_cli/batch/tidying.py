"""What ended runs leave behind, whether they ended well or were killed: brought to its place, or removed."""

import shutil
from pathlib import Path

from unlearn_cli import files
from unlearn_cli.batch import fault, inbox
from unlearn_cli.batch.state import State
from unlearn_cli.batch.work import SELECTION, Batch

HALF_WRITTEN = ".*.new-*"  # as `files` names what it has not renamed yet; nobody else writes while the lock is held


def tidy(batch: Batch) -> None:
    """Move the files of ended requests out of the inbox, and remove what ended runs need no more."""
    state = batch.state()
    inbox.settle(batch.setup.inbox, inbox.read(batch.setup.inbox, batch.key), state)
    fault.step("filed")
    clean(batch, state)
    fault.step("cleaned")


def clean(batch: Batch, state: State) -> None:
    """Remove what ended runs need no more: lists of records, kept state of trainings, what was half-written."""
    folders = [batch.folder(run.id) for run in state.runs.values() if run.id != state.unfinished]
    for folder in [*folders, batch.folder(state.next_run)]:  # the last one was killed before it began
        _remove(folder, [*folder.glob(SELECTION), *folder.glob("*.partial"), *folder.rglob(HALF_WRITTEN)])
    for folder in (batch.setup.models, batch.setup.inbox / inbox.SET_ASIDE):
        _remove(folder, [*folder.glob(HALF_WRITTEN)])


def _remove(folder: Path, leftovers: list[Path]) -> None:
    for path in leftovers:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    if leftovers:
        files.fsync(folder)
