"""The score of RMIA: the share of never-seen records with a lower likelihood ratio, relative to references."""

import numpy as np


def log_prior(log_p: np.ndarray, a: float) -> np.ndarray:
    """Return log P(x), P = ((1 + a) mean p_out + (1 - a)) / 2; log_p (K, n) are the references' log-probabilities.

    P approximates the mean over networks trained with and without x; `a` extrapolates the former from the latter.
    """
    largest = log_p.max(axis=0)  # subtracted first, so that probabilities that would underflow keep their ratios
    mean = largest + np.log(np.exp(log_p - largest).mean(axis=0))
    offset = np.log((1 - a) / 2) if a < 1 else -np.inf
    return np.logaddexp(np.log((1 + a) / 2) + mean, offset)


def rmia_scores(log_ratios: np.ndarray, population: np.ndarray, gamma: float) -> np.ndarray:
    """Return the share of the population z with r(x) / r(z) >= gamma; ties count 1/2. All are log r = log p / P."""
    ordered = np.sort(population)
    threshold = log_ratios - np.log(gamma)
    below = np.searchsorted(ordered, threshold, "left")
    up_to = np.searchsorted(ordered, threshold, "right")
    return (below + up_to) / 2 / len(ordered)
