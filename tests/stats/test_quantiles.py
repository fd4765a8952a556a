"""Medians and tail means: closed forms, coverage by records and by cluster, and samples that are too small."""

import numpy as np
import pytest
from scipy.stats import norm

from unlearn_cli.stats.quantiles import describe_distribution, median, tail_mean
from unlearn_cli.stats.results import Estimate


def covers(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None and estimate.high is not None
    return estimate.low <= truth <= estimate.high


def test_the_median_and_its_interval_by_hand() -> None:
    estimate = median(np.arange(101.0))
    assert estimate.value == 50
    # Wilson for 51 of 101: 0.4087 to 0.6005, so the 40th to the 61st of 101 values
    assert (estimate.low, estimate.high, estimate.interval) == (40, 61, "woodruff")
    assert median(np.arange(5.0)).reason and median(np.arange(5.0)).value == 2
    assert median(np.empty(0)).reason == "no records"


@pytest.mark.parametrize("n", [12, 200])
def test_the_interval_of_a_median_covers_it(n: int) -> None:
    random = np.random.default_rng(n)
    hits = [covers(median(np.exp(random.normal(size=n))), 1.0) for _ in range(600)]
    assert np.mean(hits) >= 0.93


def test_the_interval_of_a_median_counts_clusters() -> None:
    random, groups = np.random.default_rng(0), np.repeat(np.arange(20), 30)
    values = [np.repeat(random.normal(size=20), 30) + 0.3 * random.normal(size=600) for _ in range(300)]
    assert np.mean([covers(median(part, groups), 0.0) for part in values]) >= 0.93
    assert np.mean([covers(median(part), 0.0) for part in values]) < 0.5  # as independent records
    assert median(values[0], groups).clusters == 20
    assert median(values[0], np.repeat([0, 1], 300)).low is None


def test_the_mean_of_the_largest_tenth_is_that_of_a_normal_distribution() -> None:
    n = 100_000
    values = norm.ppf((np.arange(n) + 0.5) / n)
    expected = float(norm.pdf(norm.ppf(0.9)) / 0.1)  # 1.7550
    assert tail_mean([values], 0.1).value == pytest.approx(expected, abs=1e-3)
    assert tail_mean([values, values + 1], 0.1).value == pytest.approx(expected + 0.5, abs=1e-3)
    assert tail_mean([np.arange(10.0)], 0.1).value == 9 and tail_mean([np.arange(10.0)], 0.1).reason
    assert tail_mean([], 0.1).reason == tail_mean([np.empty(0)], 0.1).reason == "no records"


def test_the_interval_of_a_tail_mean_covers_it() -> None:
    random, expected = np.random.default_rng(1), float(norm.pdf(norm.ppf(0.95)) / 0.05)  # of |x|
    hits = [covers(tail_mean([np.abs(random.normal(size=500))], 0.1), expected) for _ in range(600)]
    assert np.mean(hits) >= 0.91


def test_a_distribution_is_given_by_quantiles_without_its_extremes() -> None:
    (shape,) = describe_distribution("c", "forget", np.linspace(0, 1, 1001))
    assert shape.values == pytest.approx(shape.levels) and shape.n == 1001
    assert 0 < shape.levels[0] < shape.levels[-1] < 1
    assert describe_distribution("c", "forget", np.empty(0)) == []
