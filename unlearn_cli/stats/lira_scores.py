"""Likelihood-ratio scores over shadow runs (attacks.md A4, A5): each record has its own two distributions.

Targets and shadows are disjoint runs: with a target's own phi among its shadows the AUC of a retrained network is
biased (0.483 instead of 0.500).
"""

import numpy as np
from scipy.stats import norm

MIN_RUNS_PER_RECORD = 32  # runs per side from which on each record has its own variance; below, one is pooled


def folds(num_runs: int, count: int) -> list[np.ndarray]:
    """Return the runs in `count` disjoint parts; each is the target of the others once."""
    return [part for part in np.array_split(np.arange(num_runs), count) if len(part)]


def likelihood_ratios(members: np.ndarray, phi: np.ndarray, count: int = 4) -> np.ndarray:
    """Return log N(phi; IN) - log N(phi; OUT) of each run and record (K, n), NaN where a side has too few shadows.

    IN and OUT are fitted on the runs of the other folds in which the record was and was not a member. Two-sided: a
    record that is pushed below the level of never-seen records is recognised by that.
    """
    scores = np.full(phi.shape, np.nan)
    for targets in folds(len(phi), count):
        shadows = np.setdiff1d(np.arange(len(phi)), targets)
        mean_in, sd_in = fit_normals(members[shadows], phi[shadows])
        mean_out, sd_out = fit_normals(~members[shadows], phi[shadows])
        scores[targets] = norm.logpdf(phi[targets], mean_in, sd_in) - norm.logpdf(phi[targets], mean_out, sd_out)
    return scores


def one_sided(members: np.ndarray, phi: np.ndarray, count: int = 4) -> np.ndarray:
    """Return Phi((phi - mean_out) / sd_out), the offline score (K, n): it needs no run with the record in it."""
    scores = np.full(phi.shape, np.nan)
    for targets in folds(len(phi), count):
        shadows = np.setdiff1d(np.arange(len(phi)), targets)
        mean, spread = fit_normals(~members[shadows], phi[shadows])
        scores[targets] = norm.cdf(phi[targets], mean, spread)
    return scores


def fit_normals(chosen: np.ndarray, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (n,) of phi over the chosen runs of each record.

    With few runs the deviation is one for all records: the root of the mean squared residual about the records' means
    (residuals, not the spread over records, which is many times larger). NaN where a record has no run.
    """
    counts = chosen.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(chosen, phi, 0.0).sum(axis=0) / counts
        squares = np.where(chosen, np.square(phi - mean), 0.0).sum(axis=0)
        own = np.sqrt(squares / (counts - 1))
    freedom = int(np.maximum(counts - 1, 0).sum())
    pooled = np.sqrt(np.nansum(squares) / freedom) if freedom else np.nan
    spread = np.where(counts >= MIN_RUNS_PER_RECORD, own, pooled)
    return mean, np.maximum(spread, 1e-12)  # outputs that never vary: any difference then separates them
