"""The distance of a network from an ensemble of retrained networks, in units of the distances between those."""

import math

import numpy as np

from unlearn_cli.stats.roc import auc

BEYOND = 2.576  # a standard normal variable is beyond it, in absolute value, with probability 1 %


def pooled_spread(references: np.ndarray) -> float:
    """Return s: the root of the mean over points of the variance over K references; references (K, n), K at least 2.

    One number for all points, because K is small and a standard deviation of four numbers is very uncertain. It is
    computed over all references, also if one is left out of the mean; it stays unbiased then.
    """
    return math.sqrt(float(references.var(axis=0, ddof=1).mean()))


def z_scores(candidate: np.ndarray, references: np.ndarray, spread: float) -> np.ndarray:
    """Return z_i = (x_i - mean_k) / (s sqrt(1 + 1/K)), where sqrt(1 + 1/K) accounts for the estimated mean.

    candidate (n,), references (K, n), K at least 1.
    """
    return (candidate - references.mean(axis=0)) / (spread * math.sqrt(1 + 1 / len(references)))


def statistics(candidate: np.ndarray, references: np.ndarray, spread: float) -> dict[str, float]:
    """Return the statistics of a candidate relative to K references, K at least 2.

    auc_z and auc_abs_z compare the candidate with one held-out reference on the same points, averaged over the choice
    of this reference. Both are scored with the other references only, so that neither is part of the ensemble.
    """
    z = z_scores(candidate, references, spread)
    areas, folded = [], []
    for k in range(len(references)):
        others = np.delete(references, k, axis=0)
        ours, theirs = z_scores(candidate, others, spread), z_scores(references[k], others, spread)
        areas.append(auc(ours, theirs).value or 0.0)
        folded.append(auc(np.abs(ours), np.abs(theirs)).value or 0.0)
    return {
        "mean_z": float(z.mean()),
        "mean_z2": float(np.square(z).mean()),
        "share_beyond": float((np.abs(z) > BEYOND).mean()),
        "auc_z": float(np.mean(areas)),
        "auc_abs_z": float(np.mean(folded)),
    }


def measure_left_out(references: np.ndarray, spread: float) -> list[dict[str, float]]:
    """Return the statistics of each reference relative to the others: the variation of retraining."""
    return [statistics(references[k], np.delete(references, k, axis=0), spread) for k in range(len(references))]
