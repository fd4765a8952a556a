import math

import numpy as np
import pytest

from unlearn_cli.attacks.rmia import rmia
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.rmia_scores import log_prior, rmia_scores


def outputs(logits: np.ndarray) -> Outputs:
    return Outputs(logits, np.zeros(len(logits), dtype=np.int64), "classification")


def drawn(n: int, seed: int) -> Outputs:
    return outputs(np.random.default_rng(seed).normal(0, 3, (n, 4)))


def test_the_score_is_that_of_the_full_matrix_of_ratios() -> None:
    random = np.random.default_rng(0)
    ratios, population = random.normal(size=50), random.normal(size=40)
    population[:5] = ratios[:5]  # ties
    for gamma in (0.5, 1.0, 2.0):
        gaps = ratios[:, None] - math.log(gamma) - population
        expected = ((gaps > 0) + 0.5 * (gaps == 0)).mean(axis=1)
        assert rmia_scores(ratios, population, gamma) == pytest.approx(expected, abs=1e-12)


def test_a_record_equal_to_the_whole_population_ties_at_one_half() -> None:
    assert rmia_scores(np.zeros(3), np.zeros(7), 1.0).tolist() == [0.5, 0.5, 0.5]


def test_the_prior_at_the_ends_of_a() -> None:
    log_p = np.log([[0.2, 0.9], [0.4, 0.1]])
    assert np.exp(log_prior(log_p, 1.0)) == pytest.approx([0.3, 0.5])
    assert np.exp(log_prior(log_p, 0.0)) == pytest.approx([0.65, 0.75])


@pytest.mark.parametrize("count", [1, 3])
def test_a_target_that_equals_its_references_scores_one_half_everywhere(count: int) -> None:
    forget, holdout = drawn(30, 1), drawn(40, 2)
    found = rmia(forget, holdout, [forget] * count, [holdout] * count, a=1.0)
    assert set(found.members) | set(found.non_members) == {0.5}


def test_probabilities_that_underflow_keep_their_ratio() -> None:
    assert log_prior(np.array([[-900.0], [-900.0]]), 1.0) == pytest.approx([-900.0])


def test_scores_rise_with_the_probability_of_the_label_and_are_multiples_of_half_a_population_record() -> None:
    logits = np.zeros((50, 3))
    logits[:, 0] = np.linspace(-4, 4, 50)
    holdout = drawn(40, 3)
    found = rmia(outputs(logits), holdout, [outputs(np.zeros((50, 3)))], [holdout]).members
    assert (np.diff(found) >= 0).all() and found[-1] > found[0]
    assert (found * 40 % 1 == 0).all() and len(rmia(holdout, holdout, [holdout], [holdout]).non_members) == 20


def test_a_memorised_record_scores_above_records_never_seen() -> None:
    forget, holdout = drawn(200, 4), drawn(200, 5)
    boost = outputs(forget.values + np.array([4.0, 0, 0, 0]))
    found = rmia(boost, holdout, [forget, drawn(200, 6)], [holdout, drawn(200, 7)])
    assert (found.members[:, None] > found.non_members).mean() > 0.7


def test_a_regression_uses_the_likelihood_of_the_residual_whatever_the_unit() -> None:
    random = np.random.default_rng(8)

    def sized(n: int, scale: float, unit: float) -> Outputs:
        return Outputs(unit * scale * random.normal(size=n), np.zeros(n), "regression")

    found = []
    for unit in (1.0, 12.0):
        random = np.random.default_rng(8)
        parts = sized(80, 0.2, unit), sized(80, 1, unit), [sized(80, 1, unit)], [sized(80, 1, unit)]
        found.append(rmia(*parts))
    assert found[0].members == pytest.approx(found[1].members)
    assert found[0].members.mean() > found[0].non_members.mean() + 0.1


def test_a_hold_out_of_one_record_leaves_nothing_to_attack() -> None:
    one, forget = drawn(1, 9), drawn(5, 10)
    assert len(rmia(forget, one, [forget], [one]).members) == 0
