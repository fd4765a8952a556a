"""How well retained records represent forgotten ones by their labels, against counts by hand."""

import numpy as np
import pytest

from unlearn_cli.stats.representation import share_represented, usual_width


def draws(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=n)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_retain_represents_random_records(share: float) -> None:
    labels = draws(4000)
    count = int(share * len(labels))
    assert share_represented(labels[:count], labels[count:], 0.3) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("low", "high"), [(1.0, 9.0), (-9.0, -1.0), (-1.0, 1.0)])
def test_retain_does_not_represent_a_range_of_labels(low: float, high: float) -> None:
    labels = draws(4000)
    inside = (labels > low) & (labels < high)
    assert share_represented(labels[inside], labels[~inside], 0.2) < 0.35


def test_a_range_that_is_much_narrower_than_the_residuals_is_represented() -> None:
    labels = draws(4000)
    inside = (labels > 0) & (labels < 0.05)
    assert share_represented(labels[inside], labels[~inside], 0.7) > 0.9


def test_the_share_equals_a_count_by_hand() -> None:
    forget, retain = np.array([0.0, 1.0]), np.array([0.2, 3.0])
    by_hand = (1 / 2 + 0 / 1) / 2 / (2 / 4)  # near 0: one of retain of two; near 1: none of one
    assert share_represented(forget, retain, 0.5) == pytest.approx(by_hand)


def test_the_usual_width_is_half_the_median_distance_from_the_median() -> None:
    assert usual_width(np.array([0.0, 10.0]), np.array([4.0, 5.0, 6.0])) == 0.5 * 1.0
