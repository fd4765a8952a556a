"""Are forgotten records treated far worse than records never seen? Then they stand out as much as remembered ones.

Idea: a network that never saw a record is right about it as often as about other unseen records of its kind. One that
is wrong about nearly all forgotten records was taught something about them: with two classes, a method that teaches
another label, or an incompetent teacher, teaches the flipped label. Compared are 95 % intervals: the accuracy on forget
must not lie as a whole more than 10 points below that on never-seen records (of a regression: the mean absolute error
not more than half above). Parts of forget that retraining would not know either are left out: classes, or tenths of the
labels' range in a regression, that lose more than half of their training records.
"""

from typing import Literal

import numpy as np

from unlearn_cli.outputs import Outputs
from unlearn_cli.report import Estimate, Gate, OverForgetting
from unlearn_cli.stats.intervals import mean, missing, proportion

MARGIN, ERROR_MARGIN = 0.10, 0.5  # of an accuracy; relative, of a mean absolute error
FEWEST = 30  # never-seen records: of fewer the interval is wider than any margin
Kind = Literal["group", "classes", "test", "references"]  # what the never-seen records share with forget
FEWEST_FORGOTTEN = 10  # a few records that somebody chose may be unlike all others: retraining may err on them, too
MOST_LOST = 0.5  # share of a class's training records
RANGES = 10  # of the labels of a regression


def undecided(task: str, reason: str) -> OverForgetting:
    """Return a comparison that cannot be made, with the reason."""
    none = missing(reason)
    return OverForgetting(
        measure=_measure(task), margin=_margin(task), forget=none, never_seen=none, detected=None, reason=reason
    )


def compare(forget: Outputs, never_seen: list[Outputs], kind: Kind) -> OverForgetting:
    """Compare a network's outputs on forget with the worst of several on never-seen records."""
    ours, theirs = _level(forget), sorted(map(_level, never_seen), key=lambda level: level.value or 0.0)
    worst = theirs[0] if forget.task == "classification" else theirs[-1]
    decided = None not in (ours.low, ours.high, worst.low, worst.high)
    return OverForgetting(
        measure=_measure(forget.task), margin=_margin(forget.task), forget=ours, never_seen=worst, compared_with=kind,
        detected=_far_below(ours, worst, forget.task) if decided else None,
        reason=None if decided else ours.reason or worst.reason or "too few records for an interval",
    )  # fmt: skip


def _far_below(ours: Estimate, theirs: Estimate, task: str) -> bool:
    assert ours.low is not None and ours.high is not None and theirs.low is not None and theirs.high is not None
    if task == "classification":
        return ours.high < theirs.low - MARGIN
    return ours.low > theirs.high * (1 + ERROR_MARGIN)


def _level(outputs: Outputs) -> Estimate:
    if outputs.task == "classification":
        return proportion(int((outputs.values.argmax(axis=1) == outputs.labels).sum()), len(outputs))
    return mean(np.abs(outputs.values - outputs.labels), at_least=0.0)


def _measure(task: str) -> Literal["accuracy", "mae"]:
    return "accuracy" if task == "classification" else "mae"


def _margin(task: str) -> float:
    return MARGIN if task == "classification" else ERROR_MARGIN


def still_known(forget: np.ndarray, retain: np.ndarray, task: str) -> np.ndarray:
    """Return the mask of forget, by its labels: records whose class or range of labels retraining would still know."""
    if task == "regression":
        edges = np.quantile(np.concatenate([forget, retain]), np.linspace(0, 1, RANGES + 1)[1:-1])
        forget, retain = np.searchsorted(edges, forget, side="right"), np.searchsorted(edges, retain, side="right")
    size = int(max(forget.max(initial=0), retain.max(initial=0))) + 1
    lost, left = np.bincount(forget, minlength=size), np.bincount(retain, minlength=size)
    return (lost <= MOST_LOST * (lost + left))[forget]


AGAINST = {
    "group": "the original on never-seen records of the same group",
    "classes": "the original on never-seen records of the same classes",
    "test": "the original on never-seen records",
    "references": "the references on the same records",
}


def sentence(result: OverForgetting) -> str:
    """Say what was detected, with the numbers."""
    against = AGAINST[result.compared_with or "test"]
    margin = "10 points below" if result.measure == "accuracy" else "half above"
    return (
        f"Over-forgetting: {result.measure} on forget is {_numbers(result.forget)}, more than {margin} the "
        f"{_numbers(result.never_seen)} of {against}: forgotten records stand out by being wrong."
    )


def _numbers(level: Estimate) -> str:
    return f"{level.value:.4g} [{level.low:.4g}, {level.high:.4g}] (n {level.n})"


def as_gate(result: OverForgetting) -> Gate:
    """Return the failed gate that over-forgetting is, unless the user insists."""
    level = result.never_seen
    if result.measure == "accuracy":
        limit = (level.low or 0.0) - MARGIN
        return Gate(
            condition="forget.accuracy not far below that of never-seen records", verdict="failed",
            value=result.forget, limit=limit, margin=MARGIN, reason=f"its interval lies below {limit:.4g}",
        )  # fmt: skip
    limit = (level.high or 0.0) * (1 + ERROR_MARGIN)
    return Gate(
        condition="forget.mae not far above that of never-seen records", verdict="failed", value=result.forget,
        limit=limit, margin=ERROR_MARGIN, reason=f"its interval lies above {limit:.4g}",
    )  # fmt: skip
