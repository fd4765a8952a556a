"""Comparisons with several references; the unit is the standard deviation between retrainings."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from unlearn_cli.stats.margins import CONFIDENCE
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Comparison, Estimate

SPLITS_OF_GAPS = ("forget", "retain", "test")


def average_over_references(estimates: Sequence[Estimate]) -> Estimate:
    """Average the estimates with each reference.

    On each side, the width of the interval is the larger of two: that of a t interval over the references, which
    ignores that the records are a sample, and the mean of the single intervals, which ignore that a reference is one.
    """
    null = next((estimate for estimate in estimates if estimate.value is None), None)
    if null is not None:
        return null
    values = np.array([estimate.value for estimate in estimates], dtype=np.float64)
    runs, first = len(values), estimates[0]
    if runs == 1:
        return first.model_copy(update={"runs": 1})
    value, sd = float(values.mean()), float(values.std(ddof=1))
    over_runs = float(t.ppf((1 + CONFIDENCE) / 2, runs - 1)) * sd / math.sqrt(runs)
    clusters = {"clusters": first.clusters, "design_effect": first.design_effect}
    without_interval = next((estimate for estimate in estimates if estimate.clusters and estimate.low is None), None)
    if without_interval is not None:
        return Estimate(value=value, n=first.n, sd=sd, runs=runs, reason=without_interval.reason, **clusters)
    # each side separately, because the interval of a distance close to 0 is asymmetric
    sides = [
        (estimate.value - estimate.low, estimate.high - estimate.value)
        for estimate in estimates
        if estimate.value is not None and estimate.low is not None and estimate.high is not None
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
    """Compare an estimate of the subject with those of the references, and normalise it if the original is given.

    For a distance from references, the references' estimates are leave-one-out: the noise floor between retrainings.
    """
    values = np.array([estimate.value for estimate in references if estimate.value is not None], dtype=np.float64)
    mean = float(values.mean()) if len(values) else None
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    if mean is not None and sd is not None and sd <= 1e-12 * max(1.0, abs(mean)):
        sd = 0.0  # only rounding
    comparison = Comparison(
        split=split, metric=metric, n_references=len(values), reference=mean, reference_sd=sd, reason=None
    )
    if subject.value is None or mean is None:
        return comparison.model_copy(update={"reason": subject.reason or "no reference has a value"})
    units = (subject.value - mean) / sd if sd else None
    normalised, reason = _normalise(subject.value, mean, sd, original) if distance else (None, None)
    if units is None and reason is None:
        reason = "one reference has no standard deviation" if sd is None else "the references do not differ"
    return comparison.model_copy(update={"units_of_sd": units, "normalised": normalised, "reason": reason})


def _normalise(
    value: float, floor: float, sd: float | None, original: Estimate | None
) -> tuple[float | None, str | None]:
    """Return g = (d(subject) - floor) / (d(original) - floor), or the reason why it is undefined."""
    if original is None or original.value is None:
        return None, "the original was not given"
    if sd is None:
        return None, "a noise floor needs at least two references"
    distance = original.value - floor
    if distance <= 2 * sd:
        return (
            None,
            "the original is as close to the references as they are to each other, so nothing is to be forgotten",
        )
    return (value - floor) / distance, None


def compute_accuracy_gaps(ours: dict[str, Outputs], theirs: dict[str, Outputs]) -> np.ndarray | None:
    """Return accuracy minus the reference's on forget, retain and test; None if one of them is empty."""
    if any(not len(ours[name]) for name in SPLITS_OF_GAPS):
        return None
    return np.array([_measure_accuracy(ours[name]) - _measure_accuracy(theirs[name]) for name in SPLITS_OF_GAPS])


def _measure_accuracy(outputs: Outputs) -> float:
    return float((outputs.values.argmax(axis=1) == outputs.labels).mean())
