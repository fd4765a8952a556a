"""Numbers about each record, made for some records at a time: what lies between outputs and them stays small."""

import math
from collections.abc import Callable

import numpy as np

NUMBERS = 2**18  # outputs that are looked at at once


def by_record(function: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Return function(*arrays) (n,), for a function that looks at each row of the arrays by itself."""
    size = max(1, NUMBERS // max(1, math.prod(arrays[0].shape[1:])))
    starts = range(0, max(1, len(arrays[0])), size)
    return np.concatenate([function(*(array[start : start + size] for array in arrays)) for start in starts])


def all_finite(values: np.ndarray) -> bool:
    """Say whether no number (n,) or (n, K) is NaN or infinite."""
    return bool(by_record(lambda some: np.isfinite(some).all(axis=tuple(range(1, some.ndim))), values).all())
