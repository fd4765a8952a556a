"""Appends text to a file that other programs append to as well, such as the summary of a CI job."""

import os
import stat
from pathlib import Path

from unlearn_cli.errors import UserError, translate_resource_errors
from unlearn_cli.storage import atomic_files
from unlearn_cli.storage.regular_files import require_regular_file


def check_appendable(path: Path, source: str) -> None:
    """Refuse a file that cannot be appended to or created, before any work.

    Raises:
        UserError: it exists and is not a writable regular file, or its folder is not writable.
    """
    if not path.exists():
        atomic_files.check_output(path, overwrite=False, kind="file", option=source)
        return
    require_regular_file(path, source)
    if not os.access(path, os.W_OK):
        raise UserError(f"{source}: {path}: is not writable; name another file")


def append_text(path: Path, text: str) -> None:
    """Append text in one write, so that other writers' text is before or after it; create the file if it is missing.

    On an error, such as a full disk, the file has its old content.
    """
    with translate_resource_errors(path):
        if path.exists():
            _append(path, text.encode())
        else:
            with atomic_files.output_file(path, replace=False) as new:
                new.write_text(text, encoding="utf-8")


def _append(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: is not a regular file any more; name another file")
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, status.st_size)
            raise
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write the bytes; a full disk may cut the first write short, and the next one fails."""
    while data:
        data = data[os.write(descriptor, data) :]
