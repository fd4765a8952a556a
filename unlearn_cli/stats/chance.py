"""Tests whether outputs are better than chance, that is, better than the frequencies of the labels. No torch.

Idea: with 95 % of the records in one class, a network that always predicts it has an accuracy of 95 % and is useless.
Accuracy is therefore compared with the share of the most frequent class instead of 1 / K. A good network may be no
better than that: on unbalanced records it may always predict the frequent class or, if it was trained with class
weights, the other classes too often. So a network also passes by a balanced accuracy above that of its own predictions
in random order, or by a log-loss below that of the frequencies, if its accuracy is above 1 / K. Outputs that do not
differ between records never pass, unless all records have one label. A regression must be better than the mean. Of
multilabel records, the log-loss must be below that of the frequencies of the labels, or the records with some label
must have higher outputs of it than the others (a network trained with class weights).
"""

import math

import numpy as np
from scipy.special import betainc, log_softmax, ndtri, stdtrit, xlogy

from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.signals import hits, orient_by_label

LEVEL = 1e-3  # of each test
MIN_CORRELATION = 0.1  # squared correlation of outputs and labels
FEWEST = 20  # multilabel records: with fewer, no test is possible
EQUAL = 1e-5  # relative to the logits, or to the range of the labels: smaller differences are ignored


def describe_ignorance(outputs: Outputs) -> str | None:
    """Return a sentence if the outputs are no better than chance; None if they are, or if this cannot be decided."""
    n, num_labels = len(outputs), len(np.unique(outputs.labels, axis=0))
    if num_labels > 1 and n > 1 and are_outputs_constant(outputs):
        return f"is no better than chance: its outputs are equal for all {n} records"
    if outputs.task == "regression":
        mean_is_as_good = num_labels > 1 and not is_better_than_mean(outputs)
        return (
            f"is no better than chance on {n} records (the mean of the labels is as good)" if mean_is_as_good else None
        )
    if outputs.task == "multilabel":
        return None if n < FEWEST or is_better_than_frequencies(outputs) else _describe_unknown_labels(outputs)
    if is_better_than_chance(outputs):
        return None
    right, frequent = _mark_hits(outputs).mean(), _count_labels(outputs).max() / n
    return (
        f"is no better than chance on {n} records (accuracy {right:.1%}; the most frequent class has a share of "
        f"{frequent:.1%})"
    )


def are_outputs_constant(outputs: Outputs) -> bool:
    """Return whether a network's outputs are equal for all records, up to rounding."""
    values = outputs.values
    if outputs.task == "classification":
        values = values - values.mean(axis=1, keepdims=True)  # a constant added to all logits changes no probability
    unit = float(np.ptp(outputs.labels)) if outputs.task == "regression" else max(1.0, float(np.abs(values).max()))
    return bool(np.ptp(values, axis=0).max() <= EQUAL * unit)


def _describe_unknown_labels(outputs: Outputs) -> str:
    return (
        f"is no better than chance on {len(outputs)} records (right about {hits(outputs).mean():.1%} of the sets of "
        "labels; no label is predicted better than by its frequency)"
    )


def is_better_than_frequencies(outputs: Outputs) -> bool:
    """Return whether multilabel outputs are significantly better than the frequencies of the labels."""
    marks, n = outputs.labels == 1, len(outputs)
    frequencies = marks.mean(axis=0)
    by_frequency = -(xlogy(marks, frequencies) + xlogy(~marks, 1 - frequencies)).sum(axis=1)
    gains = by_frequency - np.logaddexp(0, -orient_by_label(outputs.values, outputs.labels)).sum(axis=1)
    if gains.mean() > _t_quantile(n - 1) * gains.std(ddof=1) / math.sqrt(n):
        return True
    varied = np.flatnonzero((frequencies > 0) & (frequencies < 1))
    p_values = [_rank_p_value(outputs.values[:, k], marks[:, k]) for k in varied]
    # if all records have the same labels, the frequencies cannot be beaten
    return not len(varied) or min(p_values) < LEVEL / len(varied)


def _rank_p_value(values: np.ndarray, marks: np.ndarray) -> float:
    from scipy.stats import mannwhitneyu  # slow to import, and only this test needs it

    return float(mannwhitneyu(values[marks], values[~marks], alternative="greater").pvalue)


def is_better_than_mean(outputs: Outputs) -> bool:
    """Return whether the squared error is smaller than that of the labels' mean (R² above 0)."""
    residual = np.square(outputs.values - outputs.labels).sum()
    return bool(residual < np.square(outputs.labels - outputs.labels.mean()).sum())


def describe_other_scale(outputs: Outputs) -> str | None:
    """Return a sentence if a regression's outputs would explain the labels well only after scaling and shifting.

    For outputs on the scale of the labels, R² is about the squared correlation, unless the fit is poor.
    """
    values, labels = outputs.values, outputs.labels
    if len(outputs) < 2 or not np.ptp(values) or not np.ptp(labels):
        return None
    explained = 1 - float(np.square(values - labels).sum() / np.square(labels - labels.mean()).sum())
    possible = float(np.corrcoef(values, labels)[0, 1]) ** 2
    if possible < MIN_CORRELATION or explained >= possible / 2:
        return None
    return (
        f"its outputs (mean {values.mean():.4g}, SD {values.std():.4g}) are not on the scale of the labels "
        f"(mean {labels.mean():.4g}, SD {labels.std():.4g}) of {len(outputs)} records"
    )


def is_better_than_chance(outputs: Outputs) -> bool:
    """Return whether a classifier is significantly better than the frequencies of the labels.

    If all records have one label, the accuracy must be above 1 / K.
    """
    counts = _count_labels(outputs)
    if not is_more_accurate(outputs, 1 / outputs.values.shape[1]):
        return False
    frequent = float(counts.max() / len(outputs))
    several = is_more_accurate(outputs, frequent) or is_better_balanced(outputs) or has_better_log_loss(outputs)
    return len(counts) == 1 or several


def is_more_accurate(outputs: Outputs, chance: float) -> bool:
    """Return whether the accuracy is significantly above `chance`; for very few records, whether it is above it."""
    hits, n = int(_mark_hits(outputs).sum()), len(outputs)
    if chance**n >= LEVEL:  # too few records for the test: even an accuracy of 1 would not be significant
        return hits > chance * n
    # the probability of as many hits of a binomial distribution, or more
    return hits > 0 and bool(betainc(hits, n - hits + 1, chance) < LEVEL)


def is_better_balanced(outputs: Outputs) -> bool:
    """Return whether the mean recall over the classes is above that of the same predictions in random order.

    The permutation distribution of a sum of scores a(i, label of i) has a known mean and variance (Hoeffding 1951).
    Predictions of a single class have the same balanced accuracy in any order.
    """
    predictions = outputs.values.argmax(axis=1)
    if (predictions == predictions[0]).all():  # variance and surplus are 0 up to rounding, which must not decide
        return False
    labels, numbers, counts = np.unique(outputs.labels, return_inverse=True, return_counts=True)
    scores = (predictions[:, None] == labels) / counts
    shares, n = counts / len(outputs), len(outputs)
    centred = scores - (scores @ shares)[:, None] - scores.mean(axis=0) + float((scores @ shares).mean())
    variance = float((np.square(centred) @ counts).sum()) / max(1, n - 1)
    surplus = float(scores[np.arange(n), numbers].sum() - n * (scores.mean(axis=0) @ shares))
    return variance > 0 and surplus > -float(ndtri(LEVEL)) * math.sqrt(variance)


def has_better_log_loss(outputs: Outputs) -> bool:
    """Return whether the mean log-loss is significantly below that of predicting the frequency of each class."""
    labels, n = outputs.labels, len(outputs)
    frequencies = np.bincount(labels, minlength=outputs.values.shape[1]) / n
    gains = log_softmax(outputs.values, axis=1)[np.arange(n), labels] - np.log(frequencies[labels])
    error = float(gains.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    return float(gains.mean()) > (_t_quantile(n - 1) * error if error else 0.0)


def _t_quantile(degrees: int) -> float:
    """Return the value that Student's t exceeds with the probability LEVEL."""
    return -float(stdtrit(degrees, LEVEL))


def _mark_hits(outputs: Outputs) -> np.ndarray:
    return outputs.values.argmax(axis=1) == outputs.labels


def _count_labels(outputs: Outputs) -> np.ndarray:
    return np.unique(outputs.labels, return_counts=True)[1]
