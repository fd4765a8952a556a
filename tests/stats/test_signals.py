"""The signals of multilabel records against the probability of their set of labels, over all sets."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.special import expit

from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.signals import entropy, hits, loss, phi


def multilabel(logits: np.ndarray, labels: np.ndarray) -> Outputs:
    return Outputs(np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.uint8), "multilabel")


def list_probabilities(logits: np.ndarray) -> dict[tuple[int, ...], float]:
    """Return the probability of every set of labels of one record."""
    chances = expit(logits)
    return {
        marks: math.prod(p if mark else 1 - p for p, mark in zip(chances, marks, strict=True))
        for marks in product((0, 1), repeat=len(logits))
    }


def test_loss_phi_and_entropy_are_those_of_the_set_of_labels() -> None:
    random = np.random.default_rng(0)
    logits, labels = 2 * random.normal(size=(50, 3)), random.integers(0, 2, (50, 3))
    given = multilabel(logits, labels)
    tables = [list_probabilities(row) for row in logits]
    chances = np.array([table[tuple(marks)] for table, marks in zip(tables, labels.tolist(), strict=True)])
    np.testing.assert_allclose(phi(given), np.log(chances / (1 - chances)), rtol=1e-9)
    np.testing.assert_allclose(loss(given), -np.log(chances), rtol=1e-9)
    entropies = [-sum(p * math.log(p) for p in table.values()) for table in tables]
    np.testing.assert_allclose(entropy(logits, "multilabel"), entropies, rtol=1e-9)
    likeliest = [max(table, key=lambda marks: table[marks]) for table in tables]
    assert hits(given).tolist() == [
        float(best == tuple(row)) for best, row in zip(likeliest, labels.tolist(), strict=True)
    ]


def test_one_label_is_a_class_against_none() -> None:
    logits, labels = np.linspace(-40, 40, 81)[:, None], np.arange(81)[:, None] % 2
    np.testing.assert_allclose(phi(multilabel(logits, labels)), np.where(labels == 1, logits, -logits)[:, 0], rtol=1e-9)


@pytest.mark.parametrize("size", [1e-8, 0.1, 5.0, 20.0, 40.0, 400.0, 4000.0])
def test_phi_is_finite_and_ordered_however_certain_the_network_is(size: float) -> None:
    right, wrong = (multilabel(np.full((1, 4), size), np.full((1, 4), mark)) for mark in (1, 0))
    assert phi(right)[0] == pytest.approx(size - math.log(4), abs=1e-6) if size > 20 else np.isfinite(phi(right)[0])
    assert phi(wrong)[0] == pytest.approx(-4 * size, abs=1e-6) if size > 20 else phi(wrong)[0] <= phi(right)[0]


def test_no_record_has_no_signal() -> None:
    assert phi(multilabel(np.empty((0, 3)), np.empty((0, 3)))).shape == (0,)
