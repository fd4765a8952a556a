"""Finds files that runs leave: state, half-written outputs, locks, temporary folders, copies, predictions, facts.

Only files of this tool are listed, recognised by name and content. Links are never followed.
"""

import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unlearn_cli import console
from unlearn_cli.storage import owners
from unlearn_cli.storage.claims import is_held, lock_path
from unlearn_cli.storage.remote import cache_folder

PARTIAL, STATE, SUFFIX = ".partial", re.compile("[0-9a-f]{16}"), ".safetensors"
COPIES = re.compile("[0-9a-f]{32}")
HALF_WRITTEN = re.compile(r"\.(.+)\.(new|old)-([0-9a-f]+(?:-[0-9a-f]+){4})", re.DOTALL)
PREDICTIONS, PREDICTED = ".unlearn-cli-predictions", re.compile(r"[0-9a-f]{64}\.npz")
FACTS = ".unlearn-cli-images.npz"
TEMPORARY = "unlearn-cli-"  # prefix of folders for temporary files; the name of their owner follows
DAY = 86_400.0

Kind = Literal["state", "half-written", "lock", "temporary", "copies", "predictions", "image facts"]


@dataclass(frozen=True)
class Leftover:
    """A leftover file or folder: kind, size, age, and the reason if it must be kept."""

    path: Path
    kind: Kind
    bytes: int
    age: float  # seconds since it was last written
    kept_because: str | None = None


def list_states(output: Path) -> list[Path]:
    """Return the folders of state of interrupted runs with this output, one per run."""
    folder = output.parent / f"{output.name}{PARTIAL}"
    return sorted(path for path in folder.iterdir() if _is_state(path)) if _is_folder(folder) else []


def report_states(output: Path, *, remove: bool) -> None:
    """Warn about the saved state of other runs with this output, or remove it: it may contain forgotten records."""
    for path in list_states(output):
        size, age = _measure_size(path), _measure_age(path)
        if remove:
            shutil.rmtree(path, ignore_errors=True)
        else:
            console.warn(
                f"{path}: state of another run with this --out, {describe_size(size)}, {describe_age(age)} old; it may "
                "contain records to forget; remove it with --overwrite or 'unlearn-cli clean'"
            )
    folder = output.parent / f"{output.name}{PARTIAL}"
    if remove and _is_folder(folder) and not any(folder.iterdir()):
        folder.rmdir()


def scan(folder: Path) -> list[Leftover]:
    """Find leftovers in a folder and below, in the folder for temporary files, and in the cache of URLs."""
    return [*_find_below(folder), *_find_temporary(), *_find_copies()]


def list_partial_states(folder: Path) -> Iterator[Leftover]:
    """Yield the saved states directly in a folder."""
    for path in sorted(folder.iterdir()) if _is_folder(folder) else ():
        if _is_partial(path):
            yield _describe_state(path)


def remove(leftovers: list[Leftover]) -> list[Leftover]:
    """Remove the leftovers without a reason to keep them; return the removed ones."""
    removed = [leftover for leftover in leftovers if leftover.kept_because is None]
    for leftover in removed:
        shutil.rmtree(leftover.path) if _is_folder(leftover.path) else leftover.path.unlink(missing_ok=True)
    return removed


def _find_below(folder: Path) -> Iterator[Leftover]:
    for name, folders, names in os.walk(folder):
        folder_path = Path(name)
        for inner in sorted(folders):
            path = folder_path / inner
            if path.is_symlink() or not (_is_partial(path) or _is_cache(path) or HALF_WRITTEN.fullmatch(inner)):
                continue
            folders.remove(inner)
            yield from _describe_folder(path)
        for path in (folder_path / inner for inner in sorted(names)):
            if not path.is_symlink() and path.is_file():
                yield from _find_half_written(path)
                yield from _lock(path)
                yield from _find_facts(path)


def _describe_folder(path: Path) -> Iterator[Leftover]:
    if _is_partial(path):
        yield _describe_state(path)
    elif _is_cache(path):
        yield _make_leftover(path, "predictions", None)
    else:
        yield from _find_half_written(path)


def _describe_state(path: Path) -> Leftover:
    in_use = is_held(lock_path(path.with_name(path.name.removesuffix(PARTIAL))))
    return _make_leftover(path, "state", "a run is using it" if in_use else None)


def _find_half_written(path: Path) -> Iterator[Leftover]:
    match = HALF_WRITTEN.fullmatch(path.name)
    owner = owners.parse(match[3]) if match else None
    if match and owner:
        moved_aside = match[2] == "old" and not os.path.lexists(path.with_name(match[1]))
        because = "the next run with this --out restores it" if moved_aside else _explain_owner(owner)
        yield _make_leftover(path, "half-written", because)


def _lock(path: Path) -> Iterator[Leftover]:
    """Yield a lock file of an output, which contains the name of its owner."""
    if not (path.name.startswith(".") and path.name.endswith(".lock") and path.stat().st_size < 200):
        return
    owner = owners.parse(path.read_bytes().decode("ascii", "replace"))
    if owner and owner.start is not None:
        yield _make_leftover(path, "lock", "a run is using it" if is_held(path) else None)


def _find_facts(path: Path) -> Iterator[Leftover]:
    if path.name == FACTS:
        yield _make_leftover(path, "image facts", None)


def _find_temporary() -> Iterator[Leftover]:
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*")):
        owner = owners.parse(path.name.removeprefix(TEMPORARY).rpartition("-")[0])
        if owner and owner.start is not None and _is_folder(path) and path.lstat().st_uid == os.getuid():
            yield _make_leftover(path, "temporary", _explain_owner(owner))


def _find_copies() -> Iterator[Leftover]:
    folder = cache_folder()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if COPIES.fullmatch(path.name) and _is_folder(path):
            in_use = any(is_held(lock) for lock in path.glob(".*.lock"))
            yield _make_leftover(path, "copies", "a run is using it" if in_use else None)


def _explain_owner(owner: owners.Owner) -> str | None:
    if not owner.is_here:
        return "left by a run on another host; remove it yourself if that run has ended"
    return None if owner.has_ended else "a run is using it"


def _make_leftover(path: Path, kind: Kind, because: str | None) -> Leftover:
    return Leftover(path, kind, _measure_size(path), _measure_age(path), because)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_partial(path: Path) -> bool:
    """Recognise OUT.partial, which contains only folders of state."""
    if not path.name.endswith(PARTIAL) or not _is_folder(path):
        return False
    inner = [*path.iterdir()]
    return bool(inner) and all(map(_is_state, inner))


def _is_cache(path: Path) -> bool:
    """Recognise a folder of stored predictions, which contains only them."""
    names = [file.name for file in path.iterdir()] if path.name == PREDICTIONS and _is_folder(path) else [""]
    return all(PREDICTED.fullmatch(name) or HALF_WRITTEN.fullmatch(name) for name in names)


def _is_state(path: Path) -> bool:
    if not STATE.fullmatch(path.name) or not _is_folder(path):
        return False
    return all(
        file.is_file() and not file.is_symlink() and (file.suffix == SUFFIX or HALF_WRITTEN.fullmatch(file.name))
        for file in path.iterdir()
    )


def _list_files(path: Path) -> Iterator[os.stat_result]:
    for file in [path, *(path.rglob("*") if _is_folder(path) else ())]:
        yield file.lstat()


def _measure_size(path: Path) -> int:
    return sum(status.st_size for status in _list_files(path) if not stat.S_ISDIR(status.st_mode))


def _measure_age(path: Path) -> float:
    return max(0.0, time.time() - max(status.st_mtime for status in _list_files(path)))


def describe_size(size: int) -> str:
    """Format a number of bytes."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def describe_age(seconds: float) -> str:
    """Format an age."""
    return f"{seconds / DAY:.0f} days" if seconds >= 2 * DAY else f"{seconds / 3600:.1f} hours"
