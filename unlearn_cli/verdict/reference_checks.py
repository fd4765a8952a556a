"""Checks that compare a network's outputs on forget with those of retrained references."""

import math

import numpy as np
from scipy.stats import t

from unlearn_cli.stats.margins import FORGET_ACCURACY_MARGIN, LEVEL, MAX_AUC_FLOOR
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate, Finding
from unlearn_cli.verdict.checks import Check, auc_p_values, check_share_near

STATISTICS = ("mean_z", "mean_z2", "auc_abs_z")


def check_forget_accuracy(ours: Outputs, references: list[Outputs]) -> list[Check]:
    """Return the check that the accuracy on forget is within the margin of that of one more reference."""
    claim = f"forget accuracy within {FORGET_ACCURACY_MARGIN:g} of the references'"
    if not len(ours):
        return []
    of_references = np.stack([hits(reference) for reference in references])
    return [check_share_near(claim, hits(ours), of_references, FORGET_ACCURACY_MARGIN, ours.groups)]


def hits(outputs: Outputs) -> np.ndarray:
    """Return 1 for each record whose label has the largest output, else 0."""
    return (outputs.values.argmax(axis=1) == outputs.labels).astype(np.float64)


def check_retrain_z(finding: Finding, margin: float) -> list[Check]:
    """Return the z-test as one check: it passes if all three statistics and the AUC of |z| are like a reference's.

    The AUC must be within `margin` of 1/2, or within the largest distance of a left-out reference. The records of a
    never-seen class change together from one retraining to the next: on Fashion-MNIST, left-out references were up to
    0.2 from 1/2, so that no retrained network could pass with a margin of 0.05. For random records, it stays at 0.05.

    It fails if a statistic is outside (Holm over the three) and the AUC is beyond the margin: with enough records, any
    difference from four references is significant, so significance is not sufficient for failing.
    """
    floor = finding.quantities.get("auc_abs_z_floor")
    margin = max(margin, min(MAX_AUC_FLOOR, (floor.value if floor else None) or 0.0))
    claim = f"z-test: as one more reference, AUC of |z| within {margin:.2g} of 1/2"
    area = finding.quantities.get("auc_abs_z")
    if area is None or area.value is None or area.low is None or area.high is None:
        reason = next(
            (estimate.reason for estimate in finding.quantities.values() if estimate.reason), "too few references"
        )
        return [Check(claim, Estimate(value=None, n=0, reason=reason), 0.5, margin, reason=reason)]
    within, beyond = auc_p_values(area, area.value, area.sd or 0.0, margin)
    least = adjust_smallest([_test_statistic(finding.quantities, name) for name in STATISTICS])
    # to pass, all must hold: the larger p-value; an outlier among references cannot pass
    passed = max(within, 1.0 if least <= LEVEL else 0.0)
    return [Check(claim, area, 0.5, margin, passed, max(beyond, least))]


def _test_statistic(quantities: dict[str, Estimate], name: str) -> float:
    """Return the two-sided p-value of a statistic under 'one more reference': t with K - 1 degrees of freedom."""
    ours, null = quantities[name], quantities[f"{name}_null"]
    runs = null.runs or 0
    if ours.value is None or null.value is None or not null.sd or runs < 2:
        return 1.0
    distance = abs(ours.value - null.value) / (null.sd * math.sqrt(1 + 1 / runs))
    return float(2 * t.sf(distance, runs - 1))


def adjust_smallest(p_values: list[float]) -> float:
    """Return the smallest adjusted p-value of Holm's step-down procedure: m times the smallest, at most 1."""
    return min(1.0, len(p_values) * min(p_values))
