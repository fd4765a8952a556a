"""Distances of distributions against closed forms and SciPy."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from scipy.stats import entropy

from unlearn_cli.stats.divergences import js, kl, l2, published_js

RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(size=(50, 7)), 3 * RANDOM.normal(size=(50, 7))


def logs(*p: float) -> np.ndarray:
    """Logits of one record with these probabilities; a probability of 0 is one of e^-2000."""
    return np.array([[math.log(value) if value else -2000.0 for value in p]])


def one_hot(k: int, hot: int = 0) -> np.ndarray:
    return logs(*(float(i == hot) for i in range(k)))


def test_closed_forms_of_js() -> None:
    assert js(one_hot(2), one_hot(2, 1))[0] == pytest.approx(1)
    assert js(logs(0.5, 0.5), logs(1, 0))[0] == pytest.approx(0.3112781, abs=1e-7)
    for k, bits in ((10, 0.758277), (100, 0.959531)):
        assert js(np.zeros((1, k)), one_hot(k))[0] == pytest.approx(bits, abs=1e-6)
    saturated = js(np.array([[200.0, 0.0]]), np.zeros((1, 2)))[0]
    assert saturated == pytest.approx(0.2157616 / math.log(2), abs=1e-6)
    assert js(A, A).max() == 0


def test_closed_forms_of_the_others() -> None:
    assert l2(one_hot(2), one_hot(2, 1))[0] == pytest.approx(math.sqrt(2))
    for k, distance in ((10, 0.948683), (100, 0.994987)):
        assert l2(np.zeros((1, k)), one_hot(k))[0] == pytest.approx(distance, abs=1e-6)
    assert kl(logs(0.9, 0.1), logs(0.5, 0.5))[0] == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2))
    assert kl(A, A).max() == 0


def test_against_scipy() -> None:
    p, q = softmax(A, axis=1), softmax(B, axis=1)
    assert np.allclose(
        js(A, B), np.square([jensenshannon(*row, base=2) for row in zip(p, q, strict=True)])
    )  # SciPy's is the root
    assert np.allclose(kl(A, B), entropy(p, q, axis=1))


def test_symmetry_permutation_bounds_and_a_class_that_nobody_names() -> None:
    order = RANDOM.permutation(7)
    assert np.allclose(js(A, B), js(B, A))
    assert np.allclose(js(A, B), js(A[:, order], B[:, order]))
    assert (js(20 * A, 20 * B) <= 1).all()
    padded = [np.column_stack([part, np.full(50, -2000.0)]) for part in (A, B)]
    assert np.allclose(js(A, B), js(*padded))
    assert np.allclose(kl(A, B) >= 0, True)


def test_the_published_formula_is_something_else() -> None:
    """(KL(m||p) + KL(m||q)) / 2 / (n K): falls as classes are added, and is infinite where an output underflows."""
    p, q = softmax(A, axis=1), softmax(B, axis=1)
    m = (p + q) / 2
    terms = [
        mi * math.log(mi / pi) + mi * math.log(mi / qi)
        for mi, pi, qi in zip(m.ravel(), p.ravel(), q.ravel(), strict=True)
    ]
    by_hand = 0.5 * math.fsum(terms) / len(terms)
    assert published_js(A, B) == pytest.approx(by_hand)
    assert published_js(np.array([[2000.0, 0.0]]), np.zeros((1, 2))) == math.inf
    padded = [np.column_stack([part, np.full((50, 7), -30.0)]) for part in (A, B)]
    assert published_js(*padded) < 0.6 * published_js(A, B)
