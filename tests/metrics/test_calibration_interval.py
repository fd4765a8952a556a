"""The interval of the calibration error covers the error of the whole population, of records and of clusters."""

import numpy as np
import pytest

from unlearn_cli.metrics.calibration_error import calibration_error
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

BINS = 15


def population_error(overconfidence: float) -> float:
    """Return the error of infinitely many records, whose log odds are uniform from 0.2 to 4, by integration."""
    odds = np.linspace(0.2, 4, 200_001)
    confidence, chance = (1 / (1 + np.exp(-values)) for values in (odds, odds * overconfidence))
    bin_of_record = np.ceil(confidence * BINS).astype(np.int64)
    return float(np.abs(np.bincount(bin_of_record, chance - confidence)).sum() / len(odds))


def measure(random: np.random.Generator, n: int, overconfidence: float, clusters: int = 0) -> Estimate:
    """Draw labels that are right with a lower chance than the confidence; records of a cluster share their luck."""
    odds = random.uniform(0.2, 4, n)
    groups = np.arange(n) % clusters if clusters else None
    luck = (random.random(clusters)[groups] + random.uniform(0, 0.5, n)) % 1 if clusters else random.random(n)
    labels = (luck > 1 / (1 + np.exp(-odds * overconfidence))).astype(np.int64)
    return calibration_error(Outputs(np.stack([odds, np.zeros(n)], axis=1), labels, "classification", groups))


@pytest.mark.parametrize("clusters", [0, 40])
@pytest.mark.parametrize("overconfidence", [1.0, 0.5])
@pytest.mark.parametrize("n", [100, 400])
def test_the_interval_covers_the_error_of_the_population(n: int, overconfidence: float, clusters: int) -> None:
    random, hits, repeats = np.random.default_rng(n), 0, 120
    truth = population_error(overconfidence)
    for _ in range(repeats):
        estimate = measure(random, n, overconfidence, clusters)
        assert estimate.low is not None and estimate.high is not None and estimate.value is not None
        assert 0 <= estimate.low <= estimate.value <= estimate.high
        hits += estimate.low <= truth <= estimate.high
    assert hits >= 0.9 * repeats  # about 0.96 are expected; the percentile interval reaches 0.83


def test_the_lower_bound_mirrors_the_upper_one_at_the_value() -> None:
    estimate = measure(np.random.default_rng(3), 800, 0.3)
    assert estimate.low is not None and estimate.high is not None and estimate.value is not None
    assert estimate.low > 0
    assert estimate.value - estimate.low == pytest.approx(estimate.high - estimate.value)
