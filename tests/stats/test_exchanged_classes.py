"""Exchanged names of classes are noticed, also where the accuracy is high; weak networks are not suspected."""

import numpy as np
import pytest

from unlearn_cli.stats.exchanged_classes import Exchange, find_exchanged_classes
from unlearn_cli.stats.outputs import Outputs

K, N = 10, 400
LABELS = np.arange(N) % K


def predict(predictions: np.ndarray, labels: np.ndarray = LABELS) -> Outputs:
    return Outputs(np.eye(K)[predictions], labels, "classification")


def permute(*cycle: int) -> np.ndarray:
    """Return the class that each record is predicted as when the names of a cycle are exchanged."""
    following = np.arange(K)
    following[list(cycle)] = [*cycle[1:], cycle[0]]
    return following[LABELS]


def test_two_exchanged_classes_are_found() -> None:
    assert find_exchanged_classes(predict(permute(3, 4))) == [Exchange((3, 4), 80, 80)]


def test_all_cycles_of_a_permutation_are_found() -> None:
    predictions = np.where(np.isin(LABELS, [0, 5]), permute(0, 5), permute(1, 2, 9))
    cycles = [exchange.classes for exchange in find_exchanged_classes(predict(predictions))]
    assert cycles == [(0, 5), (1, 2, 9)]


def test_exchanged_classes_of_a_weak_network_are_found() -> None:
    guessed = np.random.default_rng(0).random(N) < 0.25
    (exchange,) = find_exchanged_classes(predict(np.where(guessed, 7, permute(3, 4))))
    assert exchange.classes == (3, 4)


@pytest.mark.parametrize("seed", range(20))
def test_similar_and_rare_classes_are_not_exchanged(seed: int) -> None:
    """Of two classes that a network cannot tell apart, half of the records are predicted as the other one."""
    random = np.random.default_rng(seed)
    similar = np.where(LABELS < 2, random.integers(0, 2, N), LABELS)
    assert find_exchanged_classes(predict(similar)) == []
    assert find_exchanged_classes(predict(np.where(LABELS % 3 == 0, 1, LABELS))) == []  # predicted as a frequent class
    assert find_exchanged_classes(predict(random.integers(0, K, N))) == []


def test_few_records_show_nothing() -> None:
    rows = np.flatnonzero(np.isin(LABELS, [3, 4]))[:12]
    assert find_exchanged_classes(predict(permute(3, 4)[rows], LABELS[rows])) == []
    rows = np.flatnonzero(np.isin(LABELS, [3, 4]))[:14]
    assert len(find_exchanged_classes(predict(permute(3, 4)[rows], LABELS[rows]))) == 1
