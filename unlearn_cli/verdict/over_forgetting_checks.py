"""Checks for over-forgetting: forgotten records that are predicted far worse than never-seen records.

Idea: a network that never saw a record has the same accuracy on it as on other never-seen records of its kind. A
network that is wrong on nearly all forgotten records was trained to be: with two classes, a method that trains another
label, or an incompetent teacher, trains the flipped label. Such records are as easy to detect as remembered ones. The
check compares 95 % intervals, which must differ by a margin: 10 points of accuracy; in a regression, half of the mean
absolute error. A group that 'forget' names by a column or a condition may be unlike all others, so that a retrained
network predicts it worse than the original predicts unseen members (a subclass of CIFAR-10: 44 % instead of 77 %).
Without references, only less than half the accuracy, or more than twice the error, counts there. Parts of forget that a
retrained network could not predict are ignored: classes, or ranges of labels in a regression, that lose more than half
of their training records.
"""

from typing import Literal

import numpy as np

from unlearn_cli.schema.literals import Task
from unlearn_cli.stats.clusters import explain_too_few, number_clusters
from unlearn_cli.stats.intervals import mean, missing, share
from unlearn_cli.stats.margins import (
    GROUP_ERROR_MARGIN,
    GROUP_MARGIN,
    OVER_FORGETTING_ERROR_MARGIN,
    OVER_FORGETTING_MARGIN,
)
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.signals import hits
from unlearn_cli.verdict.judgement import Gate, Measure, OverForgetting

Kind = Literal["group", "classes", "test", "references"]  # what the never-seen records share with forget
MAX_LOST = 0.5  # share of a class's training records
MAX_RANGES, MIN_IN_RANGE = 200, 20  # ranges of the labels of a regression, and records per range


def undecided(task: Task, reason: str) -> OverForgetting:
    """Return an undecided comparison with the reason."""
    none = missing(reason)
    return OverForgetting(measure=_measure(task), forget=none, never_seen=none, detected=None, reason=reason)


def compare(forget: Outputs, never_seen: list[Outputs], kind: Kind, *, unlike_others: bool = False) -> OverForgetting:
    """Compare a network's outputs on forget with the worst of several on never-seen records.

    `unlike_others`: forget is a group that even a retrained network may predict worse than those records.
    """
    ours, theirs = _measure_level(forget), sorted(map(_measure_level, never_seen), key=lambda level: level.value or 0.0)
    worst = theirs[-1] if forget.task == "regression" else theirs[0]
    limit = _limit(worst, forget.task, unlike_others)
    result = OverForgetting(
        measure=_measure(forget.task),
        forget=ours,
        never_seen=worst,
        compared_with=kind,
        half=None if kind == "references" else "selection",
        limit=limit,
        detected=None,
    )
    if limit is None or ours.low is None or ours.high is None:
        reason = ours.reason or worst.reason or "too few records for an interval"
        return result.model_copy(update={"reason": reason})
    beyond = ours.low > limit if forget.task == "regression" else ours.high < limit
    return result.model_copy(update={"detected": beyond})


def _limit(level: Estimate, task: Task, unlike_others: bool) -> float | None:
    """Return the limit that the whole interval of forget must exceed: the end of the level's interval and a margin."""
    if level.low is None or level.high is None:
        return None
    if task == "regression":
        return level.high * (1 + (GROUP_ERROR_MARGIN if unlike_others else OVER_FORGETTING_ERROR_MARGIN))
    limit = level.low - OVER_FORGETTING_MARGIN
    return min(level.low * GROUP_MARGIN, limit) if unlike_others else limit


def _measure_level(outputs: Outputs) -> Estimate:
    groups = outputs.groups
    if groups is not None and explain_too_few(number_clusters(groups)):
        groups = None  # for one or two persons, the check is about their records, not about other persons
    if outputs.task != "regression":
        return share(hits(outputs), groups)
    return mean(np.abs(outputs.values - outputs.labels), at_least=0.0, groups=groups)


def _measure(task: Task) -> Measure:
    """Return the metric that is compared."""
    measures: dict[Task, Measure] = {"classification": "accuracy", "regression": "mae", "multilabel": "subset_accuracy"}
    return measures[task]


def mask_retained_kinds(forget: np.ndarray, retain: np.ndarray, task: str) -> np.ndarray:
    """Return the mask of forget, from labels: records whose class or range of labels is mostly retained.

    Of multilabel records: those of which every label is mostly retained.
    """
    if task == "multilabel":
        lost, left = forget.sum(axis=0, dtype=np.int64), retain.sum(axis=0, dtype=np.int64)
        return ~(forget[:, lost > MAX_LOST * (lost + left)] == 1).any(axis=1)
    if task == "regression":
        num_ranges = max(1, min(MAX_RANGES, (len(forget) + len(retain)) // MIN_IN_RANGE))
        edges = np.quantile(np.concatenate([forget, retain]), np.linspace(0, 1, num_ranges + 1)[1:-1])
        forget, retain = np.searchsorted(edges, forget, side="right"), np.searchsorted(edges, retain, side="right")
    size = int(max(forget.max(initial=0), retain.max(initial=0))) + 1
    lost, left = np.bincount(forget, minlength=size), np.bincount(retain, minlength=size)
    return (lost <= MAX_LOST * (lost + left))[forget]


AGAINST = {
    "group": "the original on never-seen records of the same group",
    "classes": "the original on never-seen records of the same classes",
    "test": "the original on never-seen records",
    "references": "the references on the same records",
}


def describe_over_forgetting(result: OverForgetting) -> str:
    """Describe the detected over-forgetting in one sentence."""
    side = "above" if result.measure == "mae" else "below"
    against = AGAINST[result.compared_with or "test"]
    return (
        f"Over-forgetting: {result.measure} on forget is {_format_level(result.forget)}, {side} the limit of "
        f"{result.limit:.4g} that follows from {_format_level(result.never_seen)} of {against}: forgotten records can "
        "be recognised by their wrong predictions."
    )


def _format_level(level: Estimate) -> str:
    return f"{level.value:.4g} [{level.low:.4g}, {level.high:.4g}] (n {level.n})"


GATE_ENDING = "that of never-seen records"


def make_over_forgetting_gate(result: OverForgetting) -> Gate:
    """Return detected over-forgetting as a failed gate."""
    side = "above" if result.measure == "mae" else "below"
    return Gate(
        condition=f"forget.{result.measure} not far {side} {GATE_ENDING}",
        verdict="failed",
        value=result.forget,
        limit=result.limit,
        reason=f"its interval is {side} {result.limit:.4g}",
    )


def is_over_forgetting_gate(gate: Gate) -> bool:
    return gate.condition.endswith(GATE_ENDING)
