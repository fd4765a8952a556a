"""Medians, means of the largest values, and quantiles of a number over records, with intervals that keep clusters."""

from collections.abc import Sequence

import numpy as np

from unlearn_cli.stats.clusters import number_clusters
from unlearn_cli.stats.intervals import bounded, delta_method, missing, share, without_interval
from unlearn_cli.stats.results import Distribution, Estimate

MIN_FOR_MEDIAN = 6  # values; with fewer, even the range of all values contains the median in less than 95 % of cases
MIN_IN_TAIL = 5  # values; the variation of fewer is unknown
LEVELS = tuple(round(level, 3) for level in (0.01, *np.linspace(0.025, 0.975, 39), 0.99))  # of quantiles for a picture


def median(values: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """Return the median of values (n,) with the interval of Woodruff (1952).

    The interval of the share of values up to the median, by cluster if there are `groups` (n,), gives two shares near
    1/2; the interval of the median has the quantiles at these shares.
    """
    n = len(values)
    if n == 0:
        return missing("no records")
    value = float(np.median(values))
    if n < MIN_FOR_MEDIAN:
        return Estimate(value=value, n=n, reason=f"no interval: {n} records are too few")
    half = share(values <= value, groups)
    if half.low is None or half.high is None:
        return half.model_copy(update={"value": value})
    bounds = np.quantile(values, half.low, method="lower"), np.quantile(values, half.high, method="higher")
    how = "woodruff" if groups is None else "woodruff, by cluster"
    return bounded(value, n, bounds, how).model_copy(
        update={"clusters": half.clusters, "design_effect": half.design_effect}
    )


def tail_mean(values: Sequence[np.ndarray], tail: float, groups: np.ndarray | None = None) -> Estimate:
    """Return the mean of the largest values, a share `tail` of all, averaged over several sets of values (n,)."""
    n = len(values[0]) if values else 0
    if n == 0:
        return missing("no records")
    parts = [_measure_tail(part, _count_tail(n, tail)) for part in values]
    value = float(np.mean([mean for mean, _ in parts]))
    influence = np.mean([of_records for _, of_records in parts], axis=0)
    if _count_tail(n, tail) < MIN_IN_TAIL:
        reason = f"no interval: the largest {tail:.0%} of {n} records are too few"
        return Estimate(value=value, n=n, reason=reason) if groups is None else _with_reason(value, n, groups, reason)
    return delta_method(value, influence, interval="t", at_least=0.0, groups=groups)


def _with_reason(value: float, n: int, groups: np.ndarray, reason: str) -> Estimate:
    return without_interval(value, n, number_clusters(groups), reason)


def _count_tail(n: int, tail: float) -> int:
    return max(1, round(tail * n))


def _measure_tail(values: np.ndarray, count: int) -> tuple[float, np.ndarray]:
    """Return the mean of the `count` largest values, and the influence of each record on it (n,)."""
    threshold = np.sort(values)[len(values) - count]
    excess = np.maximum(values - threshold, 0.0) * len(values) / count
    return float(threshold + excess.mean()), excess - excess.mean()


def describe_distribution(quantity: str, series: str, values: np.ndarray) -> list[Distribution]:
    """Return the quantiles of values (n,) over records, as a list that is empty without records."""
    if not len(values):
        return []
    quantiles = np.quantile(values, LEVELS).tolist()
    return [Distribution(quantity=quantity, series=series, n=len(values), levels=list(LEVELS), values=quantiles)]
