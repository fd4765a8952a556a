"""Checks against simulation and exact distributions: errors of both kinds, sizes, direction, degenerate data."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from unlearn_cli.stats.intervals import proportion
from unlearn_cli.stats.results import Estimate
from unlearn_cli.verdict.checks import (
    Check,
    PairedHits,
    check_auc_near_half,
    check_difference_near,
    check_not_worse,
    check_share_at_most,
)

LEVEL = 0.05


def normal_scores(n: int, shift: float = 0.0) -> np.ndarray:
    return norm.ppf((np.arange(1, n + 1) - 0.5) / n) + shift


def shift_of(auc: float) -> float:
    """Equal-variance normals with this AUC: AUC = Phi(d / sqrt 2)."""
    return float(norm.ppf(auc) * np.sqrt(2))


@pytest.mark.parametrize("truth", [0.55, 0.45])
def test_at_the_margin_an_auc_passes_in_at_most_five_of_a_hundred(truth: float) -> None:
    random, passed = np.random.default_rng(0), 0
    for _ in range(400):
        check = check_auc_near_half("", random.normal(shift_of(truth), 1, 600), random.normal(0, 1, 600), 0.05)
        passed += (check.p_passed or 0.0) <= LEVEL
    assert passed / 400 <= 0.075  # 0.05, and two standard errors of the simulation


def test_with_572_records_a_side_scores_that_know_nothing_pass_in_four_of_five() -> None:
    random, passed, failed = np.random.default_rng(1), 0, 0
    for _ in range(400):
        check = check_auc_near_half("", random.normal(0, 1, 572), random.normal(0, 1, 572), 0.05)
        assert check.p_passed is not None and check.p_failed is not None
        passed += check.p_passed <= LEVEL
        failed += check.p_failed <= LEVEL
    assert 0.74 < passed / 400 < 0.86
    assert failed / 400 <= 0.01


@pytest.mark.parametrize(("n", "can_pass"), [(170, False), (195, True)])
def test_181_records_a_side_are_the_least_that_can_pass(n: int, can_pass: bool) -> None:
    interleaved = np.arange(2.0 * n)
    check = check_auc_near_half("", interleaved[::2] + np.where(np.arange(n) % 2, 1.5, 0.0), interleaved[1::2], 0.05)
    assert check.value.value == pytest.approx(0.5, abs=0.01)
    assert ((check.p_passed or 0.0) <= LEVEL) is can_pass


def test_scores_far_too_low_fail_like_scores_far_too_high() -> None:
    high, low = (check_auc_near_half("", normal_scores(300, shift), normal_scores(300), 0.05) for shift in (1.0, -1.0))
    assert high.p_failed is not None and high.p_failed < 1e-6
    assert low.p_failed == pytest.approx(high.p_failed, rel=1e-6)
    separated = check_auc_near_half("", np.arange(300.0), np.arange(300.0) + 1000, 0.05)
    assert separated.p_failed is not None and separated.p_failed < 1e-3


def test_a_single_record_decides_nothing_and_none_has_a_reason() -> None:
    one = check_auc_near_half("", np.array([0.3]), normal_scores(100), 0.05)
    assert (one.p_passed or 0) > LEVEL
    assert (one.p_failed or 0) > LEVEL
    assert check_auc_near_half("", np.empty(0), normal_scores(100), 0.05).reason


@pytest.mark.parametrize(("hits", "n", "limit"), [(0, 100, 0.05), (3, 60, 0.05), (12, 60, 0.05), (60, 60, 0.05)])
def test_a_share_is_tested_by_the_exact_binomial(hits: int, n: int, limit: float) -> None:
    check = check_share_at_most("", hits, n, limit, proportion(hits, n))
    assert check.p_passed == pytest.approx(binomtest(hits, n, limit, alternative="less").pvalue)
    assert check.p_failed == pytest.approx(binomtest(hits, n, limit, alternative="greater").pvalue)
    assert check_share_at_most("", 0, 0, limit, Estimate(value=None, n=0, reason="none")).reason


def test_paired_records_need_not_be_many_to_show_that_nothing_was_lost() -> None:
    theirs = np.random.default_rng(0).integers(0, 2, (1, 2000)).astype(np.float64)
    same = check_not_worse("", theirs[0], theirs, 0.02, unit=1.0)
    assert same.p_passed is not None and same.p_passed < 1e-12
    assert same.p_failed == pytest.approx(1)
    few = check_not_worse("", np.ones(3), np.ones((1, 3)), 0.02, unit=1.0)
    assert (few.p_passed or 0) > 0.3  # three records that agree prove nothing
    worse = theirs[0].copy()
    worse[:200] = 0
    lost = check_not_worse("", worse, theirs, 0.02)
    assert lost.p_failed is not None and lost.p_failed < LEVEL
    assert lost.value.value == pytest.approx(-theirs[0, :200].sum() / 2000)


def test_references_that_differ_widen_the_doubt() -> None:
    random = np.random.default_rng(0)
    ours = random.integers(0, 2, 4000).astype(np.float64)
    alike = np.stack([ours] * 4)
    apart = alike.copy()
    apart[:2, :400] = 0
    sure, unsure = (check_not_worse("", ours, theirs, 0.02) for theirs in (alike, apart))
    assert (sure.p_passed or 0) < (unsure.p_passed or 0)


@pytest.mark.parametrize(("runs", "most"), [(2, 0.08), (4, 0.08), (8, 0.08)])
def test_few_references_make_passing_at_the_margin_no_likelier(runs: int, most: float) -> None:
    """The judged network is fixed; with n - 1 degrees of freedom instead of Welch's, too many pass with two."""
    random, passed = np.random.default_rng(runs), 0
    for _ in range(500):
        shares = 0.8 + 0.01 * random.normal(size=runs + 1)
        shares[0] = 0.8 - 0.02  # at the margin of the mean of all retrainings
        drawn = (random.random((runs + 1, 2000)) < shares[:, None]).astype(np.float64)
        passed += (check_not_worse("", drawn[0], drawn[1:], 0.02, unit=1.0).p_passed or 0.0) <= LEVEL
    assert passed / 500 <= most


def flipped(share: float, n: int, seed: int) -> np.ndarray:
    """Hits of networks that agree on nine records of ten and guess on the others."""
    random = np.random.default_rng(seed)
    return np.where(np.arange(n) < 0.9 * n, np.arange(n) < share * n, random.random(n) < 0.5).astype(np.float64)


def difference(ours: list[np.ndarray], theirs: list[np.ndarray], margin: float = 0.03) -> Check:
    """Compare shares of hits on two sides, each ours (n,) and theirs (K, n)."""
    side, other = (PairedHits(*pair) for pair in zip(ours, theirs, strict=True))
    return check_difference_near("", side, other, margin)


def test_a_difference_of_shares_is_compared_with_that_of_one_more_reference() -> None:
    references = [np.stack([flipped(share, 4000, seed) for seed in range(4)]) for share in (0.6, 0.7)]
    near = difference([flipped(0.6, 4000, 9), flipped(0.7, 4000, 9)], references)
    far = difference([np.ones(4000), flipped(0.7, 4000, 9)], references)
    assert near.p_passed is not None and near.p_passed < LEVEL
    assert far.p_failed is not None and far.p_failed < LEVEL
    single = difference([side[0] for side in references], [side[:1] for side in references])
    assert single.reason and single.p_failed is None
    exact = difference([np.zeros(500), np.zeros(500)], [np.zeros((4, 500))] * 2)
    assert exact.p_passed is not None and exact.p_passed < 0.001


def test_a_change_of_both_shares_is_another_recipe_and_does_not_fail() -> None:
    references = [np.stack([flipped(0.6, 4000, seed) for seed in range(4)])] * 2
    better = difference([flipped(0.8, 4000, 8), flipped(0.8, 4000, 9)], references)
    assert better.value.value == pytest.approx(0, abs=0.02)
    assert better.p_failed is not None and better.p_failed > 0.5


def test_few_records_on_which_references_agree_fail_nobody() -> None:
    single = difference([np.zeros(1), np.ones(1)], [np.ones((4, 1))] * 2)
    assert (single.p_failed or 0) > 0.1
    random, failed = np.random.default_rng(0), 0
    for _ in range(300):
        sides = [(random.random((5, 20)) < np.linspace(0.1, 1.0, 20)).astype(np.float64) for _ in range(2)]
        check = difference([side[0] for side in sides], [side[1:] for side in sides])
        failed += (check.p_failed or 0.0) <= LEVEL / 4 / 6
    assert failed / 300 <= 0.02
