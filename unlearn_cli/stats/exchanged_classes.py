"""Finds classes whose names are exchanged: the records of each are recognised as those of another one. No torch.

Idea: map each class to the class that most of its records are predicted as. Weak networks map rare classes to frequent
ones, and similar classes to one of them, but the frequent one to itself. A cycle of two or more classes is only to be
expected where the labels are permuted. The order of the other classes is right, so the accuracy hardly shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from unlearn_cli.stats.outputs import Outputs

LEVEL = 1e-4  # of the test that more than half of the records are predicted as the next class of the cycle


@dataclass(frozen=True)
class Exchange:
    """Class numbers in the order of the cycle: `hits` of the `n` records are predicted as the next class."""

    classes: tuple[int, ...]
    hits: int
    n: int


def find_exchanged_classes(outputs: Outputs) -> list[Exchange]:
    """Return the cycles of classes that are recognised as one another; empty unless these are significant."""
    predicted = outputs.values.argmax(axis=1)
    following = {int(label): _find_majority(predicted[outputs.labels == label]) for label in np.unique(outputs.labels)}
    exchanges = [_make_exchange(outputs.labels, predicted, cycle) for cycle in _find_cycles(following)]
    return [exchange for exchange in exchanges if _is_significant(exchange)]


def _find_majority(predicted: np.ndarray) -> int | None:
    """Return the class that more than half of the records are predicted as."""
    classes, counts = np.unique(predicted, return_counts=True)
    return int(classes[counts.argmax()]) if 2 * counts.max() > len(predicted) else None


def _find_cycles(following: Mapping[int, int | None]) -> list[tuple[int, ...]]:
    """Return the cycles of a map between classes that have at least two members."""
    cycles, seen = [], set[int | None]()
    for start in following:
        path, current = list[int](), start
        while current is not None and current not in seen:
            seen.add(current)
            path.append(current)
            current = following.get(current)
        if current in path[:-1]:
            cycles.append(tuple(path[path.index(current) :]))
    return cycles


def _make_exchange(labels: np.ndarray, predicted: np.ndarray, cycle: tuple[int, ...]) -> Exchange:
    pairs = zip(cycle, (*cycle[1:], cycle[0]), strict=True)
    hits = sum(int(((labels == label) & (predicted == next_class)).sum()) for label, next_class in pairs)
    return Exchange(cycle, hits, int(np.isin(labels, cycle).sum()))


def _is_significant(exchange: Exchange) -> bool:
    """Return whether this number of hits, or more, is improbable if each has the probability 1/2 (binomial)."""
    return bool(betainc(exchange.hits, exchange.n - exchange.hits + 1, 0.5) < LEVEL)
