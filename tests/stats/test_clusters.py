"""Records of one person or recording: intervals, halves and tests go by cluster, and nothing changes without them."""

from typing import Any

import numpy as np
import pytest

from unlearn_cli.metrics.accuracy import accuracy
from unlearn_cli.metrics.calibration_error import calibration_error
from unlearn_cli.metrics.loss import loss
from unlearn_cli.metrics.mae import mae
from unlearn_cli.metrics.r2 import r2
from unlearn_cli.metrics.rmse import rmse
from unlearn_cli.stats.attack_results import summarize_scores
from unlearn_cli.stats.clusters import halves, measure_effective_share, number_clusters, parts
from unlearn_cli.stats.comparisons import average_over_references
from unlearn_cli.stats.findings import Scores
from unlearn_cli.stats.intervals import mean, proportion, share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import AttackResult, Estimate
from unlearn_cli.stats.roc import auc
from unlearn_cli.verdict.advice import advice
from unlearn_cli.verdict.checks import (
    PairedHits,
    check_auc_near_half,
    check_difference_near,
    check_hits_at_most,
    check_not_worse,
    check_share_at_most,
)

RECORDINGS, WINDOWS = 15, 23
GROUPS = np.repeat(np.arange(RECORDINGS), WINDOWS)


def recordings(random: np.random.Generator, count: int, alike: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Return scores with mean 0 and variance 1 and the recording of each; `alike` is their correlation within one."""
    groups = np.repeat(random.integers(0, 2**60, count), WINDOWS)
    of_recording = np.repeat(random.normal(size=count), WINDOWS)
    return np.sqrt(alike) * of_recording + np.sqrt(1 - alike) * random.normal(size=len(groups)), groups


def covers(found: Estimate, truth: float) -> bool:
    assert found.low is not None and found.high is not None, found
    return found.low <= truth <= found.high


def test_the_auc_of_never_seen_recordings_covers_one_half() -> None:
    random, by_cluster, by_record = np.random.default_rng(0), 0, 0
    for _ in range(400):
        (ours, groups), (others, other_groups) = recordings(random, 5), recordings(random, 10)
        by_cluster += covers(auc(ours, others, (groups, other_groups)), 0.5)
        by_record += covers(auc(ours, others), 0.5)
    assert by_cluster >= 0.91 * 400  # nominal 0.95; 0.93 and room of two standard errors
    assert by_record < 0.65 * 400


def test_a_recording_on_both_sides_of_an_auc_is_one_cluster() -> None:
    random = np.random.default_rng(1)
    hits, widths = 0, []
    for _ in range(300):
        scores, groups = recordings(random, 12, alike=0.8)
        side = random.random(len(scores)) < 0.5
        found = auc(scores[side], scores[~side], (groups[side], groups[~side]))
        hits += covers(found, 0.5)
        widths.append((found.high or 0) - (found.low or 0))
        assert found.clusters == 12
    assert hits >= 0.91 * 300
    assert np.mean(widths) < 0.25  # what the recordings have in common cancels out


@pytest.mark.parametrize("skill", [0.5, 0.9])
def test_accuracy_and_errors_cover_the_truth_with_clusters(skill: float) -> None:
    random, hits = np.random.default_rng(2), {"accuracy": 0, "mae": 0, "accuracy by record": 0}
    concentration = 4.0
    for _ in range(300):
        chances = np.repeat(random.beta(concentration * skill, concentration * (1 - skill), RECORDINGS), WINDOWS)
        right = random.random(len(GROUPS)) < chances
        hits["accuracy"] += covers(share(right, GROUPS), skill)
        hits["accuracy by record"] += covers(share(right), skill)
        errors = np.repeat(random.exponential(size=RECORDINGS), WINDOWS) + random.exponential(size=len(GROUPS))
        outputs = Outputs(errors, np.zeros(len(errors)), "regression", GROUPS)
        hits["mae"] += covers(mae(outputs), 2.0)
    assert hits["accuracy"] >= 0.91 * 300
    assert hits["mae"] >= 0.87 * 300  # 15 skewed clusters
    assert hits["accuracy by record"] < 0.8 * 300


def test_every_record_its_own_cluster_is_as_without_clusters() -> None:
    values = np.random.default_rng(3).normal(size=200)
    alone = np.arange(200)
    plain, clustered = mean(values), mean(values, groups=alone)
    assert clustered.low == pytest.approx(plain.low)
    assert clustered.high == pytest.approx(plain.high)
    assert clustered.design_effect == pytest.approx(1.0)
    assert clustered.degrees_of_freedom == pytest.approx(199)
    area, by_cluster = auc(values[:90], values[90:]), auc(values[:90], values[90:], (alone[:90], alone[90:]))
    assert by_cluster.design_effect == pytest.approx(1.0)
    assert by_cluster.low == pytest.approx(area.low, abs=0.003)  # t in place of normal quantiles
    right = values > 0
    assert share(right, alone).low == pytest.approx(proportion(int(right.sum()), 200).low, abs=0.002)


def test_copies_of_records_in_their_clusters_leave_the_interval_as_it_was() -> None:
    random = np.random.default_rng(4)
    values, groups = random.normal(size=30), np.arange(30)
    once, often = mean(values, groups=groups), mean(np.repeat(values, 9), groups=np.repeat(groups, 9))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert often.design_effect == pytest.approx(9, rel=0.05)
    assert often.clusters == 30


def test_where_all_records_are_hits_a_cluster_counts_as_one_record() -> None:
    found, like = share(np.ones(len(GROUPS), dtype=bool), GROUPS), proportion(RECORDINGS, RECORDINGS)
    assert found.low == pytest.approx(like.low)
    assert found.n == len(GROUPS)
    assert measure_effective_share(np.ones(len(GROUPS)), number_clusters(GROUPS)).n == pytest.approx(RECORDINGS)


def test_the_number_of_clusters_and_their_order_decide_nothing_else() -> None:
    random = np.random.default_rng(5)
    values, order = random.normal(size=len(GROUPS)), random.permutation(len(GROUPS))
    renamed = random.permutation(RECORDINGS)[GROUPS] * 17
    assert mean(values, groups=GROUPS).model_dump() == pytest.approx(
        mean(values[order], groups=renamed[order]).model_dump()
    )


def regression(groups: np.ndarray) -> Outputs:
    random = np.random.default_rng(6)
    return Outputs(random.normal(size=len(groups)), random.normal(size=len(groups)), "regression", groups)


def classification(groups: np.ndarray) -> Outputs:
    random = np.random.default_rng(7)
    return Outputs(random.normal(size=(len(groups), 3)), random.integers(0, 3, len(groups)), "classification", groups)


@pytest.mark.parametrize(
    ("metric", "make"),
    [(accuracy, classification), (loss, classification), (calibration_error, classification), (mae, regression),
     (rmse, regression), (r2, regression)],
)  # fmt: skip
def test_one_or_two_clusters_have_a_value_and_no_interval(metric: Any, make: Any) -> None:
    found = metric(make(np.repeat([3, 8], 40)))
    assert found.value is not None
    assert (found.low, found.high, found.clusters) == (None, None, 2)
    assert found.reason == "no interval: 2 clusters are too few, at least 3 are needed"
    whole = metric(make(np.repeat(np.arange(8), 10)))
    assert whole.low is not None and whole.low <= whole.value <= whole.high
    assert whole.clusters == 8


def test_too_few_clusters_stay_so_over_several_references() -> None:
    single = mae(regression(np.repeat([3, 8], 40)))
    found = average_over_references([single, single.model_copy(update={"value": 2.0})])
    assert (found.low, found.clusters) == (None, 2)
    assert found.reason and "too few" in found.reason


def estimates_of(block: AttackResult) -> dict[str, Estimate]:
    rates = {f"tpr {rate.fpr}": rate.tpr for rate in block.rates if rate.tpr.value is not None}
    names = ("auc", "auc_deviation", "balanced_accuracy", "advantage", "epsilon_lower_bound")
    return {**{name: getattr(block, name) for name in names}, **rates}


def block_of(members: int, non_members: int) -> AttackResult:
    random = np.random.default_rng(8)
    (ours, groups), (others, other_groups) = recordings(random, members), recordings(random, non_members)
    return summarize_scores(Scores(ours, others, groups, other_groups), name="a", tier="quick", settings={}, seed=0)


def test_an_attack_tells_clusters_and_design_effect() -> None:
    block = block_of(8, 20)
    for name, found in estimates_of(block).items():
        assert found.clusters in (8, 28), name
        assert found.low is not None, name
    assert (block.auc.clusters, block.auc.n) == (28, 28 * WINDOWS)
    assert block.auc.design_effect is not None and block.auc.design_effect > 3
    assert any("28 clusters (design effect" in warning for warning in block.warnings)


@pytest.mark.parametrize("sizes", [(2, 20), (20, 1)])
def test_an_attack_on_one_or_two_clusters_has_no_interval(sizes: tuple[int, int]) -> None:
    for name, found in estimates_of(block_of(*sizes)).items():
        assert (found.low, found.high) == (None, None), name
        assert found.reason, name
    random = np.random.default_rng(9)
    (ours, groups), (others, other_groups) = (recordings(random, size) for size in sizes)
    check = check_auc_near_half("claim", ours, others, 0.5, (groups, other_groups))
    assert (check.p_passed, check.p_failed) == (None, None)
    assert check.reason and "too few" in check.reason


def test_equivalence_is_not_shown_by_many_records_of_few_clusters() -> None:
    """At the margin itself a test at 5 % passes in 5 %: by record it would in far more."""
    random, passed, by_record = np.random.default_rng(10), 0, 0
    for _ in range(200):
        (ours, groups), (others, other_groups) = recordings(random, 15), recordings(random, 15)
        ours = ours + 0.9062  # AUC 0.7392 = Phi(0.9062 / sqrt(2)), the edge of the margin
        both = (groups, other_groups)
        passed += (check_auc_near_half("", ours, others, 0.2392, both).p_passed or 0.0) <= 0.05
        by_record += (check_auc_near_half("", ours, others, 0.2392).p_passed or 0.0) <= 0.05
    assert passed <= 0.09 * 200
    assert by_record > 0.2 * 200


def test_gates_on_shares_and_means_go_by_cluster() -> None:
    hits = np.zeros(len(GROUPS), dtype=bool)
    plain = check_share_at_most("", 0, len(hits), 0.05, share(hits))
    assert check_hits_at_most("", hits, 0.05, None, share(hits)) == plain
    assert plain.p_passed is not None and plain.p_passed < 1e-6
    clustered = check_hits_at_most("", hits, 0.05, GROUPS, share(hits, GROUPS))
    assert clustered.p_passed == pytest.approx(0.95**RECORDINGS)  # as many as 15 records, none of them a hit
    right = np.ones(len(GROUPS))
    assert (check_not_worse("", right, right[None], 0.02, unit=1.0).p_passed or 0) < 0.001
    assert (check_not_worse("", right, right[None], 0.02, unit=1.0, groups=GROUPS).p_passed or 0) > 0.05
    few = np.repeat([0, 1], [300, 45])
    assert check_not_worse("", right, right[None], 0.02, groups=few).p_passed is None
    side = PairedHits(right, np.stack([right, right]), few)
    assert check_difference_near("", side, side, 0.02).p_passed is None
    assert check_hits_at_most("", hits, 0.05, few, share(hits, few)).p_passed is None


def test_a_test_of_means_holds_its_level_with_clusters() -> None:
    random, passed, by_record = np.random.default_rng(11), 0, 0
    for _ in range(300):
        worse = np.repeat(random.normal(-0.5, 1, RECORDINGS), WINDOWS) + random.normal(size=len(GROUPS))
        nothing = np.zeros((1, len(GROUPS)))
        passed += (check_not_worse("", worse, nothing, 0.5, groups=GROUPS).p_passed or 0.0) <= 0.05
        by_record += (check_not_worse("", worse, nothing, 0.5).p_passed or 0.0) <= 0.05
    assert passed <= 0.08 * 300
    assert by_record > 0.15 * 300


@pytest.mark.parametrize("seed", range(20))
def test_halves_keep_clusters_whole_and_are_never_empty(seed: int) -> None:
    random = np.random.default_rng(seed)
    names = random.integers(0, 5, 40)
    groups, others = np.append(names, [0, 1]), np.append(random.integers(3, 9, 40), [7, 8])
    half, other_half = halves(groups, others, random)
    assert 0 < half.sum() < len(groups)
    assert 0 < other_half.sum() < len(others)
    both, masks = np.concatenate([groups, others]), np.concatenate([half, other_half])
    assert not np.intersect1d(both[masks], both[~masks]).size


def test_parts_keep_clusters_whole() -> None:
    found = parts(GROUPS, 3, np.random.default_rng(0))
    assert [len(rows) for rows in found] == [5 * WINDOWS] * 3
    assert len({int(group) for rows in found for group in set(GROUPS[rows])}) == RECORDINGS
    assert sum(len(set(GROUPS[rows])) for rows in found) == RECORDINGS


def test_advice_counts_clusters() -> None:
    plain, clustered = advice(345, 690), advice(345, 690, clusters=(15, 30))
    assert clustered[: len(plain)] == plain
    assert "15 and 30 clusters" in clustered[-1]
    assert "no gate can pass" in advice(345, 690, clusters=(2, 30))[-1]
    assert "design effect of the attack's AUC is at most" in advice(3000, 3000, clusters=(100, 100))[-1]
