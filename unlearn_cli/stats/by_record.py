"""Applies a function record by record in chunks, so that intermediate arrays stay small."""

import math
from collections.abc import Callable

import numpy as np

MAX_NUMBERS = 2**18  # outputs per chunk


def by_record(function: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Return function(*arrays) (n,), for a function that treats each row of the arrays independently."""
    size = max(1, MAX_NUMBERS // max(1, math.prod(arrays[0].shape[1:])))
    starts = range(0, max(1, len(arrays[0])), size)
    return np.concatenate([function(*(array[start : start + size] for array in arrays)) for start in starts])


def all_finite(values: np.ndarray) -> bool:
    """Return whether no number (n,) or (n, K) is NaN or infinite."""
    return bool(by_record(lambda chunk: np.isfinite(chunk).all(axis=tuple(range(1, chunk.ndim))), values).all())
