"""Several references: one retraining is a sample, so a number is judged by how much retrainings differ (2.1, 2.2)."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from unlearn_cli.stats.intervals import CONFIDENCE
from unlearn_cli.stats.results import Comparison, Estimate


def over_references(estimates: Sequence[Estimate]) -> Estimate:
    """Average what was measured beside each reference.

    The width of the interval, on each side, is the larger of two: a t interval over the references, and the mean of the
    single ones. The first does not see that the records are a sample, the second not that a reference is one.
    """
    bad = next((estimate for estimate in estimates if estimate.value is None), None)
    if bad is not None:
        return bad
    values = np.array([estimate.value for estimate in estimates], dtype=np.float64)
    runs, first = len(values), estimates[0]
    if runs == 1:
        return first.model_copy(update={"runs": 1})
    value, sd = float(values.mean()), float(values.std(ddof=1))
    over_runs = float(t.ppf((1 + CONFIDENCE) / 2, runs - 1)) * sd / math.sqrt(runs)
    clusters = {"clusters": first.clusters, "design_effect": first.design_effect}
    unsure = next((estimate for estimate in estimates if estimate.clusters and estimate.low is None), None)
    if unsure is not None:
        return Estimate(value=value, n=first.n, sd=sd, runs=runs, reason=unsure.reason, **clusters)
    # each side by itself: the interval of a distance that may be 0 reaches further down than up
    sides = [
        (one.value - one.low, one.high - one.value)
        for one in estimates
        if one.value is not None and one.low is not None and one.high is not None
    ]
    below, above = (max(over_runs, float(side)) for side in (np.mean(sides, axis=0) if sides else (0.0, 0.0)))
    low = max(0.0, value - below) if values.min() >= 0 else value - below  # a distance or a share is not negative
    return Estimate(
        value=value,
        n=first.n,
        low=low,
        high=value + above,
        sd=sd,
        runs=runs,
        interval="t over references, or that of the records if it is wider",
        **clusters,
    )


def compare(
    subject: Estimate,
    references: Sequence[Estimate],
    original: Estimate | None,
    *,
    split: str,
    metric: str,
    distance: bool,
) -> Comparison:
    """Set a number of the subject beside those of the references, and normalise it where the original is known.

    For a distance to references, those of the references are leave-one-out: the noise floor between retrainings.
    """
    values = np.array([one.value for one in references if one.value is not None], dtype=np.float64)
    mean = float(values.mean()) if len(values) else None
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    if mean is not None and sd is not None and sd <= 1e-12 * max(1.0, abs(mean)):
        sd = 0.0  # rounding is no spread
    found = Comparison(
        split=split, metric=metric, n_references=len(values), reference=mean, reference_sd=sd, reason=None
    )
    if subject.value is None or mean is None:
        return found.model_copy(update={"reason": subject.reason or "no reference has a value"})
    units = (subject.value - mean) / sd if sd else None
    normalised, reason = _normalised(subject.value, mean, sd, original) if distance else (None, None)
    if units is None and reason is None:
        reason = "one reference has no spread" if sd is None else "the references do not differ"
    return found.model_copy(update={"units_of_sd": units, "normalised": normalised, "reason": reason})


def _normalised(
    value: float, floor: float, sd: float | None, original: Estimate | None
) -> tuple[float | None, str | None]:
    """Return g = (d(subject) - floor) / (d(original) - floor), or why it has no meaning."""
    if original is None or original.value is None:
        return None, "the original was not given"
    if sd is None:
        return None, "two references are the least for a noise floor"
    distance = original.value - floor
    if distance <= 2 * sd:
        return None, "the original is as near to the references as they are to each other: nothing to forget here"
    return (value - floor) / distance, None
