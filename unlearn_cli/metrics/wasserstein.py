"""Wasserstein-1 distance between the outputs' distribution over a split and a reference's, in the outputs' own unit.

    W1 = integral |F^-1 - G^-1|

of predictions (regression) or of the logit margin of the label (classification). Source: Tarun et al., arXiv
2210.08196, section 4; SciPy computes it. Needs a reference. Warning: it compares two heaps of numbers, not record with
record: predictions shuffled among the records have distance 0. Read `mean_absolute_difference` beside it.
"""

import numpy as np
from scipy.stats import wasserstein_distance

from unlearn_cli.outputs import Outputs
from unlearn_cli.report import Estimate
from unlearn_cli.stats.intervals import bounded, missing
from unlearn_cli.stats.signals import phi

REPEATS = 200


def wasserstein(outputs: Outputs, reference_outputs: Outputs) -> Estimate:
    """Return W1 with a bootstrap interval (pairs of records resampled, 200 times), cut at the value itself below.

    Approximate: it covers 80 to 90 % where the two are equal. A resample is further from another than the whole sets
    are, so the plain percentiles lie too high: the interval is the basic one, 2 W1 - percentile.
    """
    n = len(outputs)
    if n == 0:
        return missing("no records")
    ours, theirs = phi(outputs), phi(reference_outputs)
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return missing("not finite: the outputs hold NaN or infinity", n)
    value = float(wasserstein_distance(ours, theirs))
    if n < 2:
        return Estimate(value=value, n=n)
    again = _resampled(ours, theirs)
    low, high = 2 * value - np.quantile(again, [0.975, 0.025])
    return bounded(value, n, (max(0.0, min(low, value)), max(high, value)), "basic bootstrap, 200 resamples")


def _resampled(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return W1 of resampled pairs: of equally many numbers it is the mean difference of the sorted ones."""
    n, random = len(ours), np.random.default_rng(len(ours))
    gaps = np.abs(np.sort(ours) - np.sort(theirs))
    counts = (np.bincount(random.integers(0, n, n), minlength=n) for _ in range(REPEATS))
    return np.array([np.repeat(gaps, count).mean() for count in counts])
