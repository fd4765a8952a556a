"""An npz file: headers of its arrays first, arrays on access; never unpickled.

The memory that is allocated is bounded by a member's size in the file: the header of an array must agree with the zip
directory, whose sizes must be possible with deflate.
"""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO

import numpy as np

from unlearn_cli.errors import UserError
from unlearn_cli.storage import regular_files
from unlearn_cli.storage.foreign_texts import find_text

START = 512  # bytes by which a text is recognised
MOST_PACKED = 1032  # largest compression ratio of deflate
READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # compression methods of NumPy
ENCRYPTED = 1  # a flag of a member
# Exceptions of zipfile and NumPy for damaged files.
BROKEN = (
    ValueError,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    LookupError,
    OverflowError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class ArrayHeader:
    """Type and shape of an array that has not been read yet."""

    dtype: np.dtype
    shape: tuple[int, ...]


class NpzFile:
    """The arrays of the file: `headers` of those that can be read, `unreadable` has the others with the reason."""

    def __init__(self, path: Path, source: str) -> None:
        self.kind, self.path, self.source = "npz", path, source
        self.headers: dict[str, ArrayHeader] = {}
        self.unreadable: dict[str, str] = {}
        with self._open_archive() as (archive, size):
            for member in _refuse_duplicates(archive.infolist()):
                name = member.filename.removesuffix(".npy")
                try:
                    self.headers[name] = _read_checked_header(archive, member, size)
                except BROKEN as error:
                    self.unreadable[name] = _format_reason(error)

    def read(self, name: str) -> np.ndarray:
        """Read an array that is in `headers`.

        Raises:
            UserError: its bytes are damaged.
        """
        with self._open_archive() as (archive, _), archive.open(f"{name}.npy") as member:
            return np.lib.format.read_array(member, allow_pickle=False)

    @contextmanager
    def _open_archive(self) -> Iterator[tuple[zipfile.ZipFile, int]]:
        """Open the zip, and translate errors of a damaged file."""
        with regular_files.open_regular(self.path, self.source) as file:
            _refuse_single(file, f"{self.source}: {self.path}")
            size = file.seek(0, 2)
            try:
                with zipfile.ZipFile(file) as archive:
                    yield archive, size
            except UserError:
                raise
            except BROKEN as error:
                flaw = f"is not a plain npz file ({_format_reason(error)}); write it again"
                raise UserError(f"{self.source}: {self.path}: {flaw}") from None


def _refuse_single(file: BufferedReader, at: str) -> None:
    start = file.read(START)
    if start.startswith(b"\x93NUMPY"):
        raise UserError(f"{at}: is one array; expected an .npz file of named arrays, as of np.savez(..., x=x, y=y)")
    if not start:
        raise UserError(f"{at}: is empty; write it again")
    if text := find_text(start):
        raise UserError(f"{at}: is {text}")


def _refuse_duplicates(members: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    names = [member.filename.removesuffix(".npy") for member in members]
    if len(set(names)) < len(names):
        raise zipfile.BadZipFile("duplicate name of an array")
    return members


def _read_checked_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> ArrayHeader:
    """Read the header of an array, and check it against the zip directory."""
    if member.flag_bits & ENCRYPTED:
        raise ValueError("it is encrypted")
    if not member.filename.endswith(".npy") or member.compress_type not in METHODS:
        raise ValueError("it is not an array in NumPy's format")
    packed = member.compress_size
    if member.header_offset + packed > size or member.file_size > MOST_PACKED * packed:
        raise ValueError(f"{member.file_size} bytes cannot be packed in {packed}")
    with archive.open(member) as file:
        shape, dtype, start = _read_header(file)
    if dtype.hasobject or dtype.kind not in "biufcSUmM" or dtype.shape:
        content = "objects, which are pickles" if dtype.hasobject else f"values of type {dtype}"
        raise ValueError(f"it contains {content}; expected numbers or text, as of np.array(...) or .astype(str)")
    if math.prod(shape) * dtype.itemsize + start != member.file_size or max(shape, default=0) >= 2**63:
        raise ValueError(f"its header has shape {list(shape)}, which does not fit its {member.file_size} bytes")
    return ArrayHeader(dtype, shape)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, int]:
    version = np.lib.format.read_magic(file)
    if version not in READERS:
        raise ValueError(f"its format is {version}")
    shape, _, dtype = READERS[version](file)
    return shape, dtype, file.tell()


def _format_reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
