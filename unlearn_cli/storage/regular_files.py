"""Reads only regular files: a pipe or a device may never end, and opening it may block."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from unlearn_cli.errors import UserError

MOST_REPORT = 2**28  # bytes of a report.json that is read back
SPECIAL = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_regular_file(path: Path, source: str = "", *, missing: str = "no such file") -> Path:
    """Check that a path is a regular file, for libraries that open it themselves; return the path.

    Raises:
        UserError: it does not exist or is not a regular file; the message starts with `source`.
    """
    with _translate_errors(path, source, missing):
        _check_regular(path, os.stat(path).st_mode, source)
    return path


def open_regular(path: Path, source: str = "", *, missing: str = "no such file") -> BufferedReader:
    """Open a regular file for reading; opening never blocks.

    Raises:
        UserError: as `require_regular_file`.
    """
    with _translate_errors(path, source, missing):
        return try_open(path, source)


def try_open(path: Path, source: str = "") -> BufferedReader:
    """Do the same as `open_regular` for a caller that translates errors of opening itself.

    Raises:
        OSError: it cannot be opened.
        UserError: it is not a regular file.
    """
    return _open(path, lambda mode: _check_regular(path, mode, source))


def read_regular(path: Path, most: int, source: str = "", *, missing: str = "no such file") -> bytes:
    """Return the bytes of a regular file of at most `most` bytes.

    Raises:
        UserError: as `require_regular_file`, or the file is larger.
    """
    with open_regular(path, source, missing=missing) as file:
        return _read_bounded(file, path, most, source)


def read_file_or_pipe(path: Path, most: int, source: str = "") -> bytes:
    """Return the bytes of a file of settings, which may also be a pipe such as a shell's `-m <(command)`.

    Raises:
        UserError: as `read_regular`.
    """
    with _translate_errors(path, source, "no such file"):
        file = _open(path, lambda mode: stat.S_ISFIFO(mode) or _check_regular(path, mode, source))
    with file:
        os.set_blocking(file.fileno(), True)  # it was opened without blocking, but its writer may need time
        return _read_bounded(file, path, most, source)


def _open(path: Path, check: Callable[[int], object]) -> BufferedReader:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        check(os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def _check_regular(path: Path, mode: int, source: str) -> None:
    if not stat.S_ISREG(mode):
        kind = SPECIAL.get(stat.S_IFMT(mode), "something else")
        raise UserError(f"{_format_location(path, source)}: is {kind}; expected a regular file")


def _read_bounded(file: BufferedReader, path: Path, most: int, source: str) -> bytes:
    with _translate_errors(path, source, ""):
        data = file.read(most + 1)
    if len(data) > most:
        raise UserError(f"{_format_location(path, source)}: is too large; expected at most {most} bytes")
    return data


@contextmanager
def _translate_errors(path: Path, source: str, missing: str) -> Iterator[None]:
    """Translate the system's errors for a path that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{_format_location(path, source)}: {missing}") from None
    except OSError as error:
        if error.errno == errno.ENXIO:  # from opening a socket
            raise UserError(f"{_format_location(path, source)}: is a socket; expected a regular file") from None
        raise UserError(
            f"{_format_location(path, source)}: cannot be read ({error.strerror}); name another file"
        ) from None
    except ValueError:  # a NUL, or half a surrogate pair
        raise UserError(f"{_format_location(path, source)}: is not a valid file name; name another file") from None


def _format_location(path: Path, source: str) -> str:
    return f"{source}: {path}" if source else f"{path}"
