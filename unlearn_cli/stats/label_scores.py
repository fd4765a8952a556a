"""Scores of the single labels of multilabel records, and how each record influences them. No torch.

The influence of record j on the average precision AP = mean over records i with the label of p_i, where p_i is the
precision and r_i the share of all records at the threshold s_i, and q the frequency of the label:

    1/q [ y_j (p_j - AP) + 1/n sum over i with the label and s_i <= s_j of (y_j - p_i) / r_i ]

which is the derivative of AP by the weight of the record. The delta method needs nothing else.
"""

import numpy as np

from unlearn_cli.stats.intervals import delta_method, missing
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate, LabelScore

NO_POSITIVE = "no record has the label"
NO_LABEL = "no record has any label"
NOT_FINITE = "not finite: the outputs contain NaN or infinity"
EXACT = "no interval: no record contradicts the value"
Scored = tuple[float, np.ndarray]  # a value, and the influence (n,) of each record


def score_f1(marks: np.ndarray, predicted: np.ndarray) -> Scored:
    """Return F1 = 2 TP / (2 TP + FP + FN) of one label, which some record has; both arrays are (n,) bool."""
    top, bottom = 2.0 * (marks & predicted), marks.astype(np.float64) + predicted
    value = float(top.sum() / bottom.sum())
    return value, (top - value * bottom) / bottom.mean()


def score_average_precision(marks: np.ndarray, values: np.ndarray) -> Scored:
    """Return the average precision of one label, which some record has: marks (n,) bool, logits (n,)."""
    from sklearn.metrics import average_precision_score  # slow to import, and only labels need it

    value, n = float(average_precision_score(marks, values)), len(values)
    order = np.sort(values)
    above = n - np.searchsorted(order, values, "left")  # records with at least this logit
    right = marks.sum() - np.searchsorted(np.sort(values[marks]), values, "left")
    precision, share = right / above, above / n
    positives = np.argsort(values[marks], kind="stable")
    weights = (1 / share[marks])[positives]
    parts = np.stack([weights, (precision / share)[marks][positives]], axis=1)
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(parts, axis=0)])
    below = sums[np.searchsorted(values[marks][positives], values, "right")]
    influence = marks * (precision - value) + (marks * below[:, 0] - below[:, 1]) / n
    return value, influence / marks.mean()


def average_labels(outputs: Outputs, kind: str) -> Estimate:
    """Return the mean of a score over the labels that some record has; `kind` is f1 or average_precision."""
    if not len(outputs):
        return missing("no records")
    if not np.isfinite(outputs.values).all():
        return missing(NOT_FINITE, len(outputs))
    present = np.flatnonzero((outputs.labels == 1).any(axis=0))
    if not len(present):
        return missing(NO_LABEL, len(outputs))
    scored = [_score(outputs, number, kind) for number in present.tolist()]
    interval = "delta method, t"
    if len(present) < outputs.labels.shape[1]:
        interval += f"; of {len(present)} of {outputs.labels.shape[1]} labels, the others have no record"
    value = float(np.mean([of_label for of_label, _ in scored]))
    return _estimate(value, np.mean([influence for _, influence in scored], axis=0), outputs.groups, interval)


def list_label_scores(outputs: Outputs, names: list[str], split: str, role: str) -> list[LabelScore]:
    """Return F1 and average precision of every label on a split; null where no record has it."""
    return [
        LabelScore(
            split=split,
            role=role,
            label=name,
            n=len(outputs),
            num_with_label=int((outputs.labels[:, number] == 1).sum()),
            f1=_estimate_label(outputs, number, "f1"),
            average_precision=_estimate_label(outputs, number, "average_precision"),
        )
        for number, name in enumerate(names)
    ]


def _estimate_label(outputs: Outputs, number: int, kind: str) -> Estimate:
    if not np.isfinite(outputs.values).all():
        return missing(NOT_FINITE, len(outputs))
    if not (outputs.labels[:, number] == 1).any():
        return missing(NO_POSITIVE, len(outputs))
    return _estimate(*_score(outputs, number, kind), outputs.groups, "delta method, t")


def _score(outputs: Outputs, number: int, kind: str) -> Scored:
    marks, values = outputs.labels[:, number] == 1, outputs.values[:, number]
    return score_f1(marks, values > 0) if kind == "f1" else score_average_precision(marks, values)


def _estimate(value: float, influence: np.ndarray, groups: np.ndarray | None, interval: str) -> Estimate:
    """Return a score with its interval, within 0 and 1; unknown if no record has an influence."""
    estimate = delta_method(value, influence, interval=interval, at_least=0.0, groups=groups)
    if not influence.any() and estimate.low is not None:
        return Estimate(value=value, n=estimate.n, clusters=estimate.clusters, reason=EXACT)
    return estimate if estimate.high is None else estimate.model_copy(update={"high": min(1.0, estimate.high)})
