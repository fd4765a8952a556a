"""Writes files and folders so that a reader sees the old ones or the new ones, never half."""

import errno
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from unlearn_cli import console, ranks
from unlearn_cli.errors import UserError, translate_resource_errors
from unlearn_cli.storage import owners

REPORT_KEYS = {"schema_version", "tool_version"}  # what every report.json of ours has
SCRIPT_MARK = "unlearn-cli demo"  # what a comment of the demo's commands.sh says


def check_output(path: Path, overwrite: bool, kind: Literal["folder", "file"] = "folder") -> None:
    """Refuse an output that exists (unless `--overwrite`) or cannot be written, before any work.

    What a killed run left is tidied up first, so that the folder it had moved aside counts as existing.

    Raises:
        UserError: it exists and must not be replaced, a parent is a file, or the folder to write in is not writable.
    """
    if ranks.is_first():
        tidy_up(path)
    if path.is_symlink() and not path.exists():
        raise UserError(f"{path}: is a link that leads nowhere, so it is not replaced; choose another --out")
    if path.exists() and not overwrite:
        raise UserError(f"{path}: exists already; choose another --out, or --overwrite to replace it")
    if path.exists() and path.is_dir() != (kind == "folder"):
        raise UserError(f"{path}: is no {kind}, so it is not replaced by one; choose another --out")
    if path.is_dir() and any(path.iterdir()) and not _is_ours(path):
        raise UserError(f"{path}: is no folder that unlearn-cli wrote, so it is not replaced; choose another --out")
    if Path.cwd().is_relative_to(path.resolve()):
        raise UserError(f"{path}: is the folder that you are in; choose another --out")
    parent = nearest_existing_parent(path)
    if not parent.is_dir():
        raise UserError(f"{path}: {parent} is a file, not a folder; choose another --out")
    if not os.access(parent, os.W_OK):
        raise UserError(f"{path}: {parent} is not writable; choose another --out")
    if ranks.is_first():
        _check_creation(path, parent)


def _check_creation(path: Path, parent: Path) -> None:
    """Make something where the output will be, and remove it: below /proc, say, permissions tell nothing.

    It has a name by which `tidy_up` removes it if the process is killed in between.
    """
    probe = _sibling(parent / path.name, f"new-{owners.new_suffix()}")
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise UserError(f"{path}: nothing can be made in {parent} ({error.strerror}); choose another --out") from None


def _is_ours(folder: Path) -> bool:
    """Say whether a command of ours wrote the folder, by what is in it: others have files of these names, too."""
    script = _text(folder / "commands.sh").splitlines()
    if any(line.startswith("#") and SCRIPT_MARK in line for line in script):
        return True
    try:
        report = json.loads(_text(folder / "report.json"))
    except (ValueError, RecursionError):  # no JSON, or lists in lists in lists
        return False
    return isinstance(report, dict) and report.keys() >= REPORT_KEYS


def _text(path: Path) -> str:
    """Return the text of a file, and nothing where there is none that can be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def nearest_existing_parent(path: Path) -> Path:
    """Return the nearest folder above `path` that is there."""
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    return parent


@contextmanager
def output_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a new sibling folder to write in; when all went well, fsync it and rename it to `folder` as a whole.

    With `overwrite` the old folder is moved aside first and removed last, so that a crash leaves one of the two.
    Missing parents are made at the end, so that a failure leaves none; the new folder is made in the nearest one.
    """
    check_output(folder, overwrite)
    with new_folder(folder, replace=overwrite) as new:
        yield new


def name_new_folder(folder: Path, ending: str) -> Path:
    """Return the path of the sibling folder that is written in before it becomes `folder`."""
    return _sibling(nearest_existing_parent(folder) / folder.name, f"new-{ending}")


@contextmanager
def new_folder(folder: Path, *, flush: bool = True, replace: bool = True, ending: str | None = None) -> Iterator[Path]:
    """Yield a new sibling folder, and put it in the place of a folder, whoever wrote that: see `output_folder`.

    Unless it may `replace` it, a folder that has appeared meanwhile stays. Without `flush` a power cut may leave files
    in it whose bytes are lost, as long as the caller has not flushed them.
    """
    with translate_resource_errors(folder):
        new = name_new_folder(folder, ending or owners.new_suffix())
        new.mkdir()
        try:
            yield new
            with ignore_signals():
                for path in [*sorted(new.rglob("*")), new] if flush else ():
                    fsync(path)
                folder.parent.mkdir(parents=True, exist_ok=True)
                _swap(new, folder, replace)
        finally:
            shutil.rmtree(new, ignore_errors=True)


@contextmanager
def ignore_signals() -> Iterator[None]:
    """Ignore the signals that stop a run: what is inside takes moments, and half of it would pass for nothing."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _swap(new: Path, folder: Path, replace: bool) -> None:
    """Put a new folder in the place of another, which is moved aside before and removed after.

    Raises:
        UserError: it must not be replaced, but is there now; an empty folder is no loss.
    """
    old = _sibling(folder, f"old-{owners.new_suffix()}")
    if os.path.lexists(folder):
        if not replace:
            raise _appeared(folder)
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError as error:  # it appeared at this moment
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise _appeared(folder) from None
    fsync(folder.parent)
    if old.is_symlink():
        old.unlink()
    else:
        shutil.rmtree(old, ignore_errors=True)


def _appeared(path: Path) -> UserError:
    return UserError(f"{path}: another run has written it meanwhile, and it is not replaced; choose another --out")


def tidy_up(output: Path) -> None:
    """Tidy up what a killed run left beside an output: bring the old one back if no new one came, drop the rest.

    What a run on another host may still be writing is left and reported.
    """
    left = _left(output, "old")
    if left and not output.exists():
        left.pop().rename(output)
    for path in [*left, *_left(output, "new")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _left(output: Path, kind: Literal["old", "new"]) -> list[Path]:
    """Return what processes that are no more left beside an output; this tool makes no links of such names."""
    start, parent = f".{output.name}.{kind}-", nearest_existing_parent(output)
    named = [path for path in (parent.iterdir() if parent.is_dir() else ()) if path.name.startswith(start)]
    left = []
    for path in sorted(named):
        owner = owners.parse(path.name.removeprefix(start))
        if owner is None or path.is_symlink():
            continue
        if not owner.is_here:
            console.warn(f"{path}: left by a run on another host; remove it if that has ended")
        elif owner.has_ended:
            left.append(path)
    return left


@contextmanager
def output_file(path: Path, *, replace: bool = True, mode: int = 0o666) -> Iterator[Path]:
    """Yield a new sibling to write to; when all went well, fsync it and rename it to `path`.

    Unless it may `replace` it, a file that has appeared meanwhile stays.
    """
    with translate_resource_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = _sibling(path, f"new-{owners.new_suffix()}")
        try:
            os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode))
            yield new
            fsync(new)
            _put(new, path, replace)
            fsync(path.parent)
        finally:
            new.unlink(missing_ok=True)


def _put(new: Path, path: Path, replace: bool) -> None:
    """Put a new file in its place.

    Raises:
        UserError: it must not replace another, but there is one now.
    """
    if replace:
        os.replace(new, path)
        return
    try:
        os.link(new, path)  # unlike a rename, it never replaces
    except FileExistsError:
        raise _appeared(path) from None
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise _appeared(path) from None
        os.replace(new, path)


def _sibling(path: Path, suffix: str) -> Path:
    return path.parent / f".{path.name}.{suffix}"


def fsync(path: Path) -> None:
    """Make sure that a file, or the entries of a folder, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
