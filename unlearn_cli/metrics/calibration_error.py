"""Expected calibration error: the mean gap between the confidence in the predicted class and the accuracy.

    ECE = sum_b n_b / n * |accuracy_b - confidence_b|     over equal bins of the confidence on [0, 1]

Source: Naeini et al. 2015; Guo et al. 2017 (15 bins). Warning: biased upwards in small splits (each bin's noise counts
as an error), so compare splits of similar size, and forget with a reference.
"""

from typing import Annotated

import numpy as np
from pydantic import PositiveInt
from scipy.special import log_softmax

from unlearn_cli.plugins.types import Doc
from unlearn_cli.stats.bootstrap import RESAMPLES, blocks_of_clusters, blocks_of_records, resample_means
from unlearn_cli.stats.by_record import all_finite, by_record
from unlearn_cli.stats.clusters import Clusters, explain_too_few, number_clusters
from unlearn_cli.stats.intervals import bounded, missing, without_interval
from unlearn_cli.stats.margins import CONFIDENCE
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "gap between confidence and accuracy (ECE)"
TASK = "classification"
NULL_DRAWS = 200  # of the error of a calibrated network
CHUNK = 2**16  # records at a time


def calibration_error(
    outputs: Outputs, *, bins: Annotated[PositiveInt, Doc("bins of equal width of the confidence")] = 15
) -> Estimate:
    """Return the ECE with a bootstrap interval: q is the 97.5 % quantile of resampled errors.

        [2 ECE - q, q],   widened to hold the value, cut at 0

    Resampling adds the noise of each bin a second time, so resampled errors lie above the ECE as the ECE lies above the
    error of the whole population: q bounds it from above, and the lower bound mirrors q (basic bootstrap). The lower
    bound is 0 where a calibrated network would have as large an error by chance; resampling never reaches 0 by itself
    (Broecker & Smith 2007).
    """
    n = len(outputs)
    if n == 0:
        return missing("no records")
    if not all_finite(outputs.values):
        return missing("not finite: the outputs contain NaN or infinity", n)
    confidence = by_record(lambda logits: np.exp(log_softmax(logits, axis=1)).max(axis=1), outputs.values)
    gaps = (outputs.values.argmax(axis=1) == outputs.labels) - confidence
    # (0, 1/bins], (1/bins, 2/bins], ...: a confidence of exactly 1 is in the last bin
    bin_of_record = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(np.min_scalar_type(bins - 1))
    value = float(np.abs(np.bincount(bin_of_record, gaps, minlength=bins)).sum() / n)
    by_chance = _find_upper_bound(_simulate_records(bin_of_record, confidence, bins))
    if outputs.groups is not None:
        clusters = number_clusters(outputs.groups)
        reason = explain_too_few(clusters)
        if reason:
            return without_interval(value, n, clusters, reason)
        blocks = blocks_of_clusters(clusters)
        # deviations between few clusters miss rare errors; independent records miss what clusters have in common
        chance = max(by_chance, _find_upper_bound(_simulate_clusters(bin_of_record, gaps, bins, clusters)))
        estimate = _make_estimate(value, _sum_by_bin(bin_of_record, gaps, bins, blocks), blocks, chance, "clusters")
        return estimate.model_copy(update={"clusters": clusters.count})
    if n < 2:
        return Estimate(value=value, n=n)
    blocks = blocks_of_records(gaps, confidence)
    return _make_estimate(value, _sum_by_bin(bin_of_record, gaps, bins, blocks), blocks, by_chance, "records")


def _sum_by_bin(bin_of_record: np.ndarray, values: np.ndarray, bins: int, clusters: Clusters) -> np.ndarray:
    """Return the sum (clusters, bins) of the values of each cluster's records in each bin."""
    cell = clusters.codes * bins + bin_of_record
    return np.bincount(cell, values, minlength=clusters.count * bins).reshape(clusters.count, bins)


def _make_estimate(value: float, sums: np.ndarray, blocks: Clusters, by_chance: float, units: str) -> Estimate:
    """Return the value with the interval from resampled blocks; `by_chance`: what calibrated networks reach."""
    high = max(value, _find_upper_bound(np.abs(resample_means(sums, blocks)).sum(axis=1)))
    low = 0.0 if value <= by_chance else max(0.0, 2 * value - high)
    interval = f"bootstrap of {units}, {RESAMPLES} resamples: basic lower, percentile upper bound"
    return bounded(value, len(blocks.codes), (low, high), interval)


def _find_upper_bound(errors: np.ndarray) -> float:
    """Return the upper quantile of a two-sided interval."""
    return float(np.quantile(errors, (1 + CONFIDENCE) / 2))


def _simulate_records(bin_of_record: np.ndarray, confidence: np.ndarray, bins: int) -> np.ndarray:
    """Return errors of networks whose confidences are the probabilities of being right."""
    n = len(confidence)
    order = np.lexsort((bin_of_record, confidence))  # the order of the records must not matter
    random, errors = np.random.default_rng(n), np.empty(NULL_DRAWS)
    for draw in range(NULL_DRAWS):
        sums = np.zeros(bins)
        for start in range(0, n, CHUNK):
            rows = order[start : start + CHUNK]
            gaps = (random.random(len(rows)) < confidence[rows]) - confidence[rows]
            np.add.at(sums, bin_of_record[rows], gaps)  # in order: the chunks must not change the last digit
        errors[draw] = np.abs(sums).sum() / n
    return errors


def _simulate_clusters(bin_of_record: np.ndarray, gaps: np.ndarray, bins: int, clusters: Clusters) -> np.ndarray:
    """Return errors of calibrated networks, where each cluster's deviation from the mean gap has a random sign.

    A deviation is measured from a mean that the cluster is part of, which makes it too small: m clusters in a bin
    give them the factor sqrt(m / (m - 1)). The gap of a cluster that is the only one in its bin is its deviation.
    """
    sums = _sum_by_bin(bin_of_record, gaps, bins, clusters)
    counts = _sum_by_bin(bin_of_record, np.ones(len(gaps)), bins, clusters)
    several = np.count_nonzero(counts, axis=0)
    means = np.where(several > 1, sums.sum(axis=0) / np.maximum(counts.sum(axis=0), 1.0), 0.0)
    factor = np.sqrt(several / np.maximum(several - 1, 1))
    random = np.random.default_rng(len(gaps))
    signs = random.integers(0, 2, (NULL_DRAWS, clusters.count)) * 2.0 - 1.0
    return np.abs(signs @ ((sums - counts * means) * factor)).sum(axis=1) / len(gaps)
