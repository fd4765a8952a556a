"""The null distributions of the z statistics: levels for correlated records, and closed forms."""

import math

import numpy as np
import pytest
from scipy.stats import f, t

from unlearn_cli.stats.z_statistics import (
    measure_effective_number,
    measure_left_out,
    measure_permutation_p_values,
    pooled_spread,
    predict_mean_square,
    z_scores,
)

DRAWS, N = 400, 120


def draw_networks(random: np.random.Generator, count: int, correlation: float) -> np.ndarray:
    """Return networks (count, N) whose records have a correlation over training."""
    common = random.normal(size=(count, 1))
    return math.sqrt(correlation) * common + math.sqrt(1 - correlation) * random.normal(size=(count, N))


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("count", [3, 4, 8])
def test_one_more_reference_is_inside_the_interval_of_mean_z2(count: int, correlation: float) -> None:
    random, outside, by_t = np.random.default_rng(count), 0, 0
    for _ in range(DRAWS):
        candidate, *rest = draw_networks(random, count + 1, correlation)
        references = np.stack(rest)
        spread = pooled_spread(references)
        value = float(np.square(z_scores(candidate, references, spread)).mean())
        low, high = predict_mean_square(references)
        outside += not low <= value <= high
        deviations = references - references.mean(axis=0)  # of left-out references, K/(K-1) times their square
        left_out = np.square(deviations).mean(axis=1) / spread**2 * count / (count - 1)
        half = t.ppf(0.975, count - 1) * left_out.std(ddof=1) * math.sqrt(1 + 1 / count)
        by_t += abs(value - left_out.mean()) > half
    assert outside / DRAWS <= 0.08  # 5 %, and three standard errors
    assert by_t / DRAWS > 0.08 or not (count < 8 and correlation > 0)  # the reason for F


def test_the_interval_is_that_of_f_where_all_records_move_together() -> None:
    networks = draw_networks(np.random.default_rng(0), 5, 1.0)
    assert measure_effective_number(networks) == pytest.approx(1)
    assert predict_mean_square(networks) == pytest.approx(tuple(f.ppf([0.025, 0.975], 1, 4)))


def test_the_effective_number_is_between_that_of_networks_and_that_of_records() -> None:
    independent = draw_networks(np.random.default_rng(1), 200, 0.0)
    assert measure_effective_number(independent) == pytest.approx(math.sqrt(N * N / (1 + N / 199)), rel=0.1)
    assert 1 <= measure_effective_number(draw_networks(np.random.default_rng(2), 3, 0.0)) <= 2


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_share_of_networks_that_are_as_extreme_holds_its_level(correlation: float) -> None:
    random, count = np.random.default_rng(3), 3
    shares = []
    for _ in range(150):
        candidate, *rest = draw_networks(random, count + 1, correlation)
        shares.append(measure_permutation_p_values(candidate, np.stack(rest)))
    for name in shares[0]:
        assert np.mean([share[name] <= 0.25 for share in shares]) == pytest.approx(0.25, abs=0.11), name


def test_a_network_that_is_beyond_all_others_has_the_smallest_share() -> None:
    references = draw_networks(np.random.default_rng(4), 4, 0.2)
    p_values = measure_permutation_p_values(references.mean(axis=0) + 9.0, references)
    assert p_values["mean_z"] == p_values["mean_z2"] == p_values["auc_z"] == 1 / 5
    left_out = measure_left_out(references, pooled_spread(references))
    assert np.mean([values["mean_z2"] for values in left_out]) == pytest.approx(1)
