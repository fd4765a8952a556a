"""MNIST's idx format, gzipped or not: a magic number, the dimensions as big-endian 32-bit numbers, then the bytes."""

import gzip
import math
import struct
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
    if labels.ndim != 1:
        shape = list(labels.shape)
        raise UserError(f"{name}: {spec.labels}: labels have shape {shape}; expected one number a label")
    if len(images) != len(labels):
        counts = f"{len(images)} images in {spec.images}, but {len(labels)} labels in {spec.labels}"
        raise UserError(f"{name}: {counts}; take both of one set")
    return from_arrays(name, array_inputs(f"{name}: {spec.images}", images, input.shape), labels.astype(np.int64))


def read_idx(path: Path, name: str) -> np.ndarray:
    """Read one idx file of unsigned bytes."""
    data = existing(path, name).read_bytes()
    try:
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name}: {path}: cannot be unpacked ({error}); fetch it again") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTES or data[3] == 0:
        raise UserError(f"{name}: {path}: is no idx file of unsigned bytes; name one of MNIST's format")
    header = 4 + 4 * data[3]
    if len(data) < header:
        raise UserError(f"{name}: {path}: it is truncated within its header; fetch it again")
    shape = struct.unpack(f">{data[3]}I", data[4:header])
    if len(data) - header != math.prod(shape):
        size = len(data) - header
        raise UserError(f"{name}: {path}: {size} bytes for an array of {list(shape)}; it is truncated, fetch it again")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)
