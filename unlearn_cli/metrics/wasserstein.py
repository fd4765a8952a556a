"""Wasserstein-1 distance between the outputs' distribution over a split and a reference's, in the outputs' own unit.

    W1 = integral |F^-1 - G^-1|

of predictions (regression) or of the logit margin of the label (classification). Source: Tarun et al., arXiv
2210.08196, section 4; SciPy computes it. Needs a reference. Warning: it compares two sets of numbers, not record
with record: predictions shuffled among the records have distance 0. Read it with `mean_absolute_difference`.
"""

import math

import numpy as np
from scipy.stats import norm, t, wasserstein_distance

from unlearn_cli.stats.bootstrap import MAX_BLOCKS, RESAMPLES, blocks_of_clusters, blocks_of_records, resample_means
from unlearn_cli.stats.clusters import Clusters, explain_too_few, number_clusters
from unlearn_cli.stats.intervals import bounded, missing, without_interval
from unlearn_cli.stats.margins import CONFIDENCE
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.signals import phi

SUMMARY = "W1 distance of the outputs from the reference's"
TASK = ("classification", "regression", "multilabel")
DISTANCE = True  # from a reference, so that a noise floor exists

MAX_VALUES = MAX_BLOCKS  # at which distributions are compared: memory is bounded
INTERVAL = f"bootstrap of records, {RESAMPLES} resamples, directional derivative"


def wasserstein(outputs: Outputs, reference_outputs: Outputs) -> Estimate:
    """Return W1 with a bootstrap interval: records are drawn with both of their outputs, or clusters with all records.

    W1 of two samples is too large where the distributions are equal, or nearly: there |F - G| has no derivative, and a
    plain bootstrap errs. What is resampled is its directional derivative (Fang & Santos 2019, Econometrica 87): the
    change of F - G counts with its sign where F and G are surely apart, and with its absolute value elsewhere. So the
    lower end reaches down to 0 where the two may be equal; the upper one takes all changes with their sign.
    """
    n = len(outputs)
    if n == 0:
        return missing("no records")
    ours, theirs = phi(outputs), phi(reference_outputs)
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return missing("not finite: the outputs contain NaN or infinity", n)
    value = float(wasserstein_distance(ours, theirs))
    if outputs.groups is None:
        if n < 2:
            return Estimate(value=value, n=n)
        return _with_interval(value, ours, theirs, blocks_of_records(theirs, ours), INTERVAL)
    clusters = number_clusters(outputs.groups)
    reason = explain_too_few(clusters)
    if reason:
        return without_interval(value, n, clusters, reason)
    estimate = _with_interval(
        value, ours, theirs, blocks_of_clusters(clusters), INTERVAL.replace("records", "clusters")
    )
    return estimate.model_copy(update={"clusters": clusters.count})


def _with_interval(value: float, ours: np.ndarray, theirs: np.ndarray, blocks: Clusters, interval: str) -> Estimate:
    """Return the estimate with value - quantiles of the resampled changes, widened for a small number of blocks."""
    n, count = len(ours), blocks.count
    grid = _grid(ours, theirs)
    apart = _counts(ours, grid, blocks) - _counts(theirs, grid, blocks)  # (blocks, values): n (F - G) of each block
    difference = apart.sum(axis=0) / n
    errors = np.sqrt(np.square(apart - blocks.sizes[:, None] * difference).sum(axis=0)) / n
    changes = resample_means(apart, blocks) - difference
    far = np.abs(difference) > math.sqrt(math.log(max(count, 3))) * errors
    steps, signed = np.diff(grid, append=grid[-1]), np.sign(difference) * changes
    # W1 is convex: its change is at least the signed one, and at most that with absolute values where F and G are near
    smallest, largest = signed @ steps, np.where(far, signed, np.abs(changes)) @ steps
    one_sided = (1 + CONFIDENCE) / 2
    wider = float(t.ppf(one_sided, blocks.freedom) / norm.ppf(one_sided)) * math.sqrt(count / (count - 1))
    low, high = value - wider * np.quantile(largest, one_sided), value - wider * np.quantile(smallest, 1 - one_sided)
    return bounded(value, n, (max(0.0, min(low, value)), max(high, value)), interval)


def _grid(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the values at which the distribution functions are compared: all values, or quantiles of many."""
    values = np.unique(np.concatenate([ours, theirs]))
    if len(values) <= MAX_VALUES:
        return values
    return values[np.linspace(0, len(values) - 1, MAX_VALUES).round().astype(np.int64)]


def _counts(values: np.ndarray, grid: np.ndarray, blocks: Clusters) -> np.ndarray:
    """Return how many values (blocks, grid) of each block are at most as large as each point of the grid."""
    cell_of_record = blocks.codes * len(grid) + np.searchsorted(grid, values)
    cells = np.bincount(cell_of_record, minlength=blocks.count * len(grid)).reshape(blocks.count, len(grid))
    return cells.cumsum(axis=1, dtype=np.float64)
