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
from unlearn_cli.stats.intervals import proportion
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


def not_worse(claim: str, ours: np.ndarray, theirs: np.ndarray, margin: float, unit: float = 0.0) -> Check:
    """Test that a mean is not more than `margin` below that of K comparators on the same records.

    ours (n,), theirs (K, n). The variance has two parts: of the paired differences over the records, and, with several
    comparators, of their means, because one more of them could have been the comparator; the degrees of freedom are
    Welch's. `unit` is the step in which one record may differ (1 for hits): half a step is added as an error of its
    own, so that a few records that all agree prove nothing.
    """
    differences = ours - theirs.mean(axis=0)
    n = len(differences)
    if n < 2:
        return Check(claim, Estimate(value=None, n=n, reason="too few records"), -margin, reason="too few records")
    value = float(differences.mean())
    runs = len(theirs)
    of_records = float(differences.var(ddof=1)) / n + (0.5 * unit / n) ** 2
    of_runs = float(theirs.mean(axis=1).var(ddof=1)) * (1 + 1 / runs) if runs > 1 else 0.0
    spread = math.sqrt(of_records + of_runs)
    freedom = n - 1.0
    if of_runs:
        freedom = (of_records + of_runs) ** 2 / (of_records**2 / (n - 1) + of_runs**2 / (runs - 1))
    half = float(t.ppf(0.975, freedom)) * spread
    estimate = Estimate(value=value, n=n, low=value - half, high=value + half, interval="t, paired")
    above = float(t.cdf((value + margin) / spread, freedom)) if spread else float(value >= -margin)
    return Check(claim, estimate, -margin, margin, 1 - above, above)


def share_near(claim: str, ours: np.ndarray, theirs: np.ndarray, margin: float) -> Check:
    """Test that a share of hits lies within `margin` of where that of one more of K references would.

    ours (n,), theirs (K, n), hits on the same records. The spread is that of the references' shares, but no smaller
    than if each record flipped by itself as often as it does among them (and half a record, once).
    """
    n, runs, value = len(ours), len(theirs), float(ours.mean())
    estimate = proportion(round(float(ours.sum())), n)
    if runs < 2:
        return Check(claim, estimate, None, margin, reason="two references are the least for their spread")
    shares = theirs.mean(axis=1)
    flips = math.sqrt(float(theirs.var(axis=0, ddof=1).sum()) + 0.25) / n
    centre = float(shares.mean())
    spread = max(float(shares.std(ddof=1)), flips) * math.sqrt(1 + 1 / runs)
    passed, failed = near(
        value, centre, margin, lambda x: float(t.cdf(x / spread, runs - 1)) if spread else float(x > 0)
    )
    return Check(claim, estimate, centre, margin, passed, failed)
