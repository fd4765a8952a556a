"""Versions of the checkpoint, one folder each, and the pointer to the current version, which servers open at any time.

`models/current` is a relative symbolic link. It is replaced by renaming another link over it, which is atomic: opening
`models/current/model.safetensors` gives either the old version or the new one.
"""

import os
import shutil
from pathlib import Path

from unlearn_cli.batch.ledger import fault
from unlearn_cli.checkpoints.checkpoint_header import read_header, resolve_checkpoint
from unlearn_cli.errors import IntegrityError
from unlearn_cli.models.companion_files import copy_companions
from unlearn_cli.storage import atomic_files, owners

POINTER = "current"
FIRST = "v0000"  # a copy of the initial checkpoint
VERSION_NAME = r"v\d{4,}"
WHOLE, SHARDED = "model.safetensors", "model.safetensors.index.json"


def read_pointer(models: Path) -> str | None:
    """Return the name of the version that the pointer names; None without a pointer."""
    link = models / POINTER
    return os.readlink(link) if link.is_symlink() else None


def set_pointer(models: Path, version: str) -> None:
    """Set the pointer to a version; do nothing if it names it already."""
    if read_pointer(models) == version:
        return
    old_name = models / f".{POINTER}.new"  # temporary name in earlier versions of unlearn-cli
    if old_name.is_symlink():
        old_name.unlink()
    new = models / f".{POINTER}.new-{owners.make_suffix()}"
    new.symlink_to(version)
    fault.step("linked")
    os.replace(new, models / POINTER)
    atomic_files.fsync(models)


def move_to_version(attempt: Path, version: Path) -> None:
    """Move the folder of an attempt to that of a version, unless the version exists.

    The version exists completely or not at all: within a file system the folder is renamed, otherwise it is copied.

    Raises:
        IntegrityError: neither folder exists.
    """
    if version.exists():
        return
    if not attempt.exists():
        raise IntegrityError(f"{attempt}: the checkpoint that passed is gone; restore it from a backup")
    if attempt.stat().st_dev == version.parent.stat().st_dev:
        attempt.rename(version)
        atomic_files.fsync(version.parent)
        atomic_files.fsync(attempt.parent)
        return
    with atomic_files.output_folder(version) as new:
        shutil.copytree(attempt, new, dirs_exist_ok=True)


def copy_initial(source: Path, models: Path) -> None:
    """Copy the initial checkpoint to the first version, whose folder then exists completely or not at all.

    Files next to it with which other libraries load it, such as config.json, are copied, too.

    Raises:
        UserError: the source is not an intact checkpoint.
    """
    header, main = read_header(source), resolve_checkpoint(source)
    with atomic_files.output_folder(models / FIRST) as new:
        for file in {main, *header.files}:
            name = file.name if file != main else SHARDED if main.name.endswith(".index.json") else WHOLE
            shutil.copyfile(file, new / name)
        copy_companions(main, new)
