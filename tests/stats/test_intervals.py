import math

import numpy as np
import pytest
from scipy.stats import binomtest, t

from unlearn_cli.stats.intervals import clopper_pearson, lower_bound, mean, missing, proportion, ratio, upper_bound


@pytest.mark.parametrize("hits, n", [(0, 1), (1, 1), (0, 7), (7, 7), (7, 50), (499, 1000)])
def test_a_share_has_scipys_wilson_interval_and_lies_inside_it(hits: int, n: int) -> None:
    share = proportion(hits, n)
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert share.value == hits / n and share.n == n
    assert share.low == pytest.approx(expected.low, abs=1e-12) and share.high == pytest.approx(expected.high)
    assert share.low is not None and share.high is not None
    assert 0 <= share.low <= hits / n <= share.high <= 1


def test_a_share_of_nothing_is_null_with_a_reason() -> None:
    assert proportion(0, 0) == missing("no records")


def test_clopper_pearson_of_7_in_50_is_the_published_interval() -> None:
    assert clopper_pearson(7, 50) == pytest.approx((0.0581917, 0.2673960), abs=1e-7)


@pytest.mark.parametrize("hits, n", [(0, 10), (10, 10), (3, 10), (100, 1000)])
def test_clopper_pearson_agrees_with_scipy(hits: int, n: int) -> None:
    assert clopper_pearson(hits, n) == pytest.approx(tuple(binomtest(hits, n).proportion_ci(method="exact")), abs=1e-8)


def test_no_hits_in_1000_leave_the_closed_form_upper_bounds() -> None:
    assert upper_bound(0, 1000, 0.95) == pytest.approx(0.0029912, abs=1e-7)
    assert clopper_pearson(0, 1000) == pytest.approx((0, 1 - 0.025 ** (1 / 1000)))
    assert lower_bound(1000, 1000, 0.95) == pytest.approx(0.05 ** (1 / 1000))


def test_one_sided_bounds_take_arrays_with_both_extremes() -> None:
    hits = np.array([0, 5, 10])
    assert lower_bound(hits, 10)[0] == 0 and upper_bound(hits, 10)[2] == 1
    assert (lower_bound(hits, 10) <= hits / 10).all() and (upper_bound(hits, 10) >= hits / 10).all()


def test_a_mean_has_the_t_interval_cut_at_the_least_possible_value() -> None:
    values = np.array([0.0, 0.0, 5.0])
    low, high = t.interval(0.95, 2, values.mean(), values.std(ddof=1) / math.sqrt(3))
    plain, cut = mean(values), mean(values, at_least=0.0)
    assert (plain.value, plain.low, plain.high) == pytest.approx((5 / 3, low, high))
    assert low < 0 and cut.low == 0 and cut.high == plain.high


def test_a_mean_of_one_has_no_interval_and_a_mean_of_none_no_value() -> None:
    one, none = mean([3.0]), mean([])
    assert (one.value, one.low, one.high, one.n) == (3.0, None, None, 1)
    assert none.value is None and none.reason == "no records"


@pytest.mark.parametrize("values", [[1.0, math.nan], [1.0, math.inf], [1e308, 1e308], [-1e308, 1e308], [1e200, -1e200]])
def test_numbers_that_are_not_finite_become_null_with_a_reason(values: list[float]) -> None:
    estimate = mean(values)
    assert estimate.value is None and estimate.low is None and estimate.n == 2
    assert estimate.reason is not None and "not finite" in estimate.reason


def test_the_interval_of_a_ratio_covers_the_truth_at_its_level() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        bottom = random.exponential(2.0, 300)
        estimate = ratio(bottom * random.normal(3, 1, 300), bottom)
        assert estimate.low is not None and estimate.high is not None
        covered += estimate.low <= 3 <= estimate.high
    assert 0.92 <= covered / 400 <= 0.975


def test_a_ratio_over_zero_is_null() -> None:
    assert ratio(np.ones(3), np.zeros(3)).value is None
    assert ratio(np.ones(0), np.zeros(0)).value is None
