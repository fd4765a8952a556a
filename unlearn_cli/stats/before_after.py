"""What an attacker with access to two versions of a network sees of each record. No torch."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import expit, softmax

from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.signals import entropy, phi

MAX_RECORDS = 1000  # per group of records

FORGOTTEN, RETAINED, NEVER_SEEN = CLASSES = (0, 1, 2)
CLASS_NAMES = ("forgotten", "retained", "never_seen")


@dataclass(frozen=True)
class Observations:
    """Features of records: `before` (n, a) from the first version, `both` (n, b) from both; and the class of each.

    `like_retained` marks the never-seen records that are of the same kind as the retained ones.
    """

    before: np.ndarray
    both: np.ndarray
    classes: np.ndarray
    like_retained: np.ndarray
    groups: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "Observations":
        groups = None if self.groups is None else self.groups[rows]
        return Observations(self.before[rows], self.both[rows], self.classes[rows], self.like_retained[rows], groups)


def observe(before: Outputs, after: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of the first version, and those of both with their differences."""
    first, second = _describe_outputs(before), _describe_outputs(after)
    distance = np.abs(after.values - before.values)
    if before.task != "regression":
        probabilities = expit if before.task == "multilabel" else partial(softmax, axis=1)
        distance = np.linalg.norm(probabilities(after.values) - probabilities(before.values), axis=1)
    return first, np.column_stack([first, second, second - first, distance])


def _describe_outputs(outputs: Outputs) -> np.ndarray:
    """Return phi and the entropy of the prediction; of a regression the residual and its size."""
    if outputs.task == "regression":
        residual = outputs.values - outputs.labels
        return np.column_stack([residual, np.abs(residual)])
    return np.column_stack([phi(outputs), entropy(outputs.values, outputs.task)])


def collect_observations(
    before: dict[str, Outputs], after: dict[str, Outputs], random: np.random.Generator
) -> Observations:
    """Return observations of forgotten, retained and never-seen records, at most `MAX_RECORDS` per split.

    Never seen are the hold-out, which is like forget, and, where the selection divides test, the rest of test, which is
    like retain. The order of the records does not matter: they are sorted before they are drawn, by the first version,
    so that the same records are drawn for every second version.
    """
    divided = len(after.get("test_retain", ())) > 0
    parts = [
        ("forget", FORGOTTEN, False),
        ("retain", RETAINED, False),
        ("holdout", NEVER_SEEN, not divided),
        ("test_retain", NEVER_SEEN, True),
    ]
    parts = [part for part in parts if part[0] in after]
    drawn = [_draw(before[name], after[name], random) for name, _, _ in parts]
    sizes = [len(first) for first, _, _ in drawn]
    groups = [of for _, _, of in drawn if of is not None]
    return Observations(
        np.concatenate([first for first, _, _ in drawn]),
        np.concatenate([both for _, both, _ in drawn]),
        np.repeat([of_class for _, of_class, _ in parts], sizes),
        np.repeat([like_retained for _, _, like_retained in parts], sizes),
        np.concatenate(groups) if len(groups) == len(parts) else None,
    )


def _draw(
    before: Outputs, after: Outputs, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    first, both = observe(before, after)
    keys = [*both.T, *([] if after.groups is None else [after.groups]), *first.T]  # the last is compared first
    rows = random.permutation(np.lexsort(keys))[:MAX_RECORDS]
    return first[rows], both[rows], None if after.groups is None else after.groups[rows]
