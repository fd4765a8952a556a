"""MNIST's idx format, gzipped or not: a magic number, the dimensions as big-endian 32-bit numbers, then the bytes."""

import gzip
import math
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from unlearn_cli.data.arrays import existing
from unlearn_cli.data.records import Records, StoredInput, array_inputs, from_arrays
from unlearn_cli.errors import UserError
from unlearn_cli.sources import Idx

UNSIGNED_BYTES = 0x08  # the third byte of the magic number; the fourth is the number of dimensions
CHUNK = 2**20  # bytes read at a time: a header that lies must not make us reserve what it says


def idx(spec: Idx, name: str, input: StoredInput, task: str) -> Records:
    """Read images (N, H, W) and labels (N,) from two files."""
    images, labels = read_idx(spec.images, name), read_idx(spec.labels, name)
    if labels.ndim != 1:
        shape = list(labels.shape)
        raise UserError(f"{name}: {spec.labels}: labels have shape {shape}; expected one number a label")
    if len(images) != len(labels):
        counts = f"{len(images)} images in {spec.images}, but {len(labels)} labels in {spec.labels}"
        raise UserError(f"{name}: {counts}; take both of one set")
    return from_arrays(name, array_inputs(f"{name}: {spec.images}", images, input.shape), labels.astype(np.int64))


def read_idx(path: Path, name: str) -> np.ndarray:
    """Read one idx file of unsigned bytes; of a packed one no more is unpacked than its header says."""
    with existing(path, name).open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            return _array(file, f"{name}: {path}")
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name}: {path}: cannot be unpacked ({error}); fetch it again") from None


def _array(file: BufferedIOBase, place: str) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != UNSIGNED_BYTES or magic[3] == 0:
        raise UserError(f"{place}: is no idx file of unsigned bytes; name one of MNIST's format")
    header = file.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise UserError(f"{place}: it is truncated within its header; fetch it again")
    shape = struct.unpack(f">{magic[3]}I", header)
    expected = math.prod(shape)
    data = _read(file, expected + 1)
    if len(data) > expected:
        raise UserError(f"{place}: more than the {expected} bytes of an array of {list(shape)}; fetch it again")
    if len(data) < expected:
        what = f"{len(data)} bytes for an array of {list(shape)}"
        raise UserError(f"{place}: {what}; it is truncated, fetch it again")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _read(file: BufferedIOBase, most: int) -> bytes:
    """Read at most so many bytes."""
    data = bytearray()
    while len(data) < most and (chunk := file.read(min(CHUNK, most - len(data)))):
        data += chunk
    return bytes(data)
