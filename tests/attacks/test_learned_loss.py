import numpy as np
import pytest

from unlearn_cli.attacks.learned_loss import learned_loss
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.outputs import Outputs


def outputs(phi: np.ndarray) -> Outputs:
    return Outputs(np.column_stack([phi, np.zeros(len(phi))]), np.zeros(len(phi), dtype=np.int64), "classification")


def errors(values: np.ndarray) -> Outputs:
    return Outputs(values, np.zeros(len(values)), "regression")


def area(found: Findings) -> float:
    assert found.scores is not None
    return float((found.scores.members[:, None] > found.scores.non_members).mean())


def test_losses_that_do_not_overlap_are_told_apart_always() -> None:
    found = learned_loss(outputs(np.linspace(5, 6, 100)), outputs(np.linspace(-6, -5, 150)), 0)
    assert found.quantities["accuracy"].value == 1 and found.quantities["accuracy"].sd == 0
    assert found.quantities["accuracy"].runs == 10 and found.quantities["accuracy"].n == 200 and area(found) == 1


def test_equal_distributions_give_one_half() -> None:
    random = np.random.default_rng(1)
    found = learned_loss(outputs(random.normal(size=1000)), outputs(random.normal(size=1000)), 0, splits=20)
    assert found.quantities["accuracy"].value == pytest.approx(0.5, abs=0.05)
    assert area(found) == pytest.approx(0.5, abs=0.05)


def test_too_little_loss_scores_low_so_that_the_direction_is_kept() -> None:
    # members with the HIGHER loss (pushed too far): the scores must say so by an AUC below one half, not hide it
    assert area(learned_loss(outputs(np.linspace(-6, -5, 100)), outputs(np.linspace(5, 6, 100)), 0)) < 0.5


def test_the_order_of_the_records_does_not_matter_and_the_seed_does() -> None:
    random = np.random.default_rng(2)
    members, others = random.normal(0.5, 1, 60), random.normal(0, 1, 90)
    found = [learned_loss(outputs(one), outputs(others), 3).quantities for one in (members, members[::-1])]
    assert found[0] == found[1] != learned_loss(outputs(members), outputs(others), 4).quantities


def test_equal_losses_and_a_single_split_do_not_crash() -> None:
    found = learned_loss(outputs(np.zeros(20)), outputs(np.zeros(20)), 0, splits=1).quantities["accuracy"]
    assert found.value == 0.5 and found.sd is None


@pytest.mark.parametrize("m, n", [(0, 50), (50, 9), (1, 1)])
def test_too_few_records_give_null_with_a_reason(m: int, n: int) -> None:
    found = learned_loss(outputs(np.zeros(m)), outputs(np.zeros(n)), 0)
    assert found.quantities["accuracy"].value is None and found.quantities["accuracy"].reason and found.scores is None


def test_the_unit_of_a_regression_does_not_matter() -> None:
    random = np.random.default_rng(5)
    members, others = random.normal(0, 1, 100), random.normal(0, 3, 100)
    found = [learned_loss(errors(unit * members), errors(unit * others), 0) for unit in (1, 1000)]
    assert area(found[1]) == pytest.approx(area(found[0]))
