"""The power of the tests of a verdict: the probability that a gate passes if the truth is retraining. No SciPy."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from statistics import NormalDist
from typing import Literal

from unlearn_cli.stats.margins import AUC_MARGIN, LEVEL, Z_PASS, Z_POWER_80

Power = Literal["none", "low", "enough"]
GRID, LARGEST_RATIO = 400, 5.0  # points of an integral over estimated / true standard deviation
NORMAL = NormalDist()


def auc_sd(num_members: int, num_non_members: int, design_effect: float = 1.0) -> float:
    """Return the standard deviation of the AUC of uninformative scores: sqrt((m + n + 1) / (12 m n)).

    The variance is multiplied by the design effect of clusters, if it is above 1.
    """
    m, n = num_members, num_non_members
    return math.sqrt((m + n + 1) / (12 * m * n) * max(design_effect, 1.0))


def auc_power(num_members: int, num_non_members: int, design_effect: float = 1.0, margin: float = AUC_MARGIN) -> Power:
    """Return the power to show that an AUC of exactly 1/2 is within the margin: none, below 80 %, or at least 80 %."""
    sd = auc_sd(num_members, num_non_members, design_effect)
    if Z_PASS * sd > margin:
        return "none"
    return "low" if (Z_PASS + Z_POWER_80) * sd > margin else "enough"


def count_records(margin: float, quantile: float) -> int:
    """Return the least number of records per side at which `quantile` standard deviations are within the margin."""
    count = max(1, math.floor((quantile / margin) ** 2 / 6))
    while quantile * auc_sd(count, count) > margin:
        count += 1
    return count


def equivalence_power(
    margin: float, sd: float, freedom: float = math.inf, *, true_sd: float | None = None, level: float = LEVEL
) -> float:
    """Return the power of two one-sided tests of |x| < margin, for a true value of 0.

    The tests use the standard error `sd`, which is known (`freedom` infinite) or estimated with `freedom` degrees.
    `true_sd`: the standard deviation of x, if the tests use another one.
    """
    quantile, actual = t_quantile(1 - level, freedom), sd if true_sd is None else true_sd

    def pass_with(ratio: float) -> float:
        return max(0.0, 2 * NORMAL.cdf((margin - quantile * sd * ratio) / actual) - 1)

    return 1.0 if actual == 0 else _average(pass_with, freedom)


def one_sided_power(
    margin: float, sd: float, freedom: float = math.inf, *, true_sd: float | None = None, level: float = LEVEL
) -> float:
    """Return the power of one test of x > -margin, for a true value of 0; arguments as of `equivalence_power`."""
    quantile, actual = t_quantile(1 - level, freedom), sd if true_sd is None else true_sd

    def pass_with(ratio: float) -> float:
        return NORMAL.cdf((margin - quantile * sd * ratio) / actual)

    return 1.0 if actual == 0 else _average(pass_with, freedom)


def share_power(n: int, limit: float, true_share: float, *, level: float = LEVEL) -> float:
    """Return the power of the exact binomial test of a share below `limit`, for a smaller true share."""
    passing, total = 0, 0.0  # the numbers of hits below `passing` pass
    for probability in _iterate_binomial(n, limit):
        total += probability
        if total > level:
            break
        passing += 1
    return min(1.0, math.fsum(islice(_iterate_binomial(n, true_share), passing)))


def _iterate_binomial(n: int, share: float) -> Iterator[float]:
    """Yield the probabilities of 0, 1, 2, ..., n hits."""
    if share <= 0:
        yield from (float(hits == 0) for hits in range(n + 1))
        return
    odds, log = math.log(share) - math.log1p(-share), n * math.log1p(-share)
    for hits in range(n + 1):
        yield math.exp(log)
        log += odds + math.log((n - hits) / (hits + 1)) if hits < n else 0.0


def t_quantile(probability: float, freedom: float) -> float:
    """Return the quantile of Student's t by its Cornish-Fisher expansion; errors are below 1 % from 2 degrees on."""
    z = NORMAL.inv_cdf(probability)
    if math.isinf(freedom):
        return z
    if freedom <= 1:
        return math.tan(math.pi * (probability - 0.5))
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def welch(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """Return the degrees of freedom of a sum of variances (Welch-Satterthwaite)."""
    denominator = sum(variance**2 / freedom for variance, freedom in zip(variances, freedoms, strict=True))
    return sum(variances) ** 2 / denominator if denominator > 0 else min(freedoms)


def _average(function: Callable[[float], float], freedom: float) -> float:
    """Return the mean of a function of estimated / true standard deviation, whose square is chi-squared / freedom."""
    if math.isinf(freedom):
        return function(1.0)
    ratios = [LARGEST_RATIO * (i + 0.5) / GRID for i in range(GRID)]
    logs = [(freedom - 1) * math.log(ratio) - freedom * ratio**2 / 2 for ratio in ratios]
    largest = max(logs)
    weights = [math.exp(value - largest) for value in logs]
    values = (weight * function(ratio) for weight, ratio in zip(weights, ratios, strict=True))
    return math.fsum(values) / math.fsum(weights)
