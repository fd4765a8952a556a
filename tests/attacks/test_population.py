import math
from typing import get_args

import numpy as np
import pytest

from unlearn_cli.attacks.population import Statistic, margin, modified_entropy, population
from unlearn_cli.errors import UserError
from unlearn_cli.stats.outputs import Outputs

STATISTICS: tuple[Statistic, ...] = get_args(Statistic)


def classifier(logits: np.ndarray, labels: list[int] | np.ndarray) -> Outputs:
    return Outputs(np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64), "classification")


def scores(logits: np.ndarray, labels: list[int], statistic: Statistic) -> np.ndarray:
    given = classifier(logits, labels)
    found = population(given, given, statistic=statistic)
    assert (found.members == found.non_members).all()
    return found.members


def test_phi_is_the_margin_over_all_other_classes() -> None:
    assert margin(np.array([[2.0, 0.0, 0.0]]), np.array([0])) == pytest.approx(1.306853, abs=1e-6)


def test_phi_ignores_a_constant_added_to_all_logits() -> None:
    logits, labels = np.random.default_rng(0).normal(size=(20, 5)), np.arange(20) % 5
    assert margin(logits + 1000, labels) == pytest.approx(margin(logits, labels), abs=1e-9)


def test_phi_of_two_classes_is_the_difference_of_their_logits() -> None:
    assert margin(np.array([[3.0, 1.0], [3.0, 1.0]]), np.array([0, 1])).tolist() == [2, -2]


def test_phi_stays_finite_and_ordered_at_gaps_where_softmax_saturates() -> None:
    logits = np.array([[gap, 0.0, 0.0] for gap in (15.0, 20.0, 40.0, 1e4)])
    phi = margin(logits, np.zeros(4, dtype=int))
    assert phi == pytest.approx(logits[:, 0] - math.log(2)) and (np.diff(phi) > 0).all()
    loss = scores(logits[:3], [0, 0, 0], "loss")
    assert (np.diff(loss) > 0).all()  # via softmax all three would be equal


def test_every_statistic_has_its_closed_form() -> None:
    p = np.array([0.7, 0.2, 0.1])
    logits = np.log([p, p])
    for statistic, of_0, of_2 in [
        ("margin", math.log(0.7 / 0.3), math.log(0.1 / 0.9)),
        ("loss", math.log(0.7), math.log(0.1)),
        ("confidence", 0.7, 0.1),
        ("entropy", (p * np.log(p)).sum(), (p * np.log(p)).sum()),
        ("modified_entropy", -0.1621672, -2.9597363),
        ("correctness", 1, 0),
    ]:
        assert scores(logits, [0, 2], statistic) == pytest.approx([of_0, of_2], abs=1e-7)


@pytest.mark.parametrize("classes, expected", [(2, math.log(2)), (4, 1.2554823)])
def test_the_modified_entropy_of_a_uniform_guess_is_known(classes: int, expected: float) -> None:
    assert modified_entropy(np.zeros((1, classes)), np.array([0])) == pytest.approx(expected, abs=1e-7)


def test_the_modified_entropy_is_0_when_surely_right_and_large_but_finite_when_surely_wrong() -> None:
    found = modified_entropy(np.array([[500.0, 0.0, 0.0], [0.0, 500.0, 0.0]]), np.array([0, 0]))
    assert found[0] == pytest.approx(0, abs=1e-12)
    assert found[1] == pytest.approx(1000 - math.log(2), rel=1e-9)  # 500 from the label, 500 - ln 2 from the winner


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_batch_equals_its_records_one_by_one(statistic: Statistic) -> None:
    # SalUn's modified entropy indexes the columns of all rows by all labels, so that it depends on the batch
    logits, labels = np.random.default_rng(0).normal(0, 4, (30, 5)), [i % 5 for i in range(30)]
    alone = [scores(logits[i : i + 1], labels[i : i + 1], statistic)[0] for i in range(30)]
    assert scores(logits, labels, statistic) == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_confident_right_answers_score_higher_than_unsure_wrong_ones(statistic: Statistic) -> None:
    sure, unsure = classifier(np.array([[9.0, 0, 0]]), [0]), classifier(np.array([[1.0, 0, 0]]), [1])
    found = population(sure, unsure, statistic=statistic)
    assert found.members[0] > found.non_members[0]


@pytest.mark.parametrize("statistic", STATISTICS)
def test_no_records_give_no_scores_and_the_outputs_stay_untouched(statistic: Statistic) -> None:
    given, logits = classifier(np.ones((2, 3)), [0, 1]), np.ones((2, 3))
    assert len(population(classifier(np.empty((0, 3)), []), given, statistic=statistic).members) == 0
    assert (given.values == logits).all()


def test_a_regression_is_scored_by_closeness() -> None:
    given = Outputs(np.array([1.0, 5.0]), np.array([2.0, 2.0]), "regression")
    assert population(given, given).members.tolist() == [-1, -3]
    assert population(given, given, statistic="loss").members.tolist() == [-1, -3]


@pytest.mark.parametrize("statistic", ["confidence", "entropy", "modified_entropy", "correctness"])
def test_a_regression_has_no_statistics_of_classes(statistic: Statistic) -> None:
    given = Outputs(np.zeros(2), np.zeros(2), "regression")
    with pytest.raises(UserError, match=f"'{statistic}' is not defined for regression"):
        population(given, given, statistic=statistic)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_outputs_that_are_not_finite_are_refused(statistic: Statistic) -> None:
    # 'correctness' would otherwise turn NaN into an ordinary 0 or 1
    bad = classifier(np.array([[math.nan, 1.0]]), [0])
    with pytest.raises(UserError, match="2 are not finite"):
        population(bad, bad, statistic=statistic)
