"""Estimates with 95 % intervals: shares, means, and smooth functions of means."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, binomtest, norm, t

from unlearn_cli.stats.clusters import Clusters, explain_too_few, measure_effective_share, number_clusters
from unlearn_cli.stats.margins import CONFIDENCE
from unlearn_cli.stats.results import Estimate


def missing(reason: str, n: int = 0) -> Estimate:
    """Return an estimate without a value, with the reason."""
    return Estimate(value=None, n=n, reason=reason)


def proportion(hits: int, n: int) -> Estimate:
    """Return the share `hits / n` with its Wilson interval."""
    if n == 0:
        return missing("no records")
    low, high = binomtest(int(hits), n).proportion_ci(CONFIDENCE, method="wilson")
    # for 0 (or n) hits, rounding can put the Wilson bound slightly beyond the share
    share = hits / n
    return Estimate(value=share, n=n, low=min(float(low), share), high=max(float(high), share), interval="wilson")


def share(hits: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """Return the share of hits (n,) with its Wilson interval; for clusters, with their effective n."""
    if groups is None or len(hits) == 0:
        return proportion(int(hits.sum()), len(hits))
    clusters = number_clusters(groups)
    effective = measure_effective_share(hits.astype(np.float64), clusters)
    reason = explain_too_few(clusters)
    if reason:
        return without_interval(effective.value, len(hits), clusters, reason)
    bounds = wilson(effective.value, effective.n)
    estimate = bounded(effective.value, len(hits), bounds, "wilson, effective sample size of the clusters")
    return add_clusters(estimate, clusters, effective.design_effect)


def wilson(value: float, n: float) -> tuple[float, float]:
    """Return the Wilson interval of a share of n records; n need not be an integer."""
    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    centre, half = value + z**2 / (2 * n), z * math.sqrt(value * (1 - value) / n + z**2 / (4 * n**2))
    low, high = ((centre + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return max(0.0, min(low, value)), min(1.0, max(high, value))


def without_interval(value: float, n: int, clusters: Clusters, reason: str) -> Estimate:
    """Return a value without an interval, because there are too few clusters."""
    return Estimate(value=value, n=n, clusters=clusters.count, reason=reason)


def add_clusters(estimate: Estimate, clusters: Clusters, design_effect: float | None) -> Estimate:
    """Add to an estimate its number of clusters, their design effect and the degrees of freedom."""
    return estimate.model_copy(
        update={"clusters": clusters.count, "design_effect": design_effect, "degrees_of_freedom": clusters.freedom}
    )


def lower_bound(hits: ArrayLike, n: float, confidence: float = CONFIDENCE) -> np.ndarray:
    """Return the one-sided Clopper-Pearson lower bound of a share; hits may be an array and need not be integers."""
    hits = np.asarray(hits, dtype=np.float64)
    # the quantile is undefined for 0 hits, where the bound is 0
    return np.nan_to_num(beta.ppf(1 - confidence, hits, n - hits + 1), nan=0.0)


def upper_bound(hits: ArrayLike, n: float, confidence: float = CONFIDENCE) -> np.ndarray:
    """Return the one-sided Clopper-Pearson upper bound of a share; hits may be an array and need not be integers."""
    hits = np.asarray(hits, dtype=np.float64)
    return np.nan_to_num(beta.ppf(confidence, hits + 1, n - hits), nan=1.0)


def clopper_pearson(hits: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact two-sided interval of a share; each bound has an error probability of (1 - confidence) / 2."""
    one_sided = (1 + confidence) / 2
    return float(lower_bound(hits, n, one_sided)), float(upper_bound(hits, n, one_sided))


def mean(
    values: Sequence[float] | np.ndarray, *, at_least: float | None = None, groups: np.ndarray | None = None
) -> Estimate:
    """Return the mean with its t interval, which is truncated at `at_least`, the smallest possible value.

    `groups` (n,) are the clusters of the values, if they are clustered.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0:
        return missing("no records")
    with np.errstate(over="ignore", invalid="ignore"):
        average = float(values.mean())
        deviations = values - average
    return delta_method(average, deviations, interval="t", at_least=at_least, groups=groups)


def ratio(numerators: np.ndarray, denominators: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """Return the ratio R = mean(a) / mean(b) over the same records, with influence (a - R b) / mean(b)."""
    bottom = float(np.mean(denominators)) if len(denominators) else 0.0
    if bottom == 0:
        return missing("the denominator is zero", len(denominators))
    value = float(np.mean(numerators)) / bottom
    return delta_method(value, (numerators - value * denominators) / bottom, groups=groups)


def delta_method(
    value: float,
    influence: np.ndarray,
    *,
    interval: str = "delta method, t",
    at_least: float | None = None,
    groups: np.ndarray | None = None,
) -> Estimate:
    """Return an estimate from the influence of each record on it: standard error = SD(influence) / sqrt(n)."""
    n = len(influence)
    if not (math.isfinite(value) and np.isfinite(influence).all()):
        return missing("not finite: the outputs contain NaN, infinity or too large numbers", n)
    if groups is not None:
        return _clustered(value, influence, interval, at_least, number_clusters(groups))
    if n < 2:
        return Estimate(value=value, n=n)  # one record has no standard deviation, hence no interval
    with np.errstate(over="ignore"):
        half_width = t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(influence, ddof=1) / math.sqrt(n)
    return _symmetric(value, n, float(half_width), interval, at_least)


def _clustered(
    value: float, influence: np.ndarray, interval: str, at_least: float | None, clusters: Clusters
) -> Estimate:
    """Return an estimate with the standard error of the jackknife over clusters."""
    n, reason = len(influence), explain_too_few(clusters)
    if reason:
        return without_interval(value, n, clusters, reason)
    with np.errstate(over="ignore", invalid="ignore"):
        variance, independent = clusters.variance(influence), float(np.var(influence, ddof=1)) / n
        half_width = t.ppf((1 + CONFIDENCE) / 2, clusters.freedom) * math.sqrt(variance)
    estimate = _symmetric(value, n, float(half_width), f"{interval}, by cluster", at_least)
    return add_clusters(estimate, clusters, variance / independent if independent else None)


def _symmetric(value: float, n: int, half_width: float, interval: str, at_least: float | None) -> Estimate:
    if not math.isfinite(half_width):
        return missing("not finite: the numbers are too large", n)
    low = value - half_width if at_least is None else max(at_least, value - half_width)
    return Estimate(value=value, n=n, low=float(low), high=float(value + half_width), interval=interval)


def bounded(value: float, n: int, bounds: tuple[Any, Any], interval: str) -> Estimate:
    """Return an estimate from an interval that was computed elsewhere."""
    return Estimate(value=float(value), n=n, low=float(bounds[0]), high=float(bounds[1]), interval=interval)
