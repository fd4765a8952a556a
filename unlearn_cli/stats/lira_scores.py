"""Likelihood-ratio scores over shadow runs; two distributions are fitted for each record.

Targets and shadows are disjoint runs: with a target's own phi among its shadows, the AUC of a retrained network would
be biased (0.483 instead of 0.500).
"""

import numpy as np
from scipy.stats import norm

MIN_RUNS_PER_RECORD = 32  # runs per side for a variance per record; with fewer runs, the variance is pooled


def folds(num_runs: int, count: int) -> list[np.ndarray]:
    """Divide the runs into `count` disjoint parts; each part is once the target of the others."""
    return [part for part in np.array_split(np.arange(num_runs), count) if len(part)]


def likelihood_ratios(members: np.ndarray, phi: np.ndarray, count: int = 4) -> np.ndarray:
    """Return log N(phi; IN) - log N(phi; OUT) of each run and record (K, n), NaN if a side has too few shadows.

    IN and OUT are fitted on the runs of the other folds in which the record was, and was not, a member. The score is
    two-sided: it also recognises a record whose phi is below that of never-seen records.
    """
    scores = np.full(phi.shape, np.nan)
    for targets in folds(len(phi), count):
        shadows = np.setdiff1d(np.arange(len(phi)), targets)
        mean_in, sd_in = fit_normals(members[shadows], phi[shadows])
        mean_out, sd_out = fit_normals(~members[shadows], phi[shadows])
        scores[targets] = norm.logpdf(phi[targets], mean_in, sd_in) - norm.logpdf(phi[targets], mean_out, sd_out)
    return scores


def one_sided(members: np.ndarray, phi: np.ndarray, count: int = 4) -> np.ndarray:
    """Return Phi((phi - mean_out) / sd_out), the offline score (K, n), which needs no run that includes the record."""
    scores = np.full(phi.shape, np.nan)
    for targets in folds(len(phi), count):
        shadows = np.setdiff1d(np.arange(len(phi)), targets)
        mean, spread = fit_normals(~members[shadows], phi[shadows])
        scores[targets] = norm.cdf(phi[targets], mean, spread)
    return scores


def fit_normals(chosen: np.ndarray, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (n,) of phi over the chosen runs of each record.

    With few runs, one deviation is used for all records: the root of the mean squared residual about the records' means
    (residuals, because the deviation between records is many times larger). NaN if a record has no run.
    """
    counts = chosen.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(chosen, phi, 0.0).sum(axis=0) / counts
        squares = np.where(chosen, np.square(phi - mean), 0.0).sum(axis=0)
        own = np.sqrt(squares / (counts - 1))
    freedom = int(np.maximum(counts - 1, 0).sum())
    pooled = np.sqrt(np.nansum(squares) / freedom) if freedom else np.nan
    spread = np.where(counts >= MIN_RUNS_PER_RECORD, own, pooled)
    return mean, np.maximum(spread, 1e-12)  # for constant outputs, any difference separates them
