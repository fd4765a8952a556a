"""One batch at a time: a lock on the ledger, which the system gives up as soon as its holder has ended, however."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearn_cli.errors import Busy, translate_resource_errors
from unlearn_cli.storage import owners
from unlearn_cli.storage.atomic_files import output_file, tidy_up


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file `path` while something is done.

    Who holds it is written beside it: opening a lock file may empty it.

    Raises:
        Busy: another process holds it; says which.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(path, blocking=False), _holder(path)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(f"{path}: {_told(holder)} is at this batch; try again when it has ended") from None
    try:
        tidy_up(holder)  # a process that was killed while it wrote the file would leave it half-written
        with translate_resource_errors(holder), output_file(holder) as new:
            new.write_text(f"{owners.new_suffix()}\n", encoding="ascii")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> Path:
    return path.with_name(f"{path.name}.pid")


def _told(holder: Path) -> str:
    """Name the process that holds the lock, unless it has not got round to saying so."""
    with contextlib.suppress(OSError):
        owner = owners.parse(holder.read_text(encoding="ascii").strip())
        if owner:
            return f"process {owner.process}" + ("" if owner.is_here else " of another host")
    return "another process"
