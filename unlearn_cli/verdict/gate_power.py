"""The power of each kind of gate: the probability that it passes if the network was retrained. No SciPy."""

import math

from unlearn_cli.stats.margins import (
    AUDIT_FPR,
    AUDIT_TPR_LIMIT,
    DISTRIBUTION_LIMIT,
    FORGET_ACCURACY_MARGIN,
    FORGET_ERROR_MARGIN,
    LOW_FPR,
    PERIOD_ERROR_MARGIN,
    RANGE_ERROR_MARGIN,
    RECOGNISED_LIMIT,
    RELEARNING_LIMIT,
    TPR_LIMIT,
    UTILITY_ERROR_MARGIN,
    UTILITY_MARGIN,
)
from unlearn_cli.stats.power import auc_sd, equivalence_power, one_sided_power, share_power, welch
from unlearn_cli.verdict.situation import Expectations, Situation


def compute_auc_power(situation: Situation) -> float:
    """Return the power of |AUC - 1/2| < margin between forget and the hold-out."""
    m, n = situation.count("forget"), situation.count("holdout")
    sd = math.sqrt((m + n + 1) / (12 * m * n)) if situation.clusters else auc_sd(round(m), round(n))
    return equivalence_power(
        situation.auc_margin, sd, situation.get_freedom("forget", "holdout"), level=situation.level
    )


def compute_low_rate_power(situation: Situation) -> float:
    """Return the power of a binomial test of the rate that is expected without information, (k + 1) / (n + 1)."""
    n = situation.records["holdout"]
    rate = (math.floor(LOW_FPR * n) + 1) / (n + 1)
    return share_power(round(situation.count("forget")), TPR_LIMIT, rate, level=situation.level)


def compute_utility_power(situation: Situation) -> float:
    """Return the power on test, where retrained networks are as good as the references."""
    return _compute_utility(situation, "test_retain" if situation.records.get("test_retain") else "test")


def compute_retain_power(situation: Situation) -> float:
    """Return the power on retain, whose records a network predicts at least as well as never-seen ones.

    The references' level on test is a constant of every record, so that the records' own variation counts.
    """
    n, expected, runs = situation.count("retain"), situation.expectations, situation.num_comparators
    if situation.task == "regression":
        variance, of_training, margin = 1.0, expected.error_sd**2, UTILITY_ERROR_MARGIN
    else:
        accuracy = expected.accuracy
        variance, of_training, margin = accuracy * (1 - accuracy), expected.accuracy_sd**2, UTILITY_MARGIN
    estimated, actual = (
        math.sqrt(variance / n + (of_training * share if runs > 1 else 0.0)) for share in (1 / runs, 1 + 1 / runs)
    )
    freedom = min(n - 1, situation.get_freedom("retain"))
    return one_sided_power(margin + expected.gain_on_retain, estimated, freedom, true_sd=actual, level=situation.level)


def _compute_utility(situation: Situation, split: str) -> float:
    n, expected, runs = situation.count(split), situation.expectations, situation.num_comparators
    if situation.task == "regression":
        variance, of_training, margin = expected.error_variation**2, expected.error_sd**2, UTILITY_ERROR_MARGIN
    else:
        variance, of_training, margin = _measure_flips(expected), expected.accuracy_sd**2, UTILITY_MARGIN
    of_records = variance * (1 + 1 / runs) / n
    actual = of_records + of_training * (1 + 1 / runs)
    freedom = min(n - 1, situation.get_freedom(split))
    if runs == 1:  # the variation between trainings is unknown to the test
        return one_sided_power(margin, math.sqrt(of_records), freedom, true_sd=math.sqrt(actual), level=situation.level)
    of_mean = (variance / n + of_training) / runs  # the test takes the judged network as fixed
    freedom = welch([of_records, of_mean], [freedom, runs - 1.0])
    estimated = math.sqrt(of_records + of_mean)
    return one_sided_power(margin, estimated, freedom, true_sd=math.sqrt(actual), level=situation.level)


def _measure_flips(expected: Expectations) -> float:
    """Return the variance of a record's hit between trainings, if half of the wrong records differ."""
    return (1 - expected.accuracy) / 2


def compute_forget_accuracy_power(situation: Situation) -> float:
    """Return the power of |difference from the hold-out's accuracy, relative to the references'| < margin."""
    runs, variance = situation.num_references, _measure_flips(situation.expectations)
    of_sides = sum(variance / situation.count(split) for split in ("forget", "holdout"))
    return equivalence_power(
        FORGET_ACCURACY_MARGIN, math.sqrt(of_sides * (1 + 1 / runs)), runs - 1.0, level=situation.level
    )


def compute_distribution_power(situation: Situation) -> float:
    """Return the power of a ratio of distances at most the limit, if it varies between trainings as expected."""
    return _compute_ratio_power(DISTRIBUTION_LIMIT, situation.expectations.distribution_sd, situation)


def compute_relearning_power(situation: Situation) -> float:
    """Return the power of a ratio of relearning steps at most the limit, if it varies between trainings as expected."""
    return _compute_ratio_power(RELEARNING_LIMIT, situation.expectations.relearning_sd, situation)


def _compute_ratio_power(limit: float, sd: float, situation: Situation) -> float:
    """Return the power of log(ratio) < log(limit); the records' own variation is small compared with `sd`."""
    runs = situation.num_references
    estimated, actual = sd / math.sqrt(runs), sd * math.sqrt(1 + 1 / runs)
    return one_sided_power(math.log(limit), estimated, runs - 1.0, true_sd=actual, level=situation.level)


def compute_error_power(situation: Situation) -> float:
    """Return the power of the ratio of the errors on forget and on the hold-out."""
    return _compute_error_power(situation, ("forget", "holdout"), 0.0, FORGET_ERROR_MARGIN)


def compute_range_power(situation: Situation) -> float:
    """Return the power of the ratio of the errors in a forgotten range and on other records."""
    side = "test_forget" if situation.records.get("test_forget") else "forget"
    training_sd = situation.expectations.range_sd
    return _compute_error_power(situation, (side, "test_retain"), training_sd, RANGE_ERROR_MARGIN)


def compute_period_power(situation: Situation) -> float:
    """Return the power of the error on forget, without a control."""
    return _compute_error_power(situation, ("forget",), situation.expectations.error_sd, PERIOD_ERROR_MARGIN)


def _compute_error_power(situation: Situation, sides: tuple[str, ...], training_sd: float, margin: float) -> float:
    runs, variance = situation.num_references, situation.expectations.error_variation**2
    of_sides = sum(variance / situation.count(side) for side in sides)
    of_records, of_mean = of_sides * (1 + 1 / runs), (of_sides + training_sd**2) / runs
    freedom = min(min(situation.count(side) for side in sides) - 1, situation.get_freedom(*sides))
    return equivalence_power(
        math.log1p(margin),
        math.sqrt(of_records + of_mean),
        welch([of_records, of_mean], [freedom, runs - 1.0]),
        true_sd=math.sqrt(of_records + training_sd**2 * (1 + 1 / runs)),
        level=situation.level,
    )


def compute_class_power(situation: Situation) -> float:
    """Return the power to show that a class that is never predicted is predicted at most rarely."""
    counts = [round(situation.count(split)) for split in ("forget", "test_forget") if situation.records.get(split)]
    return min(share_power(count, RECOGNISED_LIMIT, 0.0, level=situation.level) for count in counts)


def compute_audit_power(situation: Situation) -> float:
    """Return the power of |AUC - 1/2| < margin of U-LiRA over the shadow runs."""
    runs = situation.num_shadow_runs
    sd = situation.expectations.audit_sd / math.sqrt(runs)
    return equivalence_power(situation.auc_margin, sd, runs - 1.0, level=situation.level)


def compute_audit_rate_power(situation: Situation) -> float:
    """Return the power of the true-positive rate of U-LiRA; half of the pairs of run and record are members."""
    pairs = situation.num_shadow_runs * situation.records.get("forget", 0) // 2
    return share_power(pairs, AUDIT_TPR_LIMIT, AUDIT_FPR, level=situation.level)
