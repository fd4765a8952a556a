"""What ended runs leave behind, whether they ended well or were killed: brought to its place, or removed."""

import shutil
from pathlib import Path

from unlearn_cli import files
from unlearn_cli.batch import fault, inbox
from unlearn_cli.batch.state import State
from unlearn_cli.batch.work import SELECTION, Batch


def tidy(batch: Batch) -> None:
    """Move the files of ended requests out of the inbox, and remove what ended runs need no more."""
    state = batch.state()
    inbox.settle(batch.setup.inbox, inbox.read(batch.setup.inbox, batch.key), state)
    fault.step("filed")
    clean(batch, state)
    fault.step("cleaned")


def clean(batch: Batch, state: State) -> None:
    """Remove what names records, kept state of interrupted trainings, and half-written folders of ended runs."""
    for run in state.runs.values():
        if run.id != state.unfinished:
            _clean(batch.folder(run.id))


def _clean(folder: Path) -> None:
    leftovers = [*folder.glob(SELECTION), *folder.glob("*.partial"), *folder.glob(".*.new-*")]
    for path in leftovers:
        shutil.rmtree(path)
    if leftovers:
        files.fsync(folder)
