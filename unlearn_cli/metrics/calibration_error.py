"""Expected calibration error: how far the confidence of the named class lies from how often it is right.

    ECE = sum_b n_b / n * |accuracy_b - confidence_b|     over equal bins of the confidence on [0, 1]

Source: Naeini et al. 2015; Guo et al. 2017 (15 bins). Warning: biased upwards in small splits (each bin's noise counts
as an error), so compare splits of like size, and forget with a reference.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated

import numpy as np
from pydantic import PositiveInt
from scipy.special import log_softmax

from unlearn_cli.plugins.types import Doc
from unlearn_cli.stats.by_record import all_finite, by_record
from unlearn_cli.stats.cluster_variance import Clusters, clusters_of, too_few
from unlearn_cli.stats.intervals import bounded, missing, unsure
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "confidence against how often it is right (ECE)"
TASK = "classification"
REPEATS = 200
CHUNK = 2**16  # records at a time
Part = tuple[np.ndarray, np.ndarray]  # of some records: their bins, and right - confidence


def calibration_error(
    outputs: Outputs, *, bins: Annotated[PositiveInt, Doc("bins of equal width of the confidence")] = 15
) -> Estimate:
    """Return the ECE with a percentile bootstrap interval (200 resamples), widened to hold the value.

    It reaches down to 0 where a calibrated network would show as large an error by chance: resampling alone never does.
    """
    n = len(outputs)
    if n == 0:
        return missing("no records")
    if not all_finite(outputs.values):
        return missing("not finite: the outputs hold NaN or infinity", n)
    confidence = by_record(lambda logits: np.exp(log_softmax(logits, axis=1)).max(axis=1), outputs.values)
    gaps = (outputs.values.argmax(axis=1) == outputs.labels) - confidence
    # (0, 1/bins], (1/bins, 2/bins], ...: a confidence of exactly 1 lies in the last bin
    places = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(np.min_scalar_type(bins - 1))
    value = _error(((places, gaps),), bins, n)
    if n < 2:
        return Estimate(value=value, n=n)
    if outputs.groups is not None:
        return _clustered(value, places, gaps, bins, clusters_of(outputs.groups))
    random = np.random.default_rng(n)
    again = [_error(_resampled(places, gaps, random), bins, n) for _ in range(REPEATS)]
    low, high = np.quantile(again, [0.025, 0.975])
    # were it calibrated, would so large an error be a surprise? if not, 0 belongs to it (Broecker & Smith 2007)
    by_chance = [_error(_calibrated(places, confidence, random), bins, n) for _ in range(REPEATS)]
    low = 0.0 if value <= np.quantile(by_chance, 0.975) else low
    return bounded(value, n, (min(low, value), max(high, value)), "percentile bootstrap, 200 resamples")


def _clustered(value: float, places: np.ndarray, gaps: np.ndarray, bins: int, clusters: Clusters) -> Estimate:
    """Return the interval of a bootstrap that draws clusters; by chance, a cluster's errors have either sign."""
    n, reason = len(places), too_few(clusters)
    if reason:
        return unsure(value, n, clusters, reason)
    sums = np.stack([clusters.totals(np.where(places == place, gaps, 0.0)) for place in range(bins)], axis=1)
    counts = np.stack([clusters.totals((places == place).astype(np.float64)) for place in range(bins)], axis=1)
    centred = sums - counts * (sums.sum(axis=0) / np.maximum(counts.sum(axis=0), 1.0))
    random = np.random.default_rng(n)
    picks = (random.integers(0, clusters.count, clusters.count) for _ in range(REPEATS))
    again = [float(np.abs(sums[pick].sum(axis=0)).sum() / clusters.sizes[pick].sum()) for pick in picks]
    signs = (random.integers(0, 2, clusters.count) * 2.0 - 1.0 for _ in range(REPEATS))
    by_chance = [float(np.abs(sign @ centred).sum() / n) for sign in signs]
    low, high = np.quantile(again, [0.025, 0.975])
    low = 0.0 if value <= np.quantile(by_chance, 0.975) else low
    found = bounded(value, n, (min(low, value), max(high, value)), "percentile bootstrap of clusters, 200 resamples")
    return found.model_copy(update={"clusters": clusters.count})


def _error(parts: Iterable[Part], bins: int, n: int) -> float:
    """Return sum_b |sum of (right - confidence) in the bin| / n, which is the formula above."""
    sums = np.zeros(bins)
    for places, gaps in parts:
        np.add.at(sums, places, gaps)
    return float(np.abs(sums).sum() / n)


def _resampled(places: np.ndarray, gaps: np.ndarray, random: np.random.Generator) -> Iterator[Part]:
    """Draw as many records as there are, with replacement, some at a time."""
    n = len(places)
    for start in range(0, n, CHUNK):
        picks = random.integers(0, n, min(CHUNK, n - start))
        yield places[picks], gaps[picks]


def _calibrated(places: np.ndarray, confidence: np.ndarray, random: np.random.Generator) -> Iterator[Part]:
    """Draw which records would be right, were the confidences the chances of it."""
    for start in range(0, len(places), CHUNK):
        chances = confidence[start : start + CHUNK]
        yield places[start : start + CHUNK], (random.random(len(chances)) < chances) - chances
