"""Single checks: whether a quantity is within a margin of that of retraining, beyond it, or undecided by the data.

Each check has two p-values. `p_passed` belongs to the hypothesis 'it is not within the margin': if it is small, the
quantity is equivalent. `p_failed` belongs to 'it is within the margin': if it is small, the quantity is not equivalent.
With few data, neither is small. A difference that is not significant is never a pass.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import beta, binom, norm, t

from unlearn_cli.stats.clusters import explain_too_few, measure_effective_share, number_clusters
from unlearn_cli.stats.findings import Groups
from unlearn_cli.stats.intervals import mean
from unlearn_cli.stats.margins import CONFIDENCE
from unlearn_cli.stats.relative import combine_errors
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import auc


@dataclass(frozen=True)
class Check:
    """One gate before it is judged; a check with a `reason` cannot be decided and has no p-values.

    A check that is not `required` can fail the verdict, but the verdict can pass without it.
    """

    claim: str
    value: Estimate
    limit: float | None = None
    margin: float | None = None
    p_passed: float | None = None
    p_failed: float | None = None
    reason: str | None = None
    required: bool = True
    of_utility: bool = False  # about the records that are kept, not about forgetting


def check_auc_near_half(
    claim: str, members: np.ndarray, non_members: np.ndarray, margin: float, groups: Groups | None = None
) -> Check:
    """Test |AUC - 1/2| < margin by two one-sided tests with the standard error of the AUC (DeLong).

    Both directions count, because scores that are too low also reveal a record.
    """
    value = auc(members, non_members, groups)
    if value.value is None or value.low is None:
        return Check(claim, value, 0.5, margin, reason=value.reason)
    passed, failed = auc_p_values(value, value.value, _compute_standard_error(value), margin)
    return Check(claim, value, 0.5, margin, passed, failed)


def auc_p_values(estimate: Estimate, area: float, sd: float, margin: float) -> tuple[float, float]:
    """Return both p-values of |AUC - 1/2| < margin for a standard error of the AUC."""
    errors = make_error_distribution(estimate.degrees_of_freedom)
    return p_values_near(area, 0.5, margin, lambda x: float(errors.cdf(x / sd)) if sd else float(x > 0))


def make_error_distribution(freedom: float | None) -> Any:
    """Return the distribution of an error in units of its standard error: t with few clusters, otherwise normal."""
    return norm() if freedom is None else t(freedom)


def _compute_standard_error(value: Estimate) -> float:
    """Return the standard error that corresponds to the interval; for an asymmetric one, to its longer side."""
    assert value.value is not None and value.low is not None and value.high is not None
    quantile = float(make_error_distribution(value.degrees_of_freedom).ppf((1 + CONFIDENCE) / 2))
    return max(value.high - value.value, value.value - value.low) / quantile


def p_values_near(value: float, centre: float, margin: float, cdf: Callable[[float], float]) -> tuple[float, float]:
    """Return both p-values of |value - centre| < margin; `cdf` is the distribution of value minus its true mean."""
    distance = abs(value - centre)
    # pass: the larger p-value of two one-sided tests; fail: both tails, with the true value at the nearer bound
    passed = max(1 - cdf(margin - (value - centre)), 1 - cdf(margin + (value - centre)))
    failed = 1 - cdf(distance - margin) + cdf(-distance - margin) if distance > margin else 1.0
    return passed, failed


def check_share_at_most(claim: str, hits: int, n: int, limit: float, value: Estimate) -> Check:
    """Test that a share is at most `limit`, by the exact binomial distribution."""
    if n == 0:
        return Check(claim, value, limit, reason="no records")
    return Check(claim, value, limit, 0.0, float(binom.cdf(hits, n, limit)), float(binom.sf(hits - 1, n, limit)))


def check_hits_at_most(claim: str, hits: np.ndarray, limit: float, groups: np.ndarray | None, value: Estimate) -> Check:
    """Test that the share of hits (n,) is at most `limit`; with clusters, for their effective n."""
    if groups is None or len(hits) == 0:
        return check_share_at_most(claim, int(hits.sum()), len(hits), limit, value)
    if value.low is None:
        return Check(claim, value, limit, reason=value.reason)
    effective = measure_effective_share(hits.astype(np.float64), number_clusters(groups))
    # the binomial distribution by the incomplete beta function, which is defined for numbers that are not integers
    at_most = (
        1 - float(beta.cdf(limit, effective.hits + 1, effective.n - effective.hits)) if effective.value < 1 else 1.0
    )
    at_least = float(beta.cdf(limit, effective.hits, effective.n - effective.hits + 1)) if effective.value > 0 else 1.0
    return Check(claim, value, limit, 0.0, at_most, at_least)


def check_not_worse(
    claim: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    margin: float,
    unit: float = 0.0,
    groups: np.ndarray | None = None,
) -> Check:
    """Test that a mean is not more than `margin` below that of K comparators on the same records.

    ours (n,), theirs (K, n). The variance has two parts: that of the paired differences over the records and, with
    several comparators, that of their means, because they are a sample of possible comparators; the degrees of freedom
    are Welch's. The judged network is fixed, so that to pass, only the mean of the comparators is uncertain; to fail,
    it must also be worse than one more comparator is by chance. `unit` is the smallest difference of one record (1 for
    hits): half of it is added as an error, so that a few records that all agree are not sufficient to pass. With
    clusters (`groups`), the variance is that of the jackknife over clusters, and a cluster whose records all agree
    counts as one record.
    """
    differences = ours - theirs.mean(axis=0)
    n, runs = len(differences), len(theirs)
    if n < 2:
        return Check(claim, Estimate(value=None, n=n, reason="too few records"), -margin, reason="too few records")
    estimate = mean(differences, groups=groups)
    if estimate.value is None or estimate.low is None:
        return Check(claim, estimate, -margin, margin, reason=estimate.reason)
    value = estimate.value
    of_records, freedom = _compute_variance(differences, unit, groups)
    of_run = float(theirs.mean(axis=1).var(ddof=1)) if runs > 1 else 0.0
    passing, failing = (combine_errors(of_records, freedom, of_run * share, runs) for share in (1 / runs, 1 + 1 / runs))
    half = passing.half_width()
    update: dict[str, Any] = {"low": value - half, "high": value + half, "interval": "t, paired"}
    if groups is not None:
        update |= {"interval": "t, paired, by cluster", "degrees_of_freedom": passing.freedom}
    p_passed, p_failed = 1 - passing.cdf(value + margin), failing.cdf(value + margin)
    return Check(claim, estimate.model_copy(update=update), -margin, margin, p_passed, p_failed)


def _compute_variance(differences: np.ndarray, unit: float, groups: np.ndarray | None) -> tuple[float, float]:
    """Return the variance of the mean difference over the records or clusters, and its degrees of freedom."""
    n = len(differences)
    if groups is None:
        return float(differences.var(ddof=1)) / n + (0.5 * unit / n) ** 2, n - 1.0
    clusters = number_clusters(groups)
    variance = clusters.variance(differences - differences.mean())
    return variance + (0.5 * unit / (n if variance else clusters.effective)) ** 2, clusters.freedom


@dataclass(frozen=True)
class PairedHits:
    """Hits on the records of one side: ours (n,), those of K references (K, n), and the records' clusters, if any."""

    ours: np.ndarray
    theirs: np.ndarray
    groups: np.ndarray | None = None

    @property
    def obstacle(self) -> str | None:
        """Why the variation of a share among references is unknown, if it is."""
        if len(self.theirs) < 2:
            return "at least two references are needed for their variation"
        return None if self.groups is None else explain_too_few(number_clusters(self.groups))

    @property
    def num_clusters(self) -> int | None:
        """The number of clusters; None if the records are independent."""
        return None if self.groups is None else number_clusters(self.groups).count

    @property
    def flips(self) -> float:
        """The variance of a reference's share if records, or clusters, changed independently; plus half a record."""
        moving = self.theirs
        if self.groups is not None:
            moving = np.stack([number_clusters(self.groups).totals(hits) for hits in self.theirs])
        return (float(moving.var(axis=0, ddof=1).sum()) + 0.25) / len(self.ours) ** 2


def check_difference_near(claim: str, side: PairedHits, other: PairedHits, margin: float) -> Check:
    """Test that a difference of two shares of hits is within `margin` of that of one more of K references.

    The standard deviation is that of the references' differences, but not smaller than if records (or clusters)
    changed independently with the frequencies observed among the references.
    """
    runs, counts = len(side.theirs), [part.num_clusters for part in (side, other)]
    estimate = Estimate(
        value=float(side.ours.mean() - other.ours.mean()),
        n=len(side.ours) + len(other.ours),
        clusters=None if None in counts else sum(count or 0 for count in counts),
    )
    reason = next((part.obstacle for part in (side, other) if part.obstacle), None)
    if reason:
        return Check(claim, estimate, None, margin, reason=reason)
    differences = side.theirs.mean(axis=1) - other.theirs.mean(axis=1)
    centre, observed = float(differences.mean()), float(differences.std(ddof=1))
    spread = max(observed, math.sqrt(side.flips + other.flips)) * math.sqrt(1 + 1 / runs)
    value, half = estimate.value or 0.0, spread * float(t.ppf((1 + CONFIDENCE) / 2, runs - 1))
    interval = {"low": value - half, "high": value + half, "interval": "t, variation between references", "runs": runs}
    passed, failed = p_values_near(value, centre, margin, lambda x: float(t.cdf(x / spread, runs - 1)))
    return Check(claim, estimate.model_copy(update=interval), centre, margin, passed, failed)
