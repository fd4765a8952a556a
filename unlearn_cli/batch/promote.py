"""Versions of the checkpoint, one a folder, and the pointer to the current one, which readers follow at any time.

`models/current` is a relative symbolic link. It is replaced by renaming another link over it, which is atomic: who
opens `models/current/model.safetensors` gets the old version or the new one.
"""

import os
import shutil
from pathlib import Path

from unlearn_cli.batch.ledger import fault
from unlearn_cli.checkpoints.checkpoint_header import read_header, resolve_checkpoint
from unlearn_cli.errors import IntegrityError
from unlearn_cli.storage import atomic_files, owners

POINTER = "current"
FIRST = "v0000"  # a copy of the checkpoint that it all began with
WHOLE, SHARDED = "model.safetensors", "model.safetensors.index.json"


def pointed(models: Path) -> str | None:
    """Return the name of the version that the pointer names; None when there is no pointer."""
    link = models / POINTER
    return os.readlink(link) if link.is_symlink() else None


def point(models: Path, version: str) -> None:
    """Let the pointer name another version; if it does already, do nothing."""
    if pointed(models) == version:
        return
    old_name = models / f".{POINTER}.new"  # of a run of an earlier version that was killed
    if old_name.is_symlink():
        old_name.unlink()
    new = models / f".{POINTER}.new-{owners.new_suffix()}"
    new.symlink_to(version)
    fault.step("linked")
    os.replace(new, models / POINTER)
    atomic_files.fsync(models)


def place(made: Path, version: Path) -> None:
    """Give a new version its place among the others, unless it has it already.

    It is there as a whole or not at all: on one file system it is renamed, to another it is copied.

    Raises:
        IntegrityError: it is in neither place.
    """
    if version.exists():
        return
    if not made.exists():
        raise IntegrityError(f"{made}: the checkpoint that passed is gone; bring it back from a backup")
    if made.stat().st_dev == version.parent.stat().st_dev:
        made.rename(version)
        atomic_files.fsync(version.parent)
        atomic_files.fsync(made.parent)
        return
    with atomic_files.output_folder(version) as new:
        shutil.copytree(made, new, dirs_exist_ok=True)


def copy_first(source: Path, models: Path) -> None:
    """Copy the checkpoint that it all begins with, as a folder that is there as a whole or not at all.

    Raises:
        UserError: it is no intact checkpoint.
    """
    header, main = read_header(source), resolve_checkpoint(source)
    with atomic_files.output_folder(models / FIRST) as new:
        for file in {main, *header.files}:
            name = file.name if file != main else SHARDED if main.name.endswith(".index.json") else WHOLE
            shutil.copyfile(file, new / name)
