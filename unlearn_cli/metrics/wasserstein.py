"""Wasserstein-1 distance between the outputs' distribution over a split and a reference's, in the outputs' own unit.

    W1 = integral |F^-1 - G^-1|

of predictions (regression) or of the logit margin of the label (classification). Source: Tarun et al., arXiv
2210.08196, section 4; SciPy computes it. Needs a reference. Warning: it compares two heaps of numbers, not record with
record: predictions shuffled among the records have distance 0. Read `mean_absolute_difference` beside it.
"""

import math

import numpy as np
from scipy.stats import norm, t, wasserstein_distance

from unlearn_cli.stats.cluster_variance import Clusters, clusters_of, too_few
from unlearn_cli.stats.intervals import CONFIDENCE, bounded, missing, unsure
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.signals import phi

SUMMARY = "W1 between outputs and the reference's"
DISTANCE = True  # from a reference, so that a noise floor exists

RESAMPLES = 500
BLOCKS = 512  # of records that are drawn together, and values at which distributions are compared: memory is bounded
HOW = f"bootstrap of records, {RESAMPLES} resamples, directional derivative"


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
        return missing("not finite: the outputs hold NaN or infinity", n)
    value = float(wasserstein_distance(ours, theirs))
    if outputs.groups is None:
        return Estimate(value=value, n=n) if n < 2 else _interval(value, ours, theirs, _blocks(ours, theirs), HOW)
    clusters = clusters_of(outputs.groups)
    reason = too_few(clusters)
    if reason:
        return unsure(value, n, clusters, reason)
    found = _interval(value, ours, theirs, _merged(clusters), HOW.replace("records", "clusters"))
    return found.model_copy(update={"clusters": clusters.count})


def _blocks(ours: np.ndarray, theirs: np.ndarray) -> Clusters:
    """Return each record as a block, or many records at random in a fixed number of blocks, whatever their order."""
    codes = np.empty(len(ours), dtype=np.int64)
    codes[np.lexsort((theirs, ours))] = np.random.default_rng(len(ours)).permutation(len(ours)) % BLOCKS
    return clusters_of(codes)


def _merged(clusters: Clusters) -> Clusters:
    """Return whole clusters, many of them together in a fixed number of blocks."""
    return clusters_of(np.random.default_rng(clusters.count).permutation(clusters.count)[clusters.codes] % BLOCKS)


def _interval(value: float, ours: np.ndarray, theirs: np.ndarray, blocks: Clusters, how: str) -> Estimate:
    """Return value - quantiles of what resampling changes, widened for the few blocks that it knows."""
    n, count = len(ours), blocks.count
    grid = _grid(ours, theirs)
    apart = _counts(ours, grid, blocks) - _counts(theirs, grid, blocks)  # (blocks, values): n (F - G) of each block
    difference = apart.sum(axis=0) / n
    errors = np.sqrt(np.square(apart - blocks.sizes[:, None] * difference).sum(axis=0)) / n
    draws = np.random.default_rng(n).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
    changes = draws @ apart / (draws @ blocks.sizes)[:, None] - difference
    far = np.abs(difference) > math.sqrt(math.log(max(count, 3))) * errors
    steps, signed = np.diff(grid, append=grid[-1]), np.sign(difference) * changes
    # W1 is convex: its change is at least the signed one, and at most that with absolute values where F and G are near
    least, most = signed @ steps, np.where(far, signed, np.abs(changes)) @ steps
    one_sided = (1 + CONFIDENCE) / 2
    wider = float(t.ppf(one_sided, blocks.freedom) / norm.ppf(one_sided)) * math.sqrt(count / (count - 1))
    low, high = value - wider * np.quantile(most, one_sided), value - wider * np.quantile(least, 1 - one_sided)
    return bounded(value, n, (max(0.0, min(low, value)), max(high, value)), how)


def _grid(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the values at which the distribution functions are compared: all there are, or quantiles of these."""
    values = np.unique(np.concatenate([ours, theirs]))
    if len(values) <= BLOCKS:
        return values
    return values[np.linspace(0, len(values) - 1, BLOCKS).round().astype(np.int64)]


def _counts(values: np.ndarray, grid: np.ndarray, blocks: Clusters) -> np.ndarray:
    """Return how many values (blocks, grid) of each block are at most as large as each point of the grid."""
    places = blocks.codes * len(grid) + np.searchsorted(grid, values)
    cells = np.bincount(places, minlength=blocks.count * len(grid)).reshape(blocks.count, len(grid))
    return cells.cumsum(axis=1, dtype=np.float64)
