"""Single checks: is a quantity within a margin of what retraining gives, beyond it, or can the data not say?

Each has two p-values. `p_passed` is that of the claim 'it is not within the margin': small, and the quantity has been
shown to be equivalent. `p_failed` is that of 'it is within the margin': small, and it has been shown not to be. With
little data neither is small. Not being significantly different has never passed (attacks.md 0, 3.2).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, norm, t

from unlearn_cli.report import Estimate
from unlearn_cli.stats.roc import auc


@dataclass(frozen=True)
class Check:
    """One gate before it is judged; `reason` says why it cannot be, then there are no p-values."""

    claim: str
    value: Estimate
    limit: float | None = None
    margin: float | None = None
    p_passed: float | None = None
    p_failed: float | None = None
    reason: str | None = None


def auc_near_half(claim: str, members: np.ndarray, non_members: np.ndarray, margin: float) -> Check:
    """Test |AUC - 1/2| < margin by two one-sided tests with the spread of the AUC's interval (DeLong).

    Two-sided: scores that are too low betray a record as well.
    """
    value = auc(members, non_members)
    if value.value is None:
        return Check(claim, value, 0.5, margin, reason=value.reason)
    spread = _spread(value)
    passed, failed = near(value.value, 0.5, margin, lambda x: float(norm.cdf(x / spread)) if spread else float(x > 0))
    return Check(claim, value, 0.5, margin, passed, failed)


def _spread(value: Estimate) -> float:
    """Return the standard error that the interval stands for; of a skew one, that of its longer side."""
    assert value.value is not None and value.low is not None and value.high is not None
    return max(value.high - value.value, value.value - value.low) / float(norm.ppf(0.975))


def near(value: float, centre: float, margin: float, cdf: Callable[[float], float]) -> tuple[float, float]:
    """Return both p-values of |value - centre| < margin; `cdf` is that of value less its true mean."""
    distance = abs(value - centre)
    # passing: the worse of two one-sided tests; failing: both tails, were the truth at the nearer bound
    passed = max(1 - cdf(margin - (value - centre)), 1 - cdf(margin + (value - centre)))
    failed = 1 - cdf(distance - margin) + cdf(-distance - margin) if distance > margin else 1.0
    return passed, failed


def share_at_most(claim: str, hits: int, n: int, limit: float, value: Estimate) -> Check:
    """Test that a share is at most `limit`, by the exact binomial distribution."""
    if n == 0:
        return Check(claim, value, limit, reason="no records")
    return Check(claim, value, limit, 0.0, float(binom.cdf(hits, n, limit)), float(binom.sf(hits - 1, n, limit)))


def not_worse(claim: str, ours: np.ndarray, theirs: np.ndarray, margin: float) -> Check:
    """Test that a mean is not more than `margin` below that of K comparators on the same records.

    ours (n,), theirs (K, n). The variance has two parts: of the paired differences over the records, and, with several
    comparators, of their means, because one more of them could have been the comparator.
    """
    differences = ours - theirs.mean(axis=0)
    n = len(differences)
    if n < 2:
        return Check(claim, Estimate(value=None, n=n, reason="too few records"), -margin, reason="too few records")
    value = float(differences.mean())
    variance = float(differences.var(ddof=1)) / n
    if len(theirs) > 1:
        variance += float(theirs.mean(axis=1).var(ddof=1)) * (1 + 1 / len(theirs))
    spread = math.sqrt(variance)
    half = float(t.ppf(0.975, n - 1)) * spread
    estimate = Estimate(value=value, n=n, low=value - half, high=value + half, interval="t, paired")
    above = float(t.cdf((value + margin) / spread, n - 1)) if spread else float(value >= -margin)
    return Check(claim, estimate, -margin, margin, 1 - above, above)


def mean_near(claim: str, value: float, references: np.ndarray, n: int, margin: float) -> Check:
    """Test that a number lies within `margin` of where one more of K references would, by their mean and SD."""
    if len(references) < 2:
        reason = "two references are the least for their spread"
        return Check(claim, Estimate(value=value, n=n), None, margin, reason=reason)
    centre, runs = float(references.mean()), len(references)
    spread = float(references.std(ddof=1)) * math.sqrt(1 + 1 / runs)
    passed, failed = near(
        value, centre, margin, lambda x: float(t.cdf(x / spread, runs - 1)) if spread else float(x > 0)
    )
    return Check(claim, Estimate(value=value, n=n), centre, margin, passed, failed)
