import numpy as np
import pytest

from unlearn_cli.stats.hsic import compute_cka, compute_hsic


def make_gram(features: np.ndarray) -> np.ndarray:
    centred = features - features.mean(axis=0)
    return centred @ centred.T


RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(60, 5))


def test_hsic_is_the_average_over_quadruples_of_records() -> None:
    """Song et al. 2012: E over distinct i, j, q, r of k_ij (l_ij + l_qr - 2 l_iq), on six records."""
    k, m = make_gram(RANDOM.normal(size=(6, 3))), make_gram(RANDOM.normal(size=(6, 2)))
    terms = [
        k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
        for i in range(6)
        for j in range(6)
        for q in range(6)
        for r in range(6)
        if len({i, j, q, r}) == 4
    ]
    assert compute_hsic(k, m) == pytest.approx(np.mean(terms))


def test_cka_does_not_change_with_rotation_and_scale() -> None:
    rotation, _ = np.linalg.qr(RANDOM.normal(size=(5, 5)))
    assert compute_cka(make_gram(FEATURES), make_gram(3 * FEATURES @ rotation)) == pytest.approx(1)


def test_independent_features_have_a_cka_near_0() -> None:
    values = [
        compute_cka(make_gram(FEATURES), make_gram(np.random.default_rng(seed).normal(size=(60, 40))))
        for seed in range(20)
    ]
    assert np.mean(values) == pytest.approx(0, abs=0.03)
    assert compute_cka(make_gram(FEATURES), np.zeros((60, 60))) == 0
