"""Digests of stored samples, 16 bytes each in one array, by which copies of a record are recognised. No torch."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

CHUNK = 2**16


def digest_samples(samples: Iterable[bytes], count: int) -> np.ndarray:
    """Return the digests (count,) of samples, as items of type S16.

    NumPy compares them as bytes, but drops trailing zeros of an item that is accessed; `tobytes` returns all bytes.
    """
    return np.fromiter((blake2b(sample, digest_size=16).digest() for sample in samples), dtype="S16", count=count)


def are_among(digests: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return the mask (n,) of the digests that are among the references; np.isin would need several copies of both."""
    mask = np.zeros(len(digests), dtype=bool)
    if len(references):
        references = np.sort(references)
        for start in range(0, len(digests), CHUNK):
            chunk = digests[start : start + CHUNK]
            positions = np.searchsorted(references, chunk)
            mask[start : start + CHUNK] = references[np.minimum(positions, len(references) - 1)] == chunk
    return mask


def take_last_bits(digests: np.ndarray) -> np.ndarray:
    """Return the last bit (n,) of each digest."""
    return np.ascontiguousarray(digests).view(np.uint8).reshape(-1, 16)[:, -1] & 1
