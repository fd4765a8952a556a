"""The interval of the Wasserstein distance covers the distance of the distributions, equal or not."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from unlearn_cli.metrics.wasserstein import wasserstein
from unlearn_cli.stats.outputs import Outputs

Make = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def predictions(values: np.ndarray, groups: np.ndarray | None = None) -> Outputs:
    return Outputs(values, np.zeros(len(values)), "regression", groups)


def like(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return numbers of the same distribution, which correlate with these as predictions of two networks do."""
    return 0.8 * values + 0.6 * random.normal(size=len(values))


@pytest.mark.parametrize("n", [50, 300])
@pytest.mark.parametrize(
    ("make", "truth"),
    [
        (like, 0.0),
        (lambda _, random: random.normal(size=len(_)), 0.0),
        (lambda values, random: like(values, random) + 0.1, 0.1),
        (lambda values, random: like(values, random) + 1.0, 1.0),
        (lambda values, random: 1.5 * like(values, random), 0.5 * math.sqrt(2 / math.pi)),
    ],
    ids=["equal", "equal and independent", "hardly shifted", "shifted", "wider"],
)
def test_the_interval_covers_the_distance(make: Make, truth: float, n: int) -> None:
    random, hits, repeats = np.random.default_rng(n), 0, 80
    for _ in range(repeats):
        values = random.normal(size=n)
        found = wasserstein(predictions(values), predictions(make(values, random)))
        assert found.low is not None and found.high is not None and found.value is not None
        assert 0 <= found.low <= found.value <= found.high
        hits += found.low <= truth <= found.high
    assert hits >= 0.86 * repeats  # nominal 0.95; 0.93, and room of nearly three standard errors


def test_of_recordings_whole_ones_are_drawn() -> None:
    random, hits, repeats = np.random.default_rng(5), 0, 80
    groups = np.repeat(np.arange(15), 23)
    for _ in range(repeats):
        values = np.repeat(random.normal(size=15), 23) + random.normal(size=len(groups))
        others = values + np.repeat(random.normal(1.0, 0.5, 15), 23)
        found = wasserstein(predictions(values, groups), predictions(others, groups))
        assert found.low is not None and found.high is not None
        hits += found.low <= 1.0 <= found.high
    assert hits >= 0.86 * repeats


def test_neither_the_order_of_the_records_nor_the_unit_matters() -> None:
    random = np.random.default_rng(1)
    ours, theirs = random.normal(size=700), random.normal(0.2, 1, 700)
    order = random.permutation(700)
    first, again = (wasserstein(predictions(ours), predictions(theirs)) for _ in range(2))
    assert first == again
    shuffled = wasserstein(predictions(ours[order]), predictions(theirs[order]))
    assert (shuffled.low, shuffled.high) == pytest.approx((first.low, first.high))
    scaled = wasserstein(predictions(ours * 10), predictions(theirs * 10))
    assert (scaled.low or 0, scaled.high) == pytest.approx(((first.low or 0) * 10, (first.high or 0) * 10))
