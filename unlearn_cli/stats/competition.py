"""The forgetting score of the NeurIPS 2023 unlearning competition (Triantafillou et al. 2024)."""

import math

import numpy as np

CAP = 50.0  # epsilon of two distributions that do not overlap
NARROW = 0.01  # ratio of the ranges below which distributions count as not overlapping


def epsilon_at(fpr: np.ndarray, fnr: np.ndarray, delta: float) -> np.ndarray:
    """Return max(ln((1 - delta - FPR) / FNR), ln((1 - delta - FNR) / FPR), 0); CAP if both are 0, -1 if one is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        epsilon = np.maximum(np.log((1 - delta - fpr) / fnr), np.log((1 - delta - fnr) / fpr))
    epsilon = np.where((fpr == 0) ^ (fnr == 0), np.nan, np.maximum(epsilon, 0.0))
    return np.where((fpr == 0) & (fnr == 0), CAP, np.minimum(np.nan_to_num(epsilon, nan=-1.0, posinf=CAP), CAP))


def epsilon_of_record(ours: np.ndarray, theirs: np.ndarray, delta: float = 1e-5) -> float:
    """Return the largest epsilon between two samples of one record's phi, over two families of decisions.

    The families are one threshold (above it: the sample with the larger median), and an interval around the median of
    the narrower sample (inside it: that sample). All midpoints between values are tried; published code: a grid.
    """
    widths = np.ptp(ours), np.ptp(theirs)
    if min(widths) < NARROW * max(widths):
        return CAP
    low, high = sorted((ours, theirs), key=lambda part: float(np.median(part)))
    narrow, wide = sorted((ours, theirs), key=lambda part: float(part.std()))
    centre = np.median(narrow)
    one_threshold = _find_largest_epsilon(high, low, delta)
    interval = _find_largest_epsilon(-np.abs(narrow - centre), -np.abs(wide - centre), delta)
    return max(0.0, one_threshold, interval)


def _find_largest_epsilon(positive: np.ndarray, negative: np.ndarray, delta: float) -> float:
    """Return the largest epsilon of a threshold above which values are called positive."""
    values = np.unique(np.concatenate([positive, negative]))
    cuts = (values[1:] + values[:-1]) / 2
    fpr, fnr = (negative[:, None] > cuts).mean(axis=0), (positive[:, None] <= cuts).mean(axis=0)
    return float(epsilon_at(fpr, fnr, delta).max())


def points(epsilon: float, runs: int) -> float:
    """Return H(epsilon) = 2^-floor(2 epsilon) for epsilon < ceil(ln(runs - 1)), else 0."""
    return 2.0 ** -math.floor(2 * epsilon) if epsilon < math.ceil(math.log(runs - 1)) else 0.0


def forgetting_quality(ours: np.ndarray, theirs: np.ndarray, delta: float = 1e-5) -> np.ndarray:
    """Return the points of each record: ours (N, n) and theirs (N, n), the same number of runs on both sides."""
    runs = len(ours)
    return np.array([points(epsilon_of_record(ours[:, i], theirs[:, i], delta), runs) for i in range(ours.shape[1])])
