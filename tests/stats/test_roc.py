import math

import numpy as np
import pytest
from scipy.stats import expon, norm
from sklearn.metrics import roc_auc_score

from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import auc, auc_deviation, cuts, histogram, null_rate, roc_points, ties_share, tpr_at_fpr

N = 100_000
NORMAL = norm.ppf((np.arange(N) + 0.5) / N)  # deterministic scores: no Monte-Carlo tolerance


def value(estimate: Estimate) -> float:
    assert estimate.value is not None
    return estimate.value


def bounds(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None and estimate.high is not None
    return estimate.low, estimate.high


@pytest.mark.parametrize(
    "shift, area, at_1_percent, at_1_permille",
    [
        (0, 0.5, 0.01, 0.001),
        (0.25, 0.570158, 0.018931, 0.002254),
        (0.5, 0.638163, 0.033899, 0.004796),
        (1, 0.760250, 0.092362, 0.018298),
        (2, 0.921350, 0.372081, 0.137805),
        (3, 0.983053, 0.749734, 0.464051),
    ],
)
def test_shifted_normals_give_the_closed_form_curve(
    shift: float, area: float, at_1_percent: float, at_1_permille: float
) -> None:
    assert value(auc(NORMAL + shift, NORMAL)) == pytest.approx(area, abs=2e-6)
    assert value(tpr_at_fpr(NORMAL + shift, NORMAL, 0.01).tpr) == pytest.approx(at_1_percent, abs=3e-4)
    assert value(tpr_at_fpr(NORMAL + shift, NORMAL, 0.001).tpr) == pytest.approx(at_1_permille, abs=1e-3)


def test_unequal_variances_and_exponentials_give_the_closed_form_area() -> None:
    assert value(auc(1 + 2 * NORMAL, NORMAL)) == pytest.approx(0.672640, abs=2e-6)
    losses = expon.ppf((np.arange(N) + 0.5) / N)
    assert value(auc(-losses / 3, -losses)) == pytest.approx(0.75, abs=2e-6)  # rates 3 and 1


@pytest.mark.parametrize("m, n", [(1, 1), (2, 5), (60, 40), (300, 1000)])
def test_the_area_equals_scikit_learns_with_and_without_ties(m: int, n: int) -> None:
    random = np.random.default_rng(m)
    truth = np.repeat([1, 0], [m, n])
    for scores in (random.normal(size=m + n), random.integers(0, 4, m + n).astype(float)):
        assert value(auc(scores[:m], scores[m:])) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)


def test_all_tied_scores_have_area_one_half_and_find_nobody() -> None:
    same = np.zeros(200)
    area = auc(same, same)
    assert area.value == 0.5 and area.interval is not None and "pairs" in area.interval
    found = tpr_at_fpr(same, same, 0.01)
    assert found.tpr.value == 0 and found.tpr_mirrored.value == 0 and found.false_positives == 0
    assert ties_share(same, same) == 1 and ties_share(np.arange(3.0), np.arange(5.0, 9.0)) == 0


def test_perfect_separation_is_1_reversed_0_and_neither_interval_has_zero_width() -> None:
    low, high = np.arange(50.0), np.arange(100.0, 150.0)
    perfect, wrong = auc(high, low), auc(low, high)
    assert (perfect.value, wrong.value) == (1, 0)
    assert bounds(perfect) == pytest.approx((0.025 ** (1 / 50), 1)) and bounds(wrong)[1] == pytest.approx(
        1 - 0.025**0.02
    )
    assert auc_deviation(perfect).value == auc_deviation(wrong).value == 0.5
    assert bounds(auc_deviation(wrong))[0] > 0.4


def test_swapping_sides_gives_one_minus_the_area() -> None:
    a, b = NORMAL[::500] + 0.3, NORMAL[::400]
    assert value(auc(a, b)) == pytest.approx(1 - value(auc(b, a)), abs=1e-12)
    assert bounds(auc(a, b)) == pytest.approx(tuple(1 - bound for bound in reversed(bounds(auc(b, a)))), abs=1e-12)


def test_a_monotone_transform_changes_nothing() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(0.5, 1, 300), random.normal(0, 1, 400)
    assert auc(np.exp(a), np.exp(b)) == auc(a, b)
    assert tpr_at_fpr(np.exp(a), np.exp(b), 0.01).tpr == tpr_at_fpr(a, b, 0.01).tpr


def test_duplicating_all_records_keeps_the_area_and_shrinks_the_interval_by_the_root() -> None:
    a, b = NORMAL[::500] + 0.5, NORMAL[::500]
    once, fourfold = auc(a, b), auc(np.tile(a, 4), np.tile(b, 4))
    assert value(once) == pytest.approx(value(fourfold), abs=1e-12)
    widths = [high - low for low, high in (bounds(once), bounds(fourfold))]
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.01)


def test_the_interval_is_delongs_by_definition() -> None:
    random = np.random.default_rng(3)
    a, b = random.normal(0.5, 1, 40), random.normal(0, 1, 30)
    wins = (a[:, None] > b).astype(float) + 0.5 * (a[:, None] == b)  # (m, n)
    error = math.sqrt(wins.mean(1).var(ddof=1) / 40 + wins.mean(0).var(ddof=1) / 30)
    assert bounds(auc(a, b)) == pytest.approx(
        (wins.mean() - 1.959964 * error, wins.mean() + 1.959964 * error), abs=1e-6
    )


def test_the_interval_of_exponentials_has_the_hanley_mcneil_width() -> None:
    # rates 1.5 and 1 have AUC 0.6, and exponentials are what Hanley and McNeil derived their formula from
    quantiles = expon.ppf((np.arange(100) + 0.5) / 100)
    low, high = bounds(auc(-quantiles / 1.5, -quantiles))
    assert (high - low) / (2 * 1.959964) == pytest.approx(0.039923, rel=0.02)


@pytest.mark.parametrize("shift, m, n", [(0.0, 50, 50), (0.5, 100, 300), (2.0, 30, 30)])
def test_the_interval_covers_the_true_area_in_about_95_percent_of_draws(shift: float, m: int, n: int) -> None:
    random = np.random.default_rng(7)
    draws = [bounds(auc(random.normal(shift, 1, m), random.normal(0, 1, n))) for _ in range(600)]
    covered = np.mean([low <= norm.cdf(shift / math.sqrt(2)) <= high for low, high in draws])
    assert covered >= 0.925  # more at an area near 1, where the interval is that of disjoint pairs


@pytest.mark.parametrize("m, n", [(0, 5), (5, 0), (0, 0)])
def test_no_records_on_one_side_give_null_with_a_reason(m: int, n: int) -> None:
    area = auc(np.ones(m), np.ones(n))
    assert area.value is None and area.reason is not None and auc_deviation(area) == area
    assert roc_points(np.ones(m), np.ones(n)) == [] and histogram(np.ones(m), np.ones(n)) == {}


def test_a_folded_interval_that_holds_one_half_starts_at_zero() -> None:
    deviation = auc_deviation(Estimate(value=0.48, n=9, low=0.40, high=0.56, interval="delong"))
    assert (deviation.value, deviation.low, deviation.high) == pytest.approx((0.02, 0, 0.10))
    assert bounds(auc_deviation(Estimate(value=0.3, n=9, low=0.2, high=0.4, interval="x"))) == pytest.approx((0.1, 0.3))


def test_the_threshold_is_the_next_largest_non_member_and_only_scores_above_it_count() -> None:
    non_members = np.arange(100.0)
    members = np.array([98.0, 98.5, 99.0, 120.0])
    found = tpr_at_fpr(members, non_members, 0.01)  # k = 1, threshold 98
    assert found.tpr.value == 0.75 and found.false_positives == 1 and found.tpr.n == 4 and found.low_resolution
    assert found.tpr_mirrored.value == 0 and found.false_positives_mirrored == 1


def test_ties_at_the_threshold_never_raise_the_false_positive_rate() -> None:
    found = tpr_at_fpr(np.full(10, 5.0), np.array([5.0] * 50 + [0.0] * 50), 0.05)
    assert found.false_positives == 0 and found.tpr.value == 0


def test_fewer_non_members_than_the_rate_can_resolve_give_null() -> None:
    found = tpr_at_fpr(np.arange(50.0), np.arange(99.0), 0.01)
    assert found.tpr.value is None and found.tpr.reason == found.tpr_mirrored.reason == "fpr_unresolvable"
    assert found.false_positives is None and found.low_resolution


def test_an_allowed_count_is_not_lost_to_binary_fractions() -> None:
    assert math.floor(0.29 * 100) == 28
    assert tpr_at_fpr(np.zeros(1), np.arange(100.0), 0.29).false_positives == 29


def test_the_null_expectation_is_exact() -> None:
    assert null_rate(0.01, 60) == pytest.approx(1 / 61) and null_rate(0.01, 100) == pytest.approx(0.0198, abs=1e-4)
    assert null_rate(0.01, 0) is None
    random = np.random.default_rng(5)
    rates = [value(tpr_at_fpr(random.normal(size=50), random.normal(size=100), 0.01).tpr) for _ in range(2000)]
    assert np.mean(rates) == pytest.approx(2 / 101, abs=0.0025)


def test_cuts_count_what_lies_strictly_above_each_threshold() -> None:
    thresholds, members, non_members = cuts(np.array([1.0, 2.0, 2.0]), np.array([0.0, 2.0]))
    assert thresholds.tolist() == [math.inf, 1.5, 0.5, -math.inf]
    assert members.tolist() == [0, 2, 3, 3] and non_members.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("m, n", [(1, 1), (7, 3), (5000, 20_000)])
def test_the_picture_of_the_curve_is_thin_monotone_and_reaches_both_corners(m: int, n: int) -> None:
    random = np.random.default_rng(2)
    members, non_members = random.normal(1, 1, m), random.normal(0, 1, n)
    points = np.array(roc_points(members, non_members))
    assert len(points) <= 400 and points[0].tolist() == [0, 0] and points[-1].tolist() == [1, 1]
    assert (np.diff(points, axis=0) >= 0).all()
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(
        value(auc(members, non_members)), abs=0.005 if n > 400 else 1e-12
    )
    assert (points[:, 0] <= 20 / n).sum() >= min(n, 20)  # the low end keeps single false positives


@pytest.mark.parametrize("scores", [np.zeros(5), np.full(5, 1e12), np.arange(1000.0), np.array([1e30, -1e30, 0.0])])
def test_the_histogram_holds_every_record_whatever_the_range(scores: np.ndarray) -> None:
    shares = histogram(scores, scores[:2])
    assert sum(shares["members"]) == pytest.approx(1) and sum(shares["non_members"]) == pytest.approx(1)
    assert (np.diff(shares["edges"]) > 0).all() and len(shares["edges"]) == 41
