import itertools

import numpy as np
import pytest

from unlearn_cli.stats.sign_flip import MAX_UNITS, sign_flip_p_value


def test_of_few_differences_it_is_the_share_of_all_sign_patterns() -> None:
    values = np.array([0.5, -0.2, 1.1, 0.7, -0.1])
    patterns = np.array(list(itertools.product((-1, 1), repeat=5)))
    expected = float(((patterns * values).sum(axis=1) >= values.sum() - 1e-12).mean())
    assert sign_flip_p_value(values, None, 0).value == pytest.approx(expected)
    assert sign_flip_p_value(values[::-1], None, 0).value == pytest.approx(expected)


def test_clusters_change_their_sign_together() -> None:
    values, groups = np.full(400, 0.5), np.repeat(np.arange(4), 100)
    assert (sign_flip_p_value(values, None, 0).value or 1) < 0.001
    clustered = sign_flip_p_value(values, groups, 0)
    assert clustered.value == pytest.approx(1 / 2**4)
    assert clustered.clusters == 4
    assert sign_flip_p_value(values, np.repeat([0, 1], 200), 0).value is None


@pytest.mark.parametrize(("n", "draws"), [(60, 40), (MAX_UNITS + 200, 4)])
def test_it_keeps_its_level(n: int, draws: int) -> None:
    random = np.random.default_rng(n)
    p_values = [sign_flip_p_value(random.normal(size=n), None, seed).value or 0.0 for seed in range(draws)]
    assert sum(p <= 0.05 for p in p_values) <= 0.15 * draws  # 5 % expected
    assert (sign_flip_p_value(random.normal(0.3, 1, n), None, 0).value or 1) < 0.05


@pytest.mark.parametrize("n", [0, 1])
def test_without_two_records_there_is_a_reason(n: int) -> None:
    estimate = sign_flip_p_value(np.ones(n), None, 0)
    assert estimate.value is None
    assert estimate.reason
