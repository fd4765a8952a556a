"""The lock of a batch: only one process works on it. The system releases the lock of a process that ends in any way."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearn_cli.errors import Busy, translate_resource_errors
from unlearn_cli.storage import owners
from unlearn_cli.storage.atomic_files import output_file, tidy_up


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path` inside the block.

    The holder's process id is in a second file next to it, because opening a lock file may empty it.

    Raises:
        Busy: another process has the lock; the message names it.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(path, blocking=False), path.with_name(f"{path.name}.pid")
    try:
        lock.acquire()
    except Timeout:
        raise Busy(f"{path}: {_describe_holder(holder)} works on this batch; try again when it has ended") from None
    try:
        tidy_up(holder)  # a process that was killed while it wrote the file would leave a temporary file
        with translate_resource_errors(holder), output_file(holder) as new:
            new.write_text(f"{owners.make_suffix()}\n", encoding="ascii")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _describe_holder(holder: Path) -> str:
    """Describe the process that holds the lock; it may not have written the file yet."""
    with contextlib.suppress(OSError):
        owner = owners.parse(holder.read_text(encoding="ascii").strip())
        if owner:
            return f"process {owner.process}" + ("" if owner.is_here else " of another host")
    return "another process"
