"""The distance of a network from an ensemble of retrained networks, in units of the distances between those."""

import math

import numpy as np
from scipy.stats import f

from unlearn_cli.stats.margins import CONFIDENCE
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


def measure_permutation_p_values(candidate: np.ndarray, references: np.ndarray) -> dict[str, float]:
    """Return per statistic the share of all K + 1 networks that are at least as extreme as the candidate.

    Each network is compared with the K others. If the candidate is one more reference, all of them are exchangeable,
    whatever the correlation of the records is, so the probability of a share of at most p is at most p. With K
    references, the smallest possible share is 1 / (K + 1).
    """
    networks = np.vstack([candidate, references])
    sets = [np.delete(networks, k, axis=0) for k in range(len(networks))]
    measured = [statistics(networks[k], others, pooled_spread(others)) for k, others in enumerate(sets)]
    extremes = [{name: _measure_extremeness(name, value) for name, value in values.items()} for values in measured]
    return {
        name: float(np.mean([values[name] >= ours - 1e-12 for values in extremes]))
        for name, ours in extremes[0].items()
    }


def _measure_extremeness(name: str, value: float) -> float:
    """Return the distance from the expected value for statistics that reveal in both directions, else the value."""
    expected = {"mean_z": 0.0, "auc_z": 0.5}
    return abs(value - expected[name]) if name in expected else value


def predict_mean_square(references: np.ndarray) -> tuple[float, float]:
    """Return the 95 % prediction interval of mean z^2 of one more reference; references (K, n), K at least 3.

    For correlated normal records, mean z^2 is a sum of squares divided by K - 1 such sums: about an F distribution with
    v and v (K - 1) degrees of freedom, where v is the effective number of independent records (Satterthwaite 1946).
    """
    effective, count = measure_effective_number(references), len(references)
    low, high = f.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], effective, effective * (count - 1))
    return float(low), float(high)


def measure_effective_number(references: np.ndarray) -> float:
    """Return v = (tr S)^2 / tr S^2 of the covariance S (n, n) of the records over training; 1 if all move together.

    Of a covariance of K networks, that is at most K - 1, which is too low for independent records; an unbiased estimate
    of both traces (Bai & Saranadasa 1996) is too high in many draws. The result is the geometric mean of the two. With
    three references, it is the first, because the second has almost no information.
    """
    freedom, n = len(references) - 1, references.shape[1]
    deviations = references - references.mean(axis=0)
    gram = deviations @ deviations.T / freedom  # (K, K), with the traces of the covariance of n records
    square_of_trace, trace_of_square = float(np.trace(gram)) ** 2, float(np.square(gram).sum())
    plain = max(1.0, square_of_trace / trace_of_square)
    if freedom < 3:
        return plain
    squares = freedom**2 / ((freedom + 2) * (freedom - 1)) * (trace_of_square - square_of_trace / freedom)
    total = freedom / ((freedom + 2) * (freedom - 1)) * ((freedom + 1) * square_of_trace - 2 * trace_of_square)
    unbiased = min(max(total / squares, 1.0), float(n)) if squares > 0 else float(n)
    return math.sqrt(plain * unbiased)
