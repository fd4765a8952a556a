"""The one-run bound against Clopper-Pearson and printed values; the competition's score against hand-made values."""

import math

import numpy as np
import pytest
from scipy.stats import beta

from unlearn_cli.stats.competition import CAP, epsilon_at, epsilon_of_record, forgetting_quality, points
from unlearn_cli.stats.one_run import count_guesses, epsilon_one_run


@pytest.mark.parametrize(
    ("guesses", "right", "epsilon"),
    [(100, 100, 3.492965), (132, 86, 0.312198), (1000, 600, 0.297468), (100, 60, 0.051915), (100, 50, 0.0)],
)
def test_without_delta_it_is_the_logit_of_the_lower_bound(guesses: int, right: int, epsilon: float) -> None:
    found = epsilon_one_run(1000, guesses, right)
    assert found == pytest.approx(epsilon, abs=1e-5)
    low = beta.ppf(0.05, right, guesses - right + 1)
    assert found == pytest.approx(max(0.0, math.log(low / (1 - low))), abs=1e-6)


def test_it_rises_with_right_guesses_and_never_with_delta() -> None:
    bounds = [epsilon_one_run(400, 100, right) for right in range(50, 101, 5)]
    assert bounds == sorted(bounds)
    for right in (60, 80, 100):
        loose = [epsilon_one_run(400, 100, right, delta=delta) for delta in (0.0, 1e-5, 1e-3)]
        assert loose == sorted(loose, reverse=True)


def test_in_noise_a_fixed_number_of_guesses_finds_a_bound_in_at_most_five_of_a_hundred() -> None:
    random, alarms = np.random.default_rng(0), 0
    for _ in range(400):
        members, scores = random.random(500) < 0.5, random.normal(size=500)
        alarms += epsilon_one_run(500, *count_guesses(scores, members, 0.1)) > 0
    assert alarms / 400 <= 0.05


def test_guesses_are_those_of_both_ends() -> None:
    members = np.array([True] * 5 + [False] * 5)
    assert count_guesses(-np.arange(10.0), members, 0.2) == (4, 4)
    assert count_guesses(np.arange(10.0), members, 0.2) == (4, 0)


@pytest.mark.parametrize(
    ("epsilon", "value"), [(0.2, 1), (0.5, 0.5), (0.7, 0.5), (3.3, 2**-6), (6.99, 2**-13), (7.0, 0), (50.0, 0)]
)
def test_points_by_bins_of_half_an_epsilon(epsilon: float, value: float) -> None:
    assert points(epsilon, 512) == value


def test_epsilon_of_rates() -> None:
    found = epsilon_at(np.array([0.1, 0.0, 0.0, 0.5]), np.array([0.2, 0.0, 0.3, 0.5]), 0.0)
    assert found[0] == pytest.approx(math.log(8))
    assert found[1] == CAP
    assert found[2] < 0  # one rate alone is zero: the threshold is discarded
    assert found[3] == 0


def test_the_score_of_equal_distributions_is_far_from_1_and_falls_with_a_shift() -> None:
    """0.17 for 64 runs a side, 0.063 for 32 runs one standard deviation apart."""
    random = np.random.default_rng(0)
    equal = forgetting_quality(random.normal(size=(64, 150)), random.normal(size=(64, 150))).mean()
    assert equal == pytest.approx(0.17, abs=0.06)
    shifted = forgetting_quality(random.normal(size=(64, 150)) + 1, random.normal(size=(64, 150))).mean()
    assert shifted < 0.5 * equal
    assert epsilon_of_record(np.zeros(20), random.normal(size=20)) == CAP
    assert epsilon_of_record(random.normal(size=20) + 100, random.normal(size=20)) == CAP
