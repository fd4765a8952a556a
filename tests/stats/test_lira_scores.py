"""Likelihood ratios over shadow runs against closed forms and tabulated values; intervals over runs."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from unlearn_cli.stats.auc_over_runs import clustered_auc, pooled_auc
from unlearn_cli.stats.lira_scores import fit_normals, folds, likelihood_ratios, one_sided

RECORDS = 400


def runs(count: int, shift: float, seed: int = 0, spread_in: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Membership by coins and phi ~ N(mu_i + shift * member, 1); mu_i is the record's own and varies widely."""
    random = np.random.default_rng(seed)
    members = random.random((count, RECORDS)) < 0.5
    noise = random.normal(size=(count, RECORDS)) * np.where(members, spread_in, 1.0)
    return members, 5 * random.normal(size=RECORDS) + shift * members + noise


@pytest.mark.parametrize("d", [1.0, 3.0])
def test_with_many_shadows_the_auc_is_that_of_the_ideal_test(d: float) -> None:
    members, phi = runs(200, d)
    assert pooled_auc(members, likelihood_ratios(members, phi)) == pytest.approx(norm.cdf(d / math.sqrt(2)), abs=0.012)


@pytest.mark.parametrize(("k", "auc"), [(4, 0.711), (8, 0.737), (16, 0.751)])
def test_with_few_shadows_it_is_lower_as_simulated(k: int, auc: float) -> None:
    """The table has k shadows a side with the variance known; pooling over 400 records comes close to that."""
    found = []
    for seed in range(6):
        members, phi = runs(4 * k, 1.0, seed)
        members[:] = (np.arange(4 * k) % 2 == 0)[:, None]  # exactly k a side among the two other folds
        phi = phi - phi + np.random.default_rng(seed).normal(size=phi.shape) + 1.0 * members
        found.append(pooled_auc(members, likelihood_ratios(members, phi, count=2)))
    assert np.mean(found) == pytest.approx(auc, abs=0.012)


def test_retraining_and_shuffled_membership_give_one_half() -> None:
    members, phi = runs(64, 0.0)
    assert pooled_auc(members, likelihood_ratios(members, phi)) == pytest.approx(0.5, abs=0.012)
    known, signal = runs(64, 3.0)
    shuffled = np.random.default_rng(1).permutation(known.ravel()).reshape(known.shape)
    assert pooled_auc(shuffled, likelihood_ratios(shuffled, signal)) == pytest.approx(0.5, abs=0.02)


def test_records_pushed_too_far_escape_the_one_sided_test_and_not_the_ratio() -> None:
    members, phi = runs(128, -2.0)
    assert pooled_auc(members, one_sided(members, phi)) == pytest.approx(norm.cdf(-math.sqrt(2)), abs=0.02)
    assert pooled_auc(members, likelihood_ratios(members, phi)) == pytest.approx(norm.cdf(math.sqrt(2)), abs=0.012)


def test_a_difference_of_spread_alone_is_seen_by_the_ratio() -> None:
    members, phi = runs(200, 0.0, spread_in=3.0)
    assert pooled_auc(members, one_sided(members, phi)) == pytest.approx(0.5, abs=0.02)
    assert pooled_auc(members, likelihood_ratios(members, phi)) > 0.65


def test_the_fit_by_hand_and_its_pooled_spread() -> None:
    chosen = np.array([[1, 1], [1, 0], [0, 1], [1, 1]], dtype=bool)
    phi = np.array([[1.0, 10.0], [3.0, 99.0], [99.0, 14.0], [5.0, 12.0]])
    mean, spread = fit_normals(chosen, phi)
    assert mean.tolist() == [3.0, 12.0]
    assert spread == pytest.approx(math.sqrt((4 + 0 + 4 + 4 + 4 + 0) / 4))  # two residual degrees of freedom a record
    many = np.ones((40, 1), dtype=bool)
    values = np.random.default_rng(0).normal(size=(40, 1))
    assert fit_normals(many, values)[1][0] == pytest.approx(values.std(ddof=1))


def test_every_run_is_a_target_once_and_no_shadow_of_itself() -> None:
    parts = folds(10, 4)
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
    members, phi = runs(8, 0.0)
    before = likelihood_ratios(members, phi)
    phi[0] += 1000.0
    after = likelihood_ratios(members, phi)
    assert np.array_equal(before[1], after[1], equal_nan=True)  # run 1 is in the same fold: run 0 is no shadow of it


def test_an_interval_over_runs_covers_and_is_wider_than_one_over_pairs_when_runs_differ() -> None:
    random, covered = np.random.default_rng(0), 0
    for _ in range(60):
        members = random.random((24, 50)) < 0.5
        offsets = 0.8 * random.normal(size=(24, 1)) * members  # each run leaks more or less, on average not at all
        scores = random.normal(size=(24, 50)) + offsets
        found = clustered_auc(members, scores)
        assert found.low is not None and found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert covered >= 53
    assert clustered_auc(np.ones((4, 3), dtype=bool), np.zeros((4, 3))).reason
