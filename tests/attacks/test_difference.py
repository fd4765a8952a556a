import numpy as np

from unlearn_cli.attacks.difference import difference
from unlearn_cli.stats.attack_results import summarize_scores
from unlearn_cli.stats.findings import Scores
from unlearn_cli.stats.outputs import Outputs


def outputs(phi: np.ndarray) -> Outputs:
    return Outputs(np.column_stack([phi, np.zeros(len(phi))]), np.zeros(len(phi), dtype=np.int64), "classification")


def scores(*parts: Outputs) -> Scores:
    found = difference(*parts)
    assert found.scores is not None and not found.quantities and "original" in found.warnings[0]
    return found.scores


def test_a_network_left_unchanged_gives_an_auc_of_exactly_one_half_and_finds_nobody() -> None:
    forget, holdout = outputs(np.linspace(-3, 9, 200)), outputs(np.linspace(-5, 5, 300))
    block = summarize_scores(
        scores(forget, holdout, forget, holdout), name="difference", tier="quick", settings={}, seed=0
    )
    assert block.auc.value == 0.5 and block.rates[1].tpr.value == 0


def test_a_retrained_network_scores_high_because_only_the_forgotten_fell() -> None:
    random = np.random.default_rng(0)
    before, holdout = outputs(random.normal(5, 1, 200)), random.normal(0, 1, 200)
    after = outputs(random.normal(0, 1, 200)), outputs(holdout + random.normal(0, 1, 200))
    found = scores(*after, before, outputs(holdout))
    assert (found.members[:, None] > found.non_members).mean() > 0.95


def test_the_score_is_the_fall_of_phi_and_of_a_regression_the_growth_of_the_error() -> None:
    assert scores(*(outputs(np.array([phi])) for phi in (1.0, 2.0, 4.0, 1.5))).members.tolist() == [3.0]
    parts = [Outputs(np.array([value]), np.array([0.0]), "regression") for value in (-5.0, 1.0, 2.0, 3.0)]
    found = scores(*parts)
    assert (found.members.tolist(), found.non_members.tolist()) == ([3.0], [-2.0])
