"""What an attacker gains, with the threshold chosen on one half of the records and scored on the other.

A threshold chosen on the scored records finds 'leakage' in noise: balanced accuracy 0.56 at 100 + 100 records, and
epsilon > 0 in 6-17 % of all draws instead of at most 5 % (attacks.md section 0, 6).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import ks_2samp

from unlearn_cli.report import Estimate
from unlearn_cli.stats.intervals import CONFIDENCE, bounded, clopper_pearson, lower_bound, missing, upper_bound
from unlearn_cli.stats.roc import cuts

REPEATS = 5
TOO_FEW = "two members and two non-members are the least for a threshold chosen on one half and scored on the other"
ACCURACY_INTERVAL = "newcombe's hybrid of clopper-pearson bounds on one scored half"


@dataclass(frozen=True)
class HeldOut:
    """Rates on the scored halves, averaged over the splits; the counts are those of one scored half."""

    tpr: float
    fpr: float
    num_members: int
    num_non_members: int


def held_out(members: np.ndarray, non_members: np.ndarray, random: np.random.Generator) -> HeldOut | None:
    """Choose the threshold with the largest TPR - FPR on one half, score the other, and average over five splits."""
    m, n = len(members), len(non_members)
    if min(m, n) < 2:
        return None
    tpr, fpr = np.mean([_split_once(members, non_members, random) for _ in range(REPEATS)], axis=0)
    return HeldOut(float(tpr), float(fpr), m - m // 2, n - n // 2)


def _split_once(members: np.ndarray, non_members: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    chosen, scored = _halves(members, random)
    other_chosen, other_scored = _halves(non_members, random)
    thresholds, above, other_above = cuts(chosen, other_chosen)
    threshold = thresholds[np.argmax(above / len(chosen) - other_above / len(other_chosen))]
    return float((scored > threshold).mean()), float((other_scored > threshold).mean())


def _halves(scores: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split scores at random into a half to choose on and a half, the larger if any, to score on."""
    shuffled = random.permutation(np.sort(scores))  # sorted first: the order of the records must not matter
    return shuffled[: len(scores) // 2], shuffled[len(scores) // 2 :]


def advantage(rates: HeldOut | None) -> Estimate:
    """Return TPR - FPR at the held-out threshold (Yeom 2018); interval by Newcombe 1998, method 10."""
    if rates is None:
        return missing(TOO_FEW)
    value, m, n = rates.tpr - rates.fpr, rates.num_members, rates.num_non_members
    tpr_low, tpr_high = clopper_pearson(rates.tpr * m, m)
    fpr_low, fpr_high = clopper_pearson(rates.fpr * n, n)
    low = value - math.hypot(rates.tpr - tpr_low, fpr_high - rates.fpr)
    high = value + math.hypot(tpr_high - rates.tpr, rates.fpr - fpr_low)
    return bounded(value, m + n, (max(low, -1), min(high, 1)), ACCURACY_INTERVAL)


def balanced_accuracy(rates: HeldOut | None) -> Estimate:
    """Return (TPR + TNR) / 2 = (1 + advantage) / 2 at the held-out threshold."""
    gain = advantage(rates)
    if gain.value is None or gain.low is None or gain.high is None:
        return gain
    return bounded((1 + gain.value) / 2, gain.n, ((1 + gain.low) / 2, (1 + gain.high) / 2), ACCURACY_INTERVAL)


def ppv_at_prior(rates: HeldOut | None, prior: float) -> float | None:
    """Return how often 'member' is right when a share `prior` of the asked are members; null if nobody is called so."""
    if rates is None:
        return None
    called = prior * rates.tpr + (1 - prior) * rates.fpr
    return prior * rates.tpr / called if called > 0 else None


def max_advantage(members: np.ndarray, non_members: np.ndarray) -> Estimate:
    """Return the Kolmogorov-Smirnov statistic: the largest |TPR - FPR|; optimistic, its threshold saw the data."""
    n = len(members) + len(non_members)
    if min(len(members), len(non_members)) == 0:
        return missing("no members or no non-members", n)
    with np.errstate(divide="ignore", invalid="ignore"):  # of the p-value, which nobody reads, at a single record
        result: Any = ks_2samp(members, non_members, method="asymp")
    return Estimate(value=float(result.statistic), n=n)


def epsilon_lower_bound(
    members: np.ndarray,
    non_members: np.ndarray,
    random: np.random.Generator,
    *,
    confidence: float = CONFIDENCE,
    delta: float = 0.0,
) -> Estimate:
    """Return the lower bound on epsilon of attacks.md A14 (a); valid because choice and score use disjoint halves.

    Of the four claims (members or non-members are over-represented above or below a threshold) the best one on the
    first half is chosen together with its threshold, and only that one is scored.
    """
    n = len(members) + len(non_members)
    if min(len(members), len(non_members)) < 2:
        return missing(TOO_FEW, n)
    chosen, scored = _halves(members, random)
    other_chosen, other_scored = _halves(non_members, random)
    thresholds, above, other_above = cuts(chosen, other_chosen)
    claims = _claims(above, len(chosen), other_above, len(other_chosen))
    gains = np.stack([_log_ratio(*claim, confidence, delta) for claim in claims])
    claim, position = np.unravel_index(np.argmax(gains), gains.shape)
    threshold = thresholds[position]
    counts = ((scored > threshold).sum(), len(scored), (other_scored > threshold).sum(), len(other_scored))
    value = epsilon_at(*_claims(*counts)[claim], confidence=confidence, delta=delta)
    interval = f"clopper-pearson, one-sided, confidence {confidence:g}"
    return Estimate(value=value, low=value, n=len(scored) + len(other_scored), interval=interval)


def _claims(hits: Any, m: int, other_hits: Any, n: int) -> list[tuple[Any, int, Any, int]]:
    """Return the counts of the four claims that one threshold allows; the first pair is the over-represented one."""
    misses, other_misses = m - hits, n - other_hits
    return [
        (hits, m, other_hits, n),
        (other_hits, n, hits, m),
        (misses, m, other_misses, n),
        (other_misses, n, misses, m),
    ]


def epsilon_at(
    hits: int, m: int, false_hits: int, n: int, *, confidence: float = CONFIDENCE, delta: float = 0.0
) -> float:
    """Return max(0, ln((TPR_low - delta) / FPR_high)) of counts at a threshold that was fixed beforehand."""
    return max(0.0, float(_log_ratio(hits, m, false_hits, n, confidence, delta)))


def epsilon_ceiling(m: int, n: int, *, confidence: float = CONFIDENCE) -> float | None:
    """Return the bound that a perfect attack on m members and n non-members would reach with the scored halves."""
    if min(m, n) < 2:
        return None
    m, n = m - m // 2, n - n // 2
    return max(epsilon_at(m, m, 0, n, confidence=confidence), epsilon_at(n, n, 0, m, confidence=confidence))


def _log_ratio(hits: ArrayLike, m: int, false_hits: ArrayLike, n: int, confidence: float, delta: float) -> np.ndarray:
    """Return ln((TPR_low - delta) / FPR_high), where each bound errs with half of 1 - confidence."""
    one_sided = (1 + confidence) / 2
    surely_found = lower_bound(hits, m, one_sided) - delta
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(surely_found > 0, np.log(surely_found / upper_bound(false_hits, n, one_sided)), -np.inf)
