"""Expected calibration error: how far the confidence of the named class lies from how often it is right.

    ECE = sum_b n_b / n * |accuracy_b - confidence_b|     over equal bins of the confidence on [0, 1]

Source: Naeini et al. 2015; Guo et al. 2017 (15 bins). Warning: biased upwards in small splits (each bin's noise counts
as an error), so compare splits of like size, and forget with a reference.
"""

import numpy as np
from pydantic import PositiveInt
from scipy.special import log_softmax

from unlearn_cli.outputs import Outputs
from unlearn_cli.report import Estimate
from unlearn_cli.stats.intervals import bounded, missing

TASK = "classification"
REPEATS = 200


def calibration_error(outputs: Outputs, *, bins: PositiveInt = 15) -> Estimate:
    """Return the ECE with a percentile bootstrap interval (200 resamples), widened to hold the value.

    It reaches down to 0 where a calibrated network would show as large an error by chance: resampling alone never does.
    """
    n = len(outputs)
    if n == 0:
        return missing("no records")
    if not np.isfinite(outputs.values).all():
        return missing("not finite: the outputs hold NaN or infinity", n)
    confidence = np.exp(log_softmax(outputs.values, axis=1)).max(axis=1)
    right = (outputs.values.argmax(axis=1) == outputs.labels).astype(np.float64)
    # (0, 1/bins], (1/bins, 2/bins], ...: a confidence of exactly 1 lies in the last bin
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    value = _error(places, right - confidence, bins)
    if n < 2:
        return Estimate(value=value, n=n)
    random = np.random.default_rng(n)
    picks = (random.integers(0, n, n) for _ in range(REPEATS))  # one at a time: together they outweigh the data
    again = [_error(places[pick], (right - confidence)[pick], bins) for pick in picks]
    low, high = np.quantile(again, [0.025, 0.975])
    # were it calibrated, would so large an error be a surprise? if not, 0 belongs to it (Broecker & Smith 2007)
    by_chance = [_error(places, (random.random(n) < confidence) - confidence, bins) for _ in range(REPEATS)]
    low = 0.0 if value <= np.quantile(by_chance, 0.975) else low
    return bounded(value, n, (min(low, value), max(high, value)), "percentile bootstrap, 200 resamples")


def _error(places: np.ndarray, gaps: np.ndarray, bins: int) -> float:
    """Return sum_b |sum of (right - confidence) in the bin| / n, which is the formula above."""
    return float(np.abs(np.bincount(places, weights=gaps, minlength=bins)).sum() / len(gaps))
