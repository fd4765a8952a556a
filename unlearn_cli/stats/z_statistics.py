"""How far a network lies from an ensemble of retrained ones, in units of how far those lie apart (attacks.md A5b)."""

import math

import numpy as np

from unlearn_cli.stats.roc import auc

BEYOND = 2.576  # of a standard normal, 1 % lies further out


def pooled_spread(references: np.ndarray) -> float:
    """Return s: the root of the mean over points of the variance over K references; references (K, n), K at least 2.

    One number for all points, because K is small: a standard deviation of four numbers is very uncertain. It is taken
    over all references, also where one of them is left out of the mean, for which it stays unbiased.
    """
    return math.sqrt(float(references.var(axis=0, ddof=1).mean()))


def z_scores(candidate: np.ndarray, references: np.ndarray, spread: float) -> np.ndarray:
    """Return z_i = (x_i - mean_k) / (s sqrt(1 + 1/K)); the factor is that of a prediction: the mean is estimated too.

    candidate (n,), references (K, n), K at least 1.
    """
    return (candidate - references.mean(axis=0)) / (spread * math.sqrt(1 + 1 / len(references)))


def statistics(candidate: np.ndarray, references: np.ndarray, spread: float) -> dict[str, float]:
    """Return the statistics of a candidate relative to K references, K at least 2.

    auc_z and auc_abs_z compare the candidate with one held-out reference on the same points, averaged over the choice
    of that reference; both are scored by the other references only, so that neither is part of the yardstick.
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


def leave_one_out(references: np.ndarray, spread: float) -> list[dict[str, float]]:
    """Return the statistics of each reference as the candidate of the others: the spread of retraining itself."""
    return [statistics(references[k], np.delete(references, k, axis=0), spread) for k in range(len(references))]
