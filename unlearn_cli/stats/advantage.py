"""The advantage of an attacker, with a threshold chosen on one half of the records and scored on the other.

A threshold that is chosen on the scored records finds 'leakage' in noise: a balanced accuracy of 0.56 at 100 + 100
records, and epsilon > 0 in 6 to 17 % of all draws instead of at most 5 %.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import ks_2samp

from unlearn_cli.stats.clusters import explain_too_few, halves, measure_effective_share, number_clusters
from unlearn_cli.stats.findings import Groups
from unlearn_cli.stats.intervals import bounded, clopper_pearson, lower_bound, missing, upper_bound
from unlearn_cli.stats.margins import CONFIDENCE
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import cuts

REPEATS = 5
TOO_FEW = "at least two members and two non-members are needed to choose a threshold on one half and score the other"
ACCURACY_INTERVAL = "newcombe's hybrid of clopper-pearson bounds on one scored half"


@dataclass(frozen=True)
class HeldOutRates:
    """Rates on the scored halves, averaged over the splits; the counts are those of one scored half.

    For clustered records, `effective` has the numbers of independent members and non-members with equal information.
    """

    tpr: float
    fpr: float
    num_members: int
    num_non_members: int
    effective: tuple[float, float] | None = None
    clusters: int | None = None
    reason: str | None = None  # of a missing interval


def measure_held_out_rates(
    members: np.ndarray, non_members: np.ndarray, random: np.random.Generator, groups: Groups | None = None
) -> HeldOutRates | None:
    """Choose the threshold with the largest TPR - FPR on one half, score the other, and average over five splits."""
    m, n = len(members), len(non_members)
    if min(m, n) < 2:
        return None
    if groups is not None:
        return _measure_held_out_clusters(members, non_members, random, groups)
    tpr, fpr = np.mean([_split_once(members, non_members, random) for _ in range(REPEATS)], axis=0)
    return HeldOutRates(float(tpr), float(fpr), m - m // 2, n - n // 2)


def _split_once(members: np.ndarray, non_members: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    chosen, scored = _split_scores(members, random)
    other_chosen, other_scored = _split_scores(non_members, random)
    threshold = _find_best_threshold(chosen, other_chosen)
    return float((scored > threshold).mean()), float((other_scored > threshold).mean())


def _measure_held_out_clusters(
    members: np.ndarray, non_members: np.ndarray, random: np.random.Generator, groups: Groups
) -> HeldOutRates | None:
    """Do the same as `measure_held_out_rates` with splits that keep clusters together."""
    if min(number_clusters(part).count for part in groups) < 2:
        return None
    splits = [_split_clusters(members, non_members, random, groups) for _ in range(REPEATS)]
    tpr, fpr, m, n, scored, others = np.mean(splits, axis=0)
    both = number_clusters(np.concatenate(groups)).count
    reason = explain_too_few(*(number_clusters(part) for part in groups))
    return HeldOutRates(float(tpr), float(fpr), round(scored), round(others), (float(m), float(n)), both, reason)


def _split_clusters(
    members: np.ndarray, non_members: np.ndarray, random: np.random.Generator, groups: Groups
) -> tuple[float, ...]:
    """Return both rates on the scored half, its effective numbers of records, and its numbers of records."""
    chosen, other_chosen = halves(*groups, random)
    threshold = _find_best_threshold(members[chosen], non_members[other_chosen])
    sides = ((members, chosen, groups[0]), (non_members, other_chosen, groups[1]))
    scored = [scores[~mask] > threshold for scores, mask, _ in sides]
    effective = [_count_effective(scores > threshold, int((~mask).sum()), of) for scores, mask, of in sides]
    return (*(float(hits.mean()) for hits in scored), *effective, *(len(hits) for hits in scored))


def _count_effective(hits: np.ndarray, scored: int, groups: np.ndarray) -> float:
    """Return the effective number of scored records, by the design effect of all records."""
    return measure_effective_share(hits.astype(np.float64), number_clusters(groups)).n * scored / len(hits)


def _find_best_threshold(members: np.ndarray, non_members: np.ndarray) -> float:
    thresholds, above, other_above = cuts(members, non_members)
    return float(thresholds[np.argmax(above / len(members) - other_above / len(non_members))])


def _split_scores(scores: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split scores at random into a half for choosing and a half for scoring, the larger one."""
    shuffled = random.permutation(np.sort(scores))  # sorted first, because the order of the records must not matter
    return shuffled[: len(scores) // 2], shuffled[len(scores) // 2 :]


def advantage(rates: HeldOutRates | None) -> Estimate:
    """Return TPR - FPR at the held-out threshold (Yeom 2018); interval by Newcombe 1998, method 10."""
    if rates is None:
        return missing(TOO_FEW)
    value, size = rates.tpr - rates.fpr, rates.num_members + rates.num_non_members
    if rates.reason:
        return Estimate(value=value, n=size, clusters=rates.clusters, reason=rates.reason)
    m, n = rates.effective or (rates.num_members, rates.num_non_members)
    tpr_low, tpr_high = clopper_pearson(rates.tpr * m, m)
    fpr_low, fpr_high = clopper_pearson(rates.fpr * n, n)
    low = value - math.hypot(rates.tpr - tpr_low, fpr_high - rates.fpr)
    high = value + math.hypot(tpr_high - rates.tpr, rates.fpr - fpr_low)
    estimate = bounded(value, size, (max(low, -1), min(high, 1)), ACCURACY_INTERVAL)
    if rates.effective is None:
        return estimate
    return estimate.model_copy(
        update={
            "clusters": rates.clusters,
            "interval": f"{ACCURACY_INTERVAL}, effective sample size of the clusters",
            "design_effect": size / (m + n),
        }
    )


def balanced_accuracy(rates: HeldOutRates | None) -> Estimate:
    """Return (TPR + TNR) / 2 = (1 + advantage) / 2 at the held-out threshold."""
    gain = advantage(rates)
    halved = {name: None if (of := getattr(gain, name)) is None else (1 + of) / 2 for name in ("value", "low", "high")}
    return gain.model_copy(update=halved)


def ppv_at_prior(rates: HeldOutRates | None, prior: float) -> float | None:
    """Return the precision of 'member' if a share `prior` of the records are members; None if none is called so."""
    if rates is None:
        return None
    called = prior * rates.tpr + (1 - prior) * rates.fpr
    return prior * rates.tpr / called if called > 0 else None


def max_advantage(members: np.ndarray, non_members: np.ndarray) -> Estimate:
    """Return the Kolmogorov-Smirnov statistic, the largest |TPR - FPR|; its threshold is chosen on the same data."""
    n = len(members) + len(non_members)
    if min(len(members), len(non_members)) == 0:
        return missing("no members or no non-members", n)
    with np.errstate(divide="ignore", invalid="ignore"):  # from the unused p-value, if there is one record
        result: Any = ks_2samp(members, non_members, method="asymp")
    return Estimate(value=float(result.statistic), n=n)


def epsilon_lower_bound(
    members: np.ndarray,
    non_members: np.ndarray,
    random: np.random.Generator,
    *,
    confidence: float = CONFIDENCE,
    delta: float = 0.0,
    groups: Groups | None = None,
) -> Estimate:
    """Return a lower bound on epsilon; it is valid because choosing and scoring use disjoint halves.

    Of four claims (members or non-members are over-represented above or below a threshold), the best one on the first
    half is chosen with its threshold, and only this claim is scored. With clustered records, halves consist of whole
    clusters, and the rates have the effective numbers of records.
    """
    n = len(members) + len(non_members)
    if min(len(members), len(non_members)) < 2:
        return missing(TOO_FEW, n)
    reason = explain_too_few(*(number_clusters(part) for part in groups)) if groups is not None else None
    if reason:
        return missing(reason, n)
    if groups is None:
        chosen, scored = _split_scores(members, random)
        other_chosen, other_scored = _split_scores(non_members, random)
    else:
        mask, other_mask = halves(*groups, random)
        chosen, scored, other_chosen, other_scored = (
            members[mask],
            members[~mask],
            non_members[other_mask],
            non_members[~other_mask],
        )
    thresholds, above, other_above = cuts(chosen, other_chosen)
    claims = _count_claims(above, len(chosen), other_above, len(other_chosen))
    gains = np.stack([_log_ratio(*claim, confidence, delta) for claim in claims])
    claim, position = np.unravel_index(np.argmax(gains), gains.shape)
    threshold = thresholds[position]
    hits, other_hits = scored > threshold, other_scored > threshold
    counts: tuple[Any, float, Any, float] = (hits.sum(), len(hits), other_hits.sum(), len(other_hits))
    if groups is not None:
        size = _count_effective(members > threshold, len(hits), groups[0])
        other_size = _count_effective(non_members > threshold, len(other_hits), groups[1])
        counts = (hits.mean() * size, size, other_hits.mean() * other_size, other_size)
    value = epsilon_at(*_count_claims(*counts)[claim], confidence=confidence, delta=delta)
    interval = f"clopper-pearson, one-sided, confidence {confidence:g}"
    clusters = None if groups is None else number_clusters(np.concatenate(groups)).count
    return Estimate(value=value, low=value, n=len(scored) + len(other_scored), interval=interval, clusters=clusters)


def _count_claims(hits: Any, m: float, other_hits: Any, n: float) -> list[tuple[Any, float, Any, float]]:
    """Return the counts of the four claims at one threshold; the first pair is the over-represented side."""
    misses, other_misses = m - hits, n - other_hits
    return [
        (hits, m, other_hits, n),
        (other_hits, n, hits, m),
        (misses, m, other_misses, n),
        (other_misses, n, misses, m),
    ]


def epsilon_at(
    hits: float, m: float, false_hits: float, n: float, *, confidence: float = CONFIDENCE, delta: float = 0.0
) -> float:
    """Return max(0, ln((TPR_low - delta) / FPR_high)) for counts at a threshold that was fixed beforehand."""
    return max(0.0, float(_log_ratio(hits, m, false_hits, n, confidence, delta)))


def epsilon_ceiling(m: int, n: int, *, confidence: float = CONFIDENCE) -> float | None:
    """Return the bound that a perfect attack on m members and n non-members would reach on the scored halves."""
    if min(m, n) < 2:
        return None
    m, n = m - m // 2, n - n // 2
    return max(epsilon_at(m, m, 0, n, confidence=confidence), epsilon_at(n, n, 0, m, confidence=confidence))


def _log_ratio(
    hits: ArrayLike, m: float, false_hits: ArrayLike, n: float, confidence: float, delta: float
) -> np.ndarray:
    """Return ln((TPR_low - delta) / FPR_high), where each bound has an error probability of (1 - confidence) / 2."""
    one_sided = (1 + confidence) / 2
    tpr_low = lower_bound(hits, m, one_sided) - delta
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(tpr_low > 0, np.log(tpr_low / upper_bound(false_hits, n, one_sided)), -np.inf)
