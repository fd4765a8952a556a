"""The unbiased Hilbert-Schmidt independence criterion of two Gram matrices, and linear CKA from it."""

import math

import numpy as np


def compute_hsic(first: np.ndarray, second: np.ndarray) -> float:
    """Return the unbiased HSIC of Gram matrices (n, n), n >= 4: Song et al. 2012, equation 5."""
    n = len(first)
    k, m = first - np.diag(np.diag(first)), second - np.diag(np.diag(second))
    rows = k.sum(axis=1) @ m.sum(axis=1)
    total = (k * m).sum() + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows
    return float(total) / (n * (n - 3))


def compute_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Return linear CKA of two networks' features from their Gram matrices; 0 where one has no structure."""
    own = compute_hsic(first, first) * compute_hsic(second, second)
    return compute_hsic(first, second) / math.sqrt(own) if own > 0 else 0.0
