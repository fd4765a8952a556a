import math

import numpy as np
import pytest

from unlearn_cli.errors import UserError
from unlearn_cli.stats.attack_results import summarize_scores
from unlearn_cli.stats.findings import Scores
from unlearn_cli.stats.results import AttackResult


def block(members: np.ndarray, non_members: np.ndarray, seed: int = 0) -> AttackResult:
    return summarize_scores(Scores(members, non_members), name="population", tier="quick", settings={"a": 1}, seed=seed)


def test_a_block_is_complete_and_survives_json() -> None:
    random = np.random.default_rng(0)
    found = block(random.normal(1, 1, 700), random.normal(0, 1, 1200), seed=5)
    assert AttackResult.model_validate_json(found.model_dump_json()) == found
    assert (found.num_members, found.num_non_members, found.seed, found.settings) == (700, 1200, 5, {"a": 1})
    assert [rate.fpr for rate in found.rates] == [0.001, 0.01, 0.05] and list(found.ppv_at_prior) == [
        "0.5",
        "0.1",
        "0.01",
    ]
    assert found.auc.value == pytest.approx(0.76, abs=0.03) and found.epsilon_lower_bound.value is not None
    assert (
        found.epsilon_max_attainable is not None and 0 < found.epsilon_lower_bound.value < found.epsilon_max_attainable
    )
    assert found.direction == "two-sided" and found.warnings == []


def test_the_warning_about_few_records_is_about_the_margin_of_the_gates() -> None:
    scores = Scores(np.arange(60.0), np.arange(60.0) + 0.5)
    settings = {"name": "population", "tier": "quick", "settings": {}, "seed": 0}
    default, wide = (summarize_scores(scores, **settings, auc_margin=margin).warnings[0] for margin in (0.05, 0.1))
    assert default.endswith("cannot show that the AUC is within 0.05 of 1/2: at least 181 + 181 are needed")
    assert wide.endswith("may fail to show that the AUC is within 0.1 of 1/2: 144 + 144 give 80 % power")


def test_equal_seeds_give_equal_blocks_whatever_the_order_of_the_records() -> None:
    random = np.random.default_rng(0)
    members, non_members = random.normal(1, 1, 60), random.normal(0, 1, 70)
    assert block(members, non_members, 3) == block(members[::-1], non_members[::-1], 3)
    assert block(members, non_members, 3).balanced_accuracy != block(members, non_members, 4).balanced_accuracy


@pytest.mark.parametrize(
    "members, non_members",
    [
        (np.zeros(1), np.zeros(1)),
        (np.ones(1), np.zeros(1)),
        (np.ones(1), np.zeros(500)),
        (np.zeros(300), np.zeros(300)),
        (np.zeros(0), np.zeros(4)),
        (np.zeros(4), np.zeros(0)),
        (np.full(3, 1e300), np.full(3, -1e300)),
    ],
)
def test_a_degenerate_set_of_scores_is_reported_with_a_warning_rather_than_raised(
    members: np.ndarray, non_members: np.ndarray
) -> None:
    found = block(members, non_members)
    assert found.warnings and found.num_members == len(members)
    assert (found.auc.value is None) == (min(len(members), len(non_members)) == 0)


def test_scores_that_are_too_low_are_leakage_as_well() -> None:
    found = block(np.linspace(-9, -8, 200), np.linspace(0, 1, 200))
    assert found.auc.value == 0 and found.auc_deviation.value == 0.5
    assert found.auc_deviation.low is not None and found.auc_deviation.low > 0.4
    assert found.rates[1].tpr.value == 0 and found.rates[1].tpr_mirrored.value == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(UserError, match="'population': the non-members' scores: 1 of 3 are not finite"):
        block(np.zeros(3), np.array([0.0, bad, 1.0]))


@pytest.mark.parametrize(
    "n, fragment", [(180, "cannot show"), (181, "may fail to show"), (571, "may fail to show"), (572, "")]
)
def test_too_few_records_for_the_margin_are_pointed_out(n: int, fragment: str) -> None:
    random = np.random.default_rng(0)
    warnings = [text for text in block(random.normal(size=n), random.normal(size=n)).warnings if "AUC" in text]
    assert len(warnings) == bool(fragment) and all(fragment in text for text in warnings)


def test_rates_that_cannot_be_resolved_and_ties_are_pointed_out() -> None:
    warnings = block(np.zeros(600), np.zeros(600)).warnings
    assert warnings[0] == "TPR at FPR 0.001 is null: 600 non-members, needed 1000"
    assert warnings[1].startswith("100.0% of all member/non-member pairs have equal scores")
