"""MNIST's idx format, gzipped or not: a magic number, the dimensions as big-endian 32-bit numbers, then the bytes."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from unlearn_cli.data.arrays import existing
from unlearn_cli.data.records import Records, array_inputs, from_arrays
from unlearn_cli.errors import UserError
from unlearn_cli.manifest import Input
from unlearn_cli.sources import Idx

UNSIGNED_BYTES = 0x08  # the third byte of the magic number; the fourth is the number of dimensions


def idx(spec: Idx, name: str, input: Input, task: str) -> Records:
    """Read images (N, H, W) and labels (N,) from two files."""
    images, labels = read_idx(spec.images, name), read_idx(spec.labels, name)
    if len(images) != len(labels):
        raise UserError(f"{name}: {len(images)} images in {spec.images}, but {len(labels)} labels in {spec.labels}")
    return from_arrays(name, array_inputs(f"{name}: {spec.images}", images, input.shape), labels.astype(np.int64))


def read_idx(path: Path, name: str) -> np.ndarray:
    """Read one idx file of unsigned bytes."""
    data = existing(path, name).read_bytes()
    try:
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name}: {path}: cannot be unpacked ({error}); fetch it again") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTES:
        raise UserError(f"{name}: {path}: is no idx file of unsigned bytes")
    header = 4 + 4 * data[3]
    shape = np.frombuffer(data[4:header], dtype=">u4").astype(int)
    if len(data) - header != shape.prod():
        raise UserError(f"{name}: {path}: {len(data) - header} bytes for an array of {list(shape)}; it is truncated")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)
