import numpy as np
import pytest
from scipy.stats import norm

from unlearn_cli.stats.advantage import (
    HeldOutRates,
    advantage,
    balanced_accuracy,
    epsilon_at,
    epsilon_ceiling,
    epsilon_lower_bound,
    max_advantage,
    measure_held_out_rates,
    ppv_at_prior,
)

N = 100_000
NORMAL = norm.ppf((np.arange(N) + 0.5) / N)


def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    "shift, accuracy, gain",
    [(0.25, 0.549738, 0.099476), (0.5, 0.598706, 0.197413), (1, 0.691462, 0.382925), (3, 0.933193, 0.866386)],
)
def test_shifted_normals_give_the_closed_form_accuracy(shift: float, accuracy: float, gain: float) -> None:
    rates = measure_held_out_rates(NORMAL + shift, NORMAL, random())
    assert balanced_accuracy(rates).value == pytest.approx(accuracy, abs=3e-3)
    assert advantage(rates).value == pytest.approx(gain, abs=6e-3)
    assert max_advantage(NORMAL + shift, NORMAL).value == pytest.approx(gain, abs=3e-5)


def test_an_honest_threshold_gives_one_half_on_noise() -> None:
    # a threshold chosen on the scored records gives 0.559 here
    draws = np.random.default_rng(1)
    rates = [measure_held_out_rates(draws.normal(size=50), draws.normal(size=50), draws) for _ in range(200)]
    found = [balanced_accuracy(one).value for one in rates]
    assert np.mean([value for value in found if value is not None]) == pytest.approx(0.5, abs=0.01)


def test_the_interval_of_the_accuracy_covers_the_truth() -> None:
    draws = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        gain = advantage(measure_held_out_rates(draws.normal(size=80), draws.normal(size=80), draws))
        assert gain.low is not None and gain.high is not None
        covered += gain.low <= 0 <= gain.high
    assert covered / 200 >= 0.95  # wider than needed: five splits know more than the one half it is computed for


def test_the_order_of_the_records_does_not_matter() -> None:
    scores = random().normal(size=101)
    assert measure_held_out_rates(scores, NORMAL[::999], random()) == measure_held_out_rates(
        scores[::-1], NORMAL[::999], random()
    )
    assert epsilon_lower_bound(scores + 1, scores, random()) == epsilon_lower_bound(scores[::-1] + 1, scores, random())


@pytest.mark.parametrize("m, n", [(0, 0), (1, 1), (1, 50), (50, 1)])
def test_too_few_records_for_two_halves_give_null_with_a_reason(m: int, n: int) -> None:
    rates = measure_held_out_rates(np.zeros(m), np.ones(n), random())
    for estimate in (
        balanced_accuracy(rates),
        advantage(rates),
        epsilon_lower_bound(np.zeros(m), np.ones(n), random()),
    ):
        assert estimate.value is None and estimate.reason is not None and "two members" in estimate.reason
    assert ppv_at_prior(rates, 0.5) is None and epsilon_ceiling(m, n) is None


def test_the_chance_to_be_right_falls_with_the_prior() -> None:
    rates = HeldOutRates(tpr=0.5, fpr=0.1, num_members=10, num_non_members=10)
    assert [ppv_at_prior(rates, prior) for prior in (0.5, 0.1, 0.01)] == pytest.approx(
        [0.8333333, 0.3571429, 0.0480769]
    )
    assert ppv_at_prior(HeldOutRates(0.0, 0.0, 10, 10), 0.5) is None


def test_an_attack_that_tells_nothing_apart_calls_nobody_a_member() -> None:
    rates = measure_held_out_rates(np.zeros(20), np.zeros(20), random())
    assert advantage(rates).value == 0 and ppv_at_prior(rates, 0.1) is None


@pytest.mark.parametrize(
    "n, epsilon", [(50, 2.5696), (100, 3.2813), (500, 4.9056), (1000, 5.6006), (5000, 7.2115), (10_000, 7.9048)]
)
def test_a_perfect_attack_reaches_the_closed_form_bound(n: int, epsilon: float) -> None:
    assert epsilon_at(n, n, 0, n) == pytest.approx(epsilon, abs=5e-5)
    assert epsilon_ceiling(2 * n, 2 * n) == pytest.approx(epsilon, abs=5e-5)


def test_counts_give_the_known_bound_and_a_useless_attack_gives_zero() -> None:
    assert epsilon_at(100, 1000, 10, 1000) == pytest.approx(1.5003785, abs=1e-7)
    assert epsilon_at(10, 1000, 10, 1000) == 0
    assert epsilon_at(0, 10, 10, 10) == 0


def test_a_delta_never_raises_the_bound() -> None:
    found = [epsilon_at(100, 1000, 10, 1000, delta=delta) for delta in (0.0, 1e-5, 0.01, 0.5)]
    assert found == sorted(found, reverse=True) and found[-1] == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_separated_scores_reach_the_ceiling_in_both_directions(sign: int) -> None:
    members, non_members = sign * np.linspace(10, 11, 200), sign * np.linspace(0, 1, 200)
    bound = epsilon_lower_bound(members, non_members, random())
    assert bound.value == pytest.approx(3.2813, abs=5e-5) == epsilon_ceiling(200, 200)
    assert bound.low == bound.value and bound.high is None and bound.n == 200


def test_a_leak_in_one_tail_is_found_by_the_mirrored_claim() -> None:
    # non-members alone reach the lowest scores: 'surely not a member' is as much of a leak as 'surely a member'
    members = np.linspace(1, 2, 1000)
    non_members = np.concatenate([np.linspace(1, 2, 700), np.linspace(-5, -4, 300)])
    bound = epsilon_lower_bound(members, non_members, random())
    assert bound.value is not None and bound.value > 2.5


@pytest.mark.parametrize("n", [40, 300])
def test_noise_raises_a_false_alarm_in_at_most_5_percent_of_draws(n: int) -> None:
    draws = np.random.default_rng(4)
    found = [epsilon_lower_bound(draws.normal(size=n), draws.normal(size=n), draws).value for _ in range(400)]
    assert np.mean([value is not None and value > 0 for value in found]) <= 0.05


def test_tied_scores_bound_nothing() -> None:
    assert epsilon_lower_bound(np.zeros(100), np.zeros(100), random()).value == 0
    assert max_advantage(np.zeros(100), np.zeros(100)).value == 0
    assert max_advantage(np.zeros(0), np.zeros(3)).value is None
