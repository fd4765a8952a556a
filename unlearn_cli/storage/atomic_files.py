"""Writes files and folders atomically: a reader finds the complete old ones or the complete new ones."""

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

REPORT_KEYS = {"schema_version", "tool_version"}  # keys of every report.json of this tool
SCRIPT_MARK = "unlearn-cli demo"  # text in a comment of the demo's commands.sh


def check_output(
    path: Path, overwrite: bool, kind: Literal["folder", "file"] = "folder", option: str = "--out"
) -> None:
    """Refuse an output that exists (unless `--overwrite`) or cannot be written, before any work.

    First cleans up after a killed run, so that a folder that it had moved aside counts as existing.

    Raises:
        UserError: it exists and must not be replaced, a parent is a file, or its folder is not writable.
    """
    if ranks.is_first():
        tidy_up(path)
    if path.is_symlink() and not path.exists():
        raise UserError(f"{path}: is a broken link, which is not replaced; choose another {option}")
    if path.exists() and not overwrite:
        raise UserError(f"{path}: exists already; choose another {option}, or --overwrite to replace it")
    if path.exists() and path.is_dir() != (kind == "folder"):
        raise UserError(f"{path}: exists and is not a {kind}, so it is not replaced; choose another {option}")
    if path.is_dir() and any(path.iterdir()) and not _is_ours(path):
        raise UserError(f"{path}: was not written by unlearn-cli, so it is not replaced; choose another {option}")
    if Path.cwd().is_relative_to(path.resolve()):
        raise UserError(f"{path}: contains the working directory; choose another {option}")
    parent = find_existing_parent(path)
    if not parent.is_dir():
        raise UserError(f"{path}: {parent} is a file, not a folder; choose another {option}")
    if not os.access(parent, os.W_OK):
        raise UserError(f"{path}: {parent} is not writable; choose another {option}")
    if ranks.is_first():
        _check_creation(path, parent, option)


def _check_creation(path: Path, parent: Path, option: str) -> None:
    """Create and remove a folder next to the output: permissions are not sufficient, for example below /proc.

    `tidy_up` recognises its name and removes it if the process is killed in between.
    """
    probe = _make_sibling_path(parent / path.name, f"new-{owners.make_suffix()}")
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise UserError(f"{path}: cannot write in {parent} ({error.strerror}); choose another {option}") from None


def _is_ours(folder: Path) -> bool:
    """Return whether this tool wrote the folder, by the content of its files: their names are not unique."""
    script = _read_text(folder / "commands.sh").splitlines()
    if any(line.startswith("#") and SCRIPT_MARK in line for line in script):
        return True
    try:
        report = json.loads(_read_text(folder / "report.json"))
    except (ValueError, RecursionError):  # not JSON, or nested too deeply
        return False
    return isinstance(report, dict) and report.keys() >= REPORT_KEYS


def _read_text(path: Path) -> str:
    """Return the text of a file, or '' if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def find_existing_parent(path: Path) -> Path:
    """Return the nearest existing folder above `path`."""
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    return parent


@contextmanager
def output_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a new sibling folder to write in; without an exception, fsync it and rename it to `folder`.

    With `overwrite`, the old folder is moved aside first and removed last, so that a crash leaves one of the two.
    Missing parents are created at the end, so that a failure leaves none; until then, the new folder is in the nearest
    existing one.
    """
    check_output(folder, overwrite)
    with new_folder(folder, replace=overwrite) as new:
        yield new


def name_new_folder(folder: Path, ending: str) -> Path:
    """Return the path of the sibling folder that is renamed to `folder` when it is complete."""
    return _make_sibling_path(find_existing_parent(folder) / folder.name, f"new-{ending}")


@contextmanager
def new_folder(folder: Path, *, flush: bool = True, replace: bool = True, ending: str | None = None) -> Iterator[Path]:
    """Yield a new sibling folder, and rename it to `folder` as `output_folder`, but without checking `folder` first.

    Without `replace`, a folder that has appeared in the meantime is an error. Without `flush`, files may lose their
    content in a power cut unless the caller flushes them.
    """
    with translate_resource_errors(folder):
        new = name_new_folder(folder, ending or owners.make_suffix())
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
    """Ignore the signals that stop a run during a short block of code that must not be interrupted."""
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
    """Replace a folder by a new one; the old one is moved aside before and removed afterwards.

    Raises:
        UserError: it must not be replaced, but exists now; an empty folder is replaced.
    """
    old = _make_sibling_path(folder, f"old-{owners.make_suffix()}")
    if os.path.lexists(folder):
        if not replace:
            raise _make_conflict_error(folder)
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError as error:  # it has just appeared
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise _make_conflict_error(folder) from None
    fsync(folder.parent)
    if old.is_symlink():
        old.unlink()
    else:
        shutil.rmtree(old, ignore_errors=True)


def _make_conflict_error(path: Path) -> UserError:
    return UserError(f"{path}: another run has written it in the meantime, so it is not replaced; choose another --out")


def tidy_up(output: Path) -> None:
    """Clean up after a killed run next to an output: restore the old output if there is no new one, remove the rest.

    Files that a run on another host may still be writing are kept and reported.
    """
    left = _list_leftovers(output, "old")
    if left and not output.exists():
        left.pop().rename(output)
    for path in [*left, *_list_leftovers(output, "new")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _list_leftovers(output: Path, kind: Literal["old", "new"]) -> list[Path]:
    """Return the files and folders that ended processes left next to an output; links are not from this tool."""
    start, parent = f".{output.name}.{kind}-", find_existing_parent(output)
    named = [path for path in (parent.iterdir() if parent.is_dir() else ()) if path.name.startswith(start)]
    left = []
    for path in sorted(named):
        owner = owners.parse(path.name.removeprefix(start))
        if owner is None or path.is_symlink():
            continue
        if not owner.is_here:
            console.warn(f"{path}: left by a run on another host; remove it if that run has ended")
        elif owner.has_ended:
            left.append(path)
    return left


@contextmanager
def output_file(path: Path, *, replace: bool = True, mode: int = 0o666) -> Iterator[Path]:
    """Yield a new sibling to write to; without an exception, fsync it and rename it to `path`.

    Without `replace`, a file that has appeared in the meantime is an error.
    """
    with translate_resource_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = _make_sibling_path(path, f"new-{owners.make_suffix()}")
        try:
            os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode))
            yield new
            fsync(new)
            _put(new, path, replace)
            fsync(path.parent)
        finally:
            new.unlink(missing_ok=True)


@contextmanager
def scratch_folder(output: Path) -> Iterator[Path]:
    """Yield a folder next to an output for files that may become part of it; it is removed at the end.

    After a kill, the next run for the same output removes it.
    """
    folder = name_new_folder(output, owners.make_suffix())
    with translate_resource_errors(output):
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def create_parents(output: Path) -> Iterator[None]:
    """Create the missing folders above an output; after an exception, remove those that are empty."""
    missing = [folder for folder in output.absolute().parents if not folder.exists()]
    with translate_resource_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:  # the deepest first
            if not any(folder.iterdir()):
                folder.rmdir()
        raise


def move_file(new: Path, path: Path, *, replace: bool) -> None:
    """Flush a complete file and move it to its path.

    Raises:
        UserError: it must not replace a file, but one exists now.
    """
    with translate_resource_errors(path):
        fsync(new)
        _put(new, path, replace)
        fsync(path.parent)


def _put(new: Path, path: Path, replace: bool) -> None:
    """Move a new file to its path.

    Raises:
        UserError: it must not replace a file, but one exists now.
    """
    if replace:
        os.replace(new, path)
        return
    try:
        os.link(new, path)  # unlike a rename, it never replaces
    except FileExistsError:
        raise _make_conflict_error(path) from None
    except OSError:  # the file system has no links
        if os.path.lexists(path):
            raise _make_conflict_error(path) from None
        os.replace(new, path)


def _make_sibling_path(path: Path, suffix: str) -> Path:
    return path.parent / f".{path.name}.{suffix}"


def fsync(path: Path) -> None:
    """Flush a file, or the entries of a folder, so that they survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
