"""One run at a time per output: a lock file next to it, which the system releases when its holder ends."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearn_cli import ranks
from unlearn_cli.errors import Busy
from unlearn_cli.storage import owners
from unlearn_cli.storage.atomic_files import find_existing_parent

MOST_BYTES = 200  # of the name of an owner


@contextmanager
def claim_outputs(*outputs: Path | None) -> Iterator[None]:
    """Hold the locks of outputs, so that no other run writes to them; the lock files are removed at the end.

    If a lock cannot be made (a folder that is not writable, a file system without locks), the run continues without it:
    an output that appears in the meantime is not replaced in any case.

    Raises:
        Busy: another run holds a lock; the message names it.
    """
    given = [path for path in dict.fromkeys(outputs) if path is not None] if ranks.is_first() else []
    locks: dict[Path, int] = {}
    try:
        for output in given:
            if (descriptor := _lock(output)) is not None:
                locks[lock_path(output)] = descriptor
        yield
    finally:
        for path, descriptor in locks.items():
            path.unlink(missing_ok=True)  # while it is held, so that a process that has opened it notices the removal
            os.close(descriptor)


def lock_path(output: Path) -> Path:
    """Return the path of the lock of an output."""
    return find_existing_parent(output) / f".{output.name}.lock"


def is_held(lock: Path) -> bool:
    """Return whether a run holds a lock file."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(output: Path) -> int | None:
    """Lock an output; return the descriptor that holds the lock until it is closed or the process ends."""
    path = lock_path(output)
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError:  # reported by `check_output`
            return None
        if not _is_lock(descriptor) or not _is_taken(descriptor, output):
            os.close(descriptor)
            return None
        if _is_same(descriptor, path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, owners.make_suffix().encode(), 0)
            return descriptor
        os.close(descriptor)  # its holder has removed the file


def _is_lock(descriptor: int) -> bool:
    """Return whether an opened file is a lock: it is empty or contains the name of an owner."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    content = os.pread(descriptor, MOST_BYTES, 0)
    owner = owners.parse(content.decode("ascii", "replace"))
    return not content or (owner is not None and owner.start is not None)


def _is_taken(descriptor: int, output: Path) -> bool:
    """Take the lock; return False if the file system does not support locks.

    Raises:
        Busy: another run holds it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = owners.parse(os.read(descriptor, MOST_BYTES).decode("ascii", "replace"))
        os.close(descriptor)
        raise Busy(f"{output}: {_describe(holder)} is writing it; try again when it has ended") from None
    except OSError:
        return False
    return True


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _describe(holder: owners.Owner | None) -> str:
    if holder is None:
        return "another run"
    return f"process {holder.process}" + ("" if holder.is_here else " of another host")
