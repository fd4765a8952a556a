"""Moves files of requests between folders. No file is lost or replaced, whenever the process is killed."""

import hashlib
import os
from itertools import chain, count
from pathlib import Path

from unlearn_cli.storage.atomic_files import fsync, output_file

REASON = ".reason.txt"
LONGEST_NAME = 200  # bytes; the file of reasons next to it has a longer name


def move_file(path: Path, folder: Path, reasons: str | None = None) -> None:
    """Move a file into a folder under a free name. Reasons are written first, so that a moved file always has them."""
    folder.mkdir(exist_ok=True)
    target = _find_free_path(folder, path.name)
    if reasons is not None:
        with output_file(folder / f"{target.name}{REASON}") as new:
            new.write_text(reasons, encoding="utf-8")
    _rename(path, target)


def _rename(path: Path, target: Path) -> None:
    path.rename(target)
    fsync(target.parent)
    fsync(path.parent)


def _find_free_path(folder: Path, name: str) -> Path:
    """Return a path in the folder that does not exist: NAME, or NAME with a number before its suffix."""
    stem, suffix = Path(name).stem, Path(name).suffix
    if len(os.fsencode(name)) > LONGEST_NAME:
        stem = hashlib.sha256(os.fsencode(name)).hexdigest()
    names = chain([f"{stem}{suffix}"], (f"{stem}.{number}{suffix}" for number in count(2)))
    return next(path for path in map(folder.joinpath, names) if not os.path.lexists(path))
