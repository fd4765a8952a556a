"""MNIST's idx format, gzipped or plain: a magic number, the dimensions as big-endian 32-bit numbers, then the bytes."""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from unlearn_cli.data.images.image_arrays import check_array, make_sample_inputs
from unlearn_cli.data.records import Records, StoredInput, from_arrays
from unlearn_cli.errors import UserError
from unlearn_cli.schema.sources import Idx
from unlearn_cli.storage import regular_files

UNSIGNED_BYTES = 0x08  # the third byte of the magic number; the fourth is the number of dimensions
CHUNK = 2**20  # bytes read at a time
MOST_PACKED = 1032  # largest compression ratio of deflate


@dataclass(frozen=True)
class IdxHeader:
    """The shape of the file's array, and whether the file is gzipped."""

    shape: tuple[int, ...]
    packed: bool


def idx(spec: Idx, name: str, input: StoredInput, task: str) -> Records:
    """Read images (N, H, W) and labels (N,) from two files; both headers are checked before the arrays are read."""
    images, labels = read_header(spec.images, name), read_header(spec.labels, name)
    if len(labels.shape) != 1:
        shape = list(labels.shape)
        raise UserError(f"{name}: {spec.labels}: labels have shape {shape}; expected one number per label")
    if images.shape[0] != labels.shape[0]:
        counts = f"{images.shape[0]} images in {spec.images}, but {labels.shape[0]} labels in {spec.labels}"
        raise UserError(f"{name}: {counts}; use both files of one set")
    check_array(f"{name}: {spec.images}", np.dtype(np.uint8), images.shape, input)
    numbers = read_idx(spec.labels, name).astype(np.int64)
    return from_arrays(name, make_sample_inputs(f"{name}: {spec.images}", read_idx(spec.images, name), input), numbers)


def read_idx(path: Path, name: str) -> np.ndarray:
    """Read one idx file of unsigned bytes; a gzipped one is unpacked only to the size in its header."""
    with _open_unpacked(path, name) as (file, _):
        shape = _read_shape(file, f"{name}: {path}")
        return _read_array(file, shape, f"{name}: {path}")


def read_header(path: Path, name: str) -> IdxHeader:
    """Read the header of an idx file, and refuse a shape that does not fit the size of the file.

    Raises:
        UserError: it is not an idx file, or its size does not fit.
    """
    with _open_unpacked(path, name) as (file, packed):
        shape, source, size = _read_shape(file, f"{name}: {path}"), f"{name}: {path}", path.stat().st_size
    expected, start = math.prod(shape), 4 + 4 * len(shape)
    if packed and expected > MOST_PACKED * size:
        raise UserError(f"{source}: {size} gzipped bytes are too few for an array of {list(shape)}; fetch it again")
    if not packed and size < start + expected:
        raise UserError(
            f"{source}: {size - start} bytes for an array of {list(shape)}; it is truncated, fetch it again"
        )
    return IdxHeader(shape, packed)


@contextmanager
def _open_unpacked(path: Path, name: str) -> Iterator[tuple[BufferedIOBase, bool]]:
    """Open the file, and unpack it if it is gzipped; yield also whether it is."""
    with regular_files.open_regular(path, name) as stored:
        packed = stored.read(2) == b"\x1f\x8b"
        stored.seek(0)
        try:
            with gzip.open(stored) if packed else nullcontext(stored) as file:
                yield file, packed
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{name}: {path}: cannot be unpacked ({error}); fetch it again") from None


def _read_shape(file: BufferedIOBase, source: str) -> tuple[int, ...]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != UNSIGNED_BYTES or magic[3] == 0:
        raise UserError(f"{source}: is not an idx file of unsigned bytes; expected MNIST's format")
    header = file.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise UserError(f"{source}: it is truncated within its header; fetch it again")
    return struct.unpack(f">{magic[3]}I", header)


def _read_array(file: BufferedIOBase, shape: tuple[int, ...], source: str) -> np.ndarray:
    """Read the array and try to read one byte more, so that gzip verifies its checksum."""
    expected = math.prod(shape)
    data = _read_bytes(file, expected + 1)
    if len(data) > expected:
        raise UserError(f"{source}: more than the {expected} bytes of an array of {list(shape)}; fetch it again")
    if len(data) < expected:
        shortage = f"{len(data)} bytes for an array of {list(shape)}"
        raise UserError(f"{source}: {shortage}; it is truncated, fetch it again")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _read_bytes(file: BufferedIOBase, most: int) -> bytes:
    """Read at most `most` bytes."""
    data = bytearray()
    while len(data) < most and (chunk := file.read(min(CHUNK, most - len(data)))):
        data += chunk
    return bytes(data)
