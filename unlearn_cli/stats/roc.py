"""ROC analysis of the scores of members and non-members.

In all functions: m members, n non-members; a higher score means 'was trained on', and 'above' means strictly above.
"""

import math

import numpy as np
from scipy.stats import norm, rankdata, t

from unlearn_cli.stats.clusters import Clusters, explain_too_few, measure_effective_share, number_clusters
from unlearn_cli.stats.findings import Groups
from unlearn_cli.stats.intervals import add_clusters, bounded, clopper_pearson, missing, without_interval
from unlearn_cli.stats.margins import CONFIDENCE
from unlearn_cli.stats.results import Estimate, Rates

LOW_RESOLUTION = 10  # false positives; with fewer, a single non-member changes the threshold considerably


def auc(members: np.ndarray, non_members: np.ndarray, groups: Groups | None = None) -> Estimate:
    """Return (#{a > b} + #{a = b} / 2) / (m n) with its DeLong interval (Sun & Xu 2014: by midranks, O(N log N)).

    If the normal approximation fails (no variance, as for perfectly separated scores; bounds beyond 0 or 1; a single
    record), the interval is that of min(m, n) independent pairs. It is wider, because the mean over disjoint pairs
    estimates the same quantity from less data.

    With clustered records, clusters replace records (Obuchowski 1997); a cluster may have records on both sides.
    """
    m, n = len(members), len(non_members)
    if min(m, n) == 0:
        return missing("no members" if m == 0 else "no non-members", m + n)
    above_members, above_non_members = _compute_placements(members, non_members)
    value = float(above_members.mean())
    if groups is not None:
        return _measure_clustered_auc(value, above_members, above_non_members, groups)
    if min(m, n) > 1:
        variance = above_members.var(ddof=1) / m + above_non_members.var(ddof=1) / n
        half_width = norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt(variance)
        if variance > 0 and half_width <= min(value, 1 - value):
            return bounded(value, m + n, (value - half_width, value + half_width), "delong")
    pairs = min(m, n)
    return bounded(value, m + n, clopper_pearson(value * pairs, pairs), "clopper-pearson over min(m, n) pairs")


def _measure_clustered_auc(
    value: float, above_members: np.ndarray, above_non_members: np.ndarray, groups: Groups
) -> Estimate:
    """Return the AUC with the interval of the jackknife over clusters; degrees of freedom by Welch 1947."""
    m, n = len(above_members), len(above_non_members)
    both, sides = number_clusters(np.concatenate(groups)), [number_clusters(part) for part in groups]
    reason = explain_too_few(*sides)
    if reason:
        return without_interval(value, m + n, both, reason)
    shares = (above_members, above_non_members)
    deviations = [side.compute_jackknife_deviations(above - value) for side, above in zip(sides, shares, strict=True)]
    variance = _compute_joint_variance(deviations, both, m, sides)
    of_sides = [float(np.square(part).sum()) for part in deviations]
    independent = above_members.var(ddof=1) / m + above_non_members.var(ddof=1) / n
    effect = variance / independent if independent > 0 else None
    freedom = welch(of_sides, [side.freedom for side in sides])
    half_width = t.ppf((1 + CONFIDENCE) / 2, freedom) * math.sqrt(variance)
    if variance > 0 and half_width <= min(value, 1 - value):
        bounds, how = (value - half_width, value + half_width), "delong, by cluster"
    else:
        pairs = min(side.effective for side in sides)
        bounds, how = clopper_pearson(value * pairs, pairs), "clopper-pearson over pairs of clusters"
    estimate = add_clusters(bounded(value, m + n, bounds, how), both, effect)
    return estimate.model_copy(update={"degrees_of_freedom": freedom if how.startswith("delong") else None})


def _compute_joint_variance(deviations: list[np.ndarray], both: Clusters, m: int, sides: list[Clusters]) -> float:
    """Return the variance; a cluster's deviations on the two sides are added before they are squared."""
    total = np.zeros(both.count)
    for codes, side, deviation in zip((both.codes[:m], both.codes[m:]), sides, deviations, strict=True):
        _, first = np.unique(side.codes, return_index=True)
        total[codes[first]] += deviation
    return float(np.square(total).sum())


def welch(variances: list[float], freedoms: list[float]) -> float:
    """Return the degrees of freedom of a sum of variances (Welch-Satterthwaite)."""
    denominator = sum(variance**2 / freedom for variance, freedom in zip(variances, freedoms, strict=True))
    return sum(variances) ** 2 / denominator if denominator > 0 else min(freedoms)


def _compute_placements(members: np.ndarray, non_members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each member's share of non-members below it, and each non-member's share of members above it."""
    m, n = len(members), len(non_members)
    ranks = rankdata(np.concatenate([members, non_members]))
    below_members = (ranks[:m] - rankdata(members)) / n
    above_non_members = 1 - (ranks[m:] - rankdata(non_members)) / m
    return below_members, above_non_members


def measure_auc_influence(members: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the AUC of scores (n,), and the influence of each record on it (n,), whose SD / sqrt(n) is its error.

    `members` is the mask (n,) of the members; both sides must have records. Sums and differences of AUCs of the same
    records have the sums and differences of their influences, which accounts for their correlation (DeLong 1988).
    """
    above_members, above_non_members = _compute_placements(scores[members], scores[~members])
    value, influence = float(above_members.mean()), np.empty(len(scores))
    influence[members] = (above_members - value) / members.mean()
    influence[~members] = (above_non_members - value) / (~members).mean()
    return value, influence


def auc_deviation(area: Estimate) -> Estimate:
    """Return |AUC - 1/2| with the folded interval: scores that are too low also reveal a record."""
    if area.value is None:
        return area
    if area.low is None or area.high is None:
        return area.model_copy(update={"value": abs(area.value - 0.5)})
    low, high = area.low - 0.5, area.high - 0.5
    least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return area.model_copy(
        update={
            "value": abs(area.value - 0.5),
            "low": least,
            "high": max(abs(low), abs(high)),
            "interval": f"{area.interval}, folded",
        }
    )


def tpr_at_fpr(members: np.ndarray, non_members: np.ndarray, fpr: float, groups: Groups | None = None) -> Rates:
    """Return the true-positive rate if at most k = floor(fpr n) non-members are called members, from counts."""
    n = len(non_members)
    allowed = allowed_false_positives(fpr, n)
    tpr, false_positives = _measure_rate(members, non_members, allowed, groups)
    mirrored, mirrored_false_positives = _measure_rate(-members, -non_members, allowed, groups)
    return Rates(
        fpr=fpr,
        tpr=tpr,
        tpr_mirrored=mirrored,
        false_positives=false_positives,
        false_positives_mirrored=mirrored_false_positives,
        null=null_rate(fpr, n),
        low_resolution=allowed < LOW_RESOLUTION,
    )


def null_rate(fpr: float, n: int) -> float | None:
    """Return the expected TPR of uninformative scores, (k + 1) / (n + 1); for small n, it is well above `fpr`."""
    return (allowed_false_positives(fpr, n) + 1) / (n + 1) if n else None


def allowed_false_positives(fpr: float, n: int) -> int:
    """Return floor(fpr n), robust to rounding such as 0.29 * 100 = 28.999999999999996."""
    return math.floor(fpr * n + 1e-9)


def _measure_rate(
    members: np.ndarray, non_members: np.ndarray, allowed: int, groups: Groups | None
) -> tuple[Estimate, int | None]:
    """Return the share of members above the (allowed + 1)-th largest non-member, and the non-members above it."""
    m = len(members)
    if allowed < 1:
        return missing("fpr_unresolvable", m), None
    if m == 0:
        return missing("no members"), None
    hits, false_positives = above(members, non_members, allowed), int(above(non_members, non_members, allowed).sum())
    if groups is not None:
        return _measure_clustered_rate(hits, groups), false_positives
    count = int(hits.sum())
    return bounded(count / m, m, clopper_pearson(count, m), "clopper-pearson"), false_positives


def above(scores: np.ndarray, non_members: np.ndarray, allowed: int) -> np.ndarray:
    """Return the mask of the scores above the (allowed + 1)-th largest non-member."""
    return scores > np.sort(non_members)[len(non_members) - allowed - 1]


def _measure_clustered_rate(hits: np.ndarray, groups: Groups) -> Estimate:
    clusters, others = (number_clusters(part) for part in groups)
    effective, reason = measure_effective_share(hits.astype(np.float64), clusters), explain_too_few(clusters, others)
    if reason:
        return without_interval(effective.value, len(hits), clusters, reason)
    bounds = clopper_pearson(effective.hits, effective.n)
    estimate = bounded(effective.value, len(hits), bounds, "clopper-pearson, effective sample size of the clusters")
    return add_clusters(estimate, clusters, effective.design_effect)


def ties_share(members: np.ndarray, non_members: np.ndarray) -> float:
    """Return the share of member/non-member pairs with equal scores."""
    pairs = len(members) * len(non_members)
    others = np.sort(non_members)
    equal = np.searchsorted(others, members, "right") - np.searchsorted(others, members, "left")
    return float(equal.sum()) / pairs if pairs else 0.0


def cuts(members: np.ndarray, non_members: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all thresholds between different scores, highest first, with the members and non-members above each.

    Thresholds are midpoints between neighbouring scores, so that they can also be applied to other records.
    """
    scores = np.unique(np.concatenate([members, non_members]))
    thresholds = np.concatenate([[np.inf], (scores[1:] / 2 + scores[:-1] / 2)[::-1], [-np.inf]])
    above_members = len(members) - np.searchsorted(np.sort(members), thresholds, "right")
    above_non_members = len(non_members) - np.searchsorted(np.sort(non_members), thresholds, "right")
    return thresholds, above_members, above_non_members


def roc_points(members: np.ndarray, non_members: np.ndarray, limit: int = 400) -> list[tuple[float, float]]:
    """Return at most `limit` (FPR, TPR) vertices, also dense at low FPR, for a chart with logarithmic axes."""
    m, n = len(members), len(non_members)
    if min(m, n) == 0:
        return []
    _, true_positives, false_positives = cuts(members, non_members)
    half = (limit - 4) // 2
    wanted = np.concatenate([[0], np.geomspace(1, n, half).round(), np.linspace(0, n, half).round()])
    rows = np.arange(len(false_positives))
    if len(rows) > limit:
        # the highest vertex with no more false positives than wanted
        rows = np.searchsorted(false_positives, wanted, "right") - 1
        rows = np.unique(np.concatenate([[0], rows, [len(false_positives) - 1]]))
    points = zip(false_positives[rows] / n, true_positives[rows] / m, strict=True)
    return [(float(fpr), float(tpr)) for fpr, tpr in points]


def histogram(members: np.ndarray, non_members: np.ndarray, bins: int = 40) -> dict[str, list[float]]:
    """Return bin edges and the shares of members and non-members per bin; the end bins include the outermost 1 %."""
    if min(len(members), len(non_members)) == 0:
        return {}
    low, high = np.quantile(np.concatenate([members, non_members]), [0.005, 0.995])
    # for nearly equal scores, widen the range so that float64 can divide it into bins
    margin = max(0.5, abs(low) * 1e-6) if high - low <= abs(low) * 1e-9 else 0.0
    edges = np.linspace(low - margin, high + margin, bins + 1)
    shares = [np.histogram(np.clip(part, edges[0], edges[-1]), edges)[0] / len(part) for part in (members, non_members)]
    return {"edges": edges.tolist(), "members": shares[0].tolist(), "non_members": shares[1].tolist()}
