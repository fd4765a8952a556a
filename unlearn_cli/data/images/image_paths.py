"""Checks that the images of a table exist below its root, by listing each folder once instead of testing each path."""

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path, PurePath

import numpy as np

from unlearn_cli.data.strings import CHUNK, Strings
from unlearn_cli.errors import UserError

OUTSIDE, MISSING = "outside", "missing"
LONGEST_PATH, SHOWN = 150, 60  # letters of a path in a message, and of a longer cell


def check_paths(names: Strings, root: Path, source: str, *, allow_missing: bool = False) -> None:
    """Check that all paths are files below `root`, which is resolved; no symbolic link may lead out of it.

    A path is valid if its folder is below `root` and lists it as a plain file. All others, such as links, are checked
    one by one. Files are recognised by 64-bit hashes of their paths; in case of a collision, reading the file fails.
    With `allow_missing`, files that do not exist are left to the check of all images, which counts them.

    Raises:
        UserError: with the first path that is not valid; `source` is the table.
    """
    missing = []
    for row, name, flaw in _find_faults(names, root):
        if flaw == OUTSIDE and not missing:
            reason = f"the image of row {row} is outside of the root folder; set 'root' to the folder of the images"
            raise UserError(f"{source}: {reason}")
        missing += [(row, name)] if flaw == MISSING and not allow_missing else []
    if missing:
        row, name = missing[0]
        count = f"; {len(missing)} of {len(names)} images are missing" if len(missing) > 1 else ""
        raise UserError(f"{source}: row {row}: no image {_show(name)} below the root folder{count}; {_advise(name)}")


def _show(name: str) -> str:
    """Return a path for messages; a long cell is not one, but perhaps pixels or an image as text."""
    text = str(PurePath(name))
    return text if len(text) <= LONGEST_PATH else f"{text[:SHOWN]}..."


def _advise(name: str) -> str:
    """Return what to do about a cell that is not the path of an image."""
    if len(name) > LONGEST_PATH:
        return "expected paths of images, or images as base64 without other text"
    slashes = ", with / instead of \\," if "\\" in name else ""
    return f"correct the paths{slashes} or the root, or leave such rows out with 'unreadable: skip'"


def _find_faults(names: Strings, root: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the row, the path and the fault of each path that is not valid."""
    plain_files = _hash_plain_files(_list_folders(names), root)
    find = lru_cache(CHUNK)(lambda name: _find_fault(name, root))
    for number, chunk in enumerate(names.chunks()):
        hashes = np.fromiter(map(hash, chunk), dtype=np.int64, count=len(chunk))
        for position in np.flatnonzero(~_are_among(hashes, plain_files)).tolist():
            if flaw := find(chunk[position]):
                yield number * CHUNK + position, chunk[position], flaw


def _list_folders(names: Strings) -> set[str]:
    """Return the distinct folders as written, with the final slash."""
    return {name[: name.rfind("/") + 1] for chunk in names.chunks() for name in chunk}


def _hash_plain_files(folders: Iterable[str], root: Path) -> np.ndarray:
    """Return the sorted hashes of the paths of all plain files in the folders below root."""
    inside = (folder for folder in folders if _lies_in(_resolve(root / folder), root))
    paths = (folder + name for folder in inside for name in _list_files(root / folder))
    return np.sort(np.fromiter(map(hash, paths), dtype=np.int64))


def _list_files(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    except OSError:  # not a folder, or it may not be listed: its paths are checked one by one
        return


def _are_among(hashes: np.ndarray, references: np.ndarray) -> np.ndarray:
    if not len(references):
        return np.zeros(len(hashes), dtype=bool)
    return references[np.minimum(np.searchsorted(references, hashes), len(references) - 1)] == hashes


def _find_fault(name: str, root: Path) -> str | None:
    resolved = _resolve(root / name)
    if resolved is not None and not _lies_in(resolved, root):
        return OUTSIDE
    return None if resolved is not None and os.path.isfile(resolved) else MISSING


def _lies_in(path: Path | None, root: Path) -> bool:
    return path is not None and path.is_relative_to(root)


def _resolve(path: Path) -> Path | None:
    """Resolve the links of a path; None if it contains a NUL or the links form a loop."""
    try:
        return path.resolve()
    except (ValueError, RuntimeError):
        return None
