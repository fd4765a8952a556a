"""Completeness: how far each forgotten record has moved from the original's output to that of retrained references.

    c_i = (s_i(original) - s_i) / (s_i(original) - mean_k s_i(k))      s: phi; of a regression the prediction

Idea: 0 is as the original, 1 as retrained, above 1 too far. It is a number only where the original and the references
differ by more than one more reference would: |s_i(original) - mean_k s_i(k)| > 3 SD sqrt(1 + 1/K), with the larger of
the record's own SD and the pooled one. All other records are left out, because a ratio of noise has no meaning; the
share that qualifies is printed with the result.

Source: this project; the normalised distance to retraining, per record. Needs the original and two references, better
four to eight. Warning: it is about the records that the original has memorised, often a small part of forget, and a
median near 1 can hide records near 0: see `share_below_half` and the picture. A left-out reference (`*_floor`, compared
with the others) has the spread that the same training with another seed would have; no gate uses these numbers.
"""

import math

import numpy as np

from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import missing, ratio, share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.quantiles import describe_distribution, median
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.signals import phi

SUMMARY = "per record: 0 as the original, 1 as retrained"
TASK = ("classification", "regression", "multilabel")
TIER = "standard"
ORDER = 2  # within the tier, cheapest first

MIN_REFERENCES = 2
BEYOND = 3.0  # standard deviations of one more reference; chance exceeds it for 0.3 % of the records
MIN_RECORDS, MIN_SHARE = 10, 0.02  # that differ measurably; fewer may be chance
QUANTITY = "completeness"


def completeness(
    forget_outputs: Outputs, original_forget_outputs: Outputs, reference_forget_outputs: list[Outputs]
) -> Findings:
    """Return the median over qualifying records, the ratio of sums, and the shares that qualify and lag behind.

    `overall` is sum_i |moved| / sum_i |distance|, in which records with a large distance count more.
    """
    count, n = len(reference_forget_outputs), len(forget_outputs)
    if count < MIN_REFERENCES or n == 0:
        reason = "no records" if n == 0 else f"at least {MIN_REFERENCES} references are needed, not {count}"
        return Findings({"median": missing(reason, n)})
    candidate, original = phi(forget_outputs), phi(original_forget_outputs)
    references, groups = np.stack([phi(outputs) for outputs in reference_forget_outputs]), forget_outputs.groups
    rows = select_measurable(original, references)
    qualifying = share(rows, groups)
    if rows.sum() < max(MIN_RECORDS, MIN_SHARE * n):
        reason = f"the original and the references differ measurably on {rows.sum()} of {n} records: too few"
        return Findings({"median": missing(reason, n), "share_qualifying": qualifying})
    moved, distance = original - candidate, original - references.mean(axis=0)
    values, of_rows = (moved / np.where(rows, distance, 1.0))[rows], None if groups is None else groups[rows]
    quantities = {
        "median": median(values, of_rows),
        "overall": ratio(moved[rows] * np.sign(distance[rows]), np.abs(distance[rows]), of_rows),
        "share_below_half": share(values < 0.5, of_rows),
        "share_qualifying": qualifying,
    }
    left_out = [measure_left_out(original, references, k) for k in range(count)]
    return Findings(
        quantities | summarize_left_out(left_out),
        distributions=[
            *describe_distribution(QUANTITY, "forget", values),
            *describe_distribution(QUANTITY, "forget, left-out references", np.concatenate(left_out)),
        ],
    )


def select_measurable(original: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return the mask (n,) of the records on which the original is not like one more reference; references (K, n)."""
    variances = references.var(axis=0, ddof=1)
    limit = BEYOND * math.sqrt(1 + 1 / len(references)) * np.sqrt(np.maximum(variances, variances.mean()))
    return np.abs(original - references.mean(axis=0)) > limit


def measure_left_out(original: np.ndarray, references: np.ndarray, k: int) -> np.ndarray:
    """Return the completeness of reference k relative to the others, on the records that qualify by all of them."""
    rows = select_measurable(original, references)
    others = np.delete(references, k, axis=0).mean(axis=0)
    rows &= np.sign(original - others) == np.sign(original - references.mean(axis=0))
    return (original - references[k])[rows] / (original - others)[rows]


def summarize_left_out(left_out: list[np.ndarray]) -> dict[str, Estimate]:
    """Return the same quantities of left-out references: mean and SD over the references."""
    return {
        "median_floor": _average([float(np.median(values)) for values in left_out], left_out),
        "share_below_half_floor": _average([float((values < 0.5).mean()) for values in left_out], left_out),
    }


def _average(numbers: list[float], left_out: list[np.ndarray]) -> Estimate:
    n = min(len(values) for values in left_out)
    return Estimate(value=float(np.mean(numbers)), n=n, sd=float(np.std(numbers, ddof=1)), runs=len(numbers))
