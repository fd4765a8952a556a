"""The measures of the benchmark: a network against retrained references. NumPy and SciPy only."""

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp, softmax
from scipy.stats import rankdata, wasserstein_distance

Arrays = Sequence[np.ndarray]


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy in per cent of logits (n, K)."""
    return 100 * float(np.mean(logits.argmax(axis=1) == labels))


def mean_error(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean absolute error of predictions (n,)."""
    return float(np.abs(predictions - labels).mean())


def tug_of_war(subject: dict[str, float], references: Sequence[dict[str, float]]) -> float:
    """Return ToW = prod_s (1 - |a_s - mean_k a_s(k)|) over splits s, with accuracies a in per cent.

    Source: Zhao et al. 2024, arXiv 2406.01257. 1: equal to the references on every split.
    """
    gaps = [subject[name] - np.mean([other[name] for other in references]) for name in subject]
    return float(np.prod(1 - np.abs(gaps) / 100))


def margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return phi = z_y - logsumexp_{k != y} z_k of each record (n,)."""
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    return logits[rows, labels] - logsumexp(others, axis=1)


def z_scores(subject: np.ndarray, references: Arrays) -> np.ndarray:
    """Return how far a signal (n,) is from those of K references, in predicted standard deviations.

        z_i = (s_i - mean_k s_ik) / sqrt(v_i (1 + 1 / K)),  v_i = (var_k s_ik + mean_j var_k s_jk) / 2

    Half of each variance is that of all records, because K is small.
    """
    stacked = np.stack(references)  # (K, n)
    variances = stacked.var(axis=0, ddof=1)
    variances = (variances + variances.mean()) / 2
    return (subject - stacked.mean(axis=0)) / np.sqrt(variances * (1 + 1 / len(stacked)))


def auc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Return the probability that a positive score exceeds a negative one; ties count half."""
    ranks = rankdata(np.concatenate([positives, negatives]))
    n, m = len(positives), len(negatives)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """Return the mean over records of the total variation between distributions (n, K)."""
    return float(np.abs(p - q).sum(axis=1).mean() / 2)


def distribute(logits: np.ndarray, lost: Sequence[int] = ()) -> np.ndarray:
    """Return the softmax over the classes that are not lost."""
    return softmax(np.delete(logits, lost, axis=1), axis=1)


def distance_to_mean(subject: np.ndarray, references: Arrays) -> float:
    """Return the total variation between distributions and the mean of the references'."""
    return total_variation(subject, np.mean(references, axis=0))


def mean_distance(subject: np.ndarray, references: Arrays) -> float:
    """Return the mean Wasserstein-1 distance between predictions (n,) and those of each reference."""
    return float(np.mean([wasserstein_distance(subject, other) for other in references]))
