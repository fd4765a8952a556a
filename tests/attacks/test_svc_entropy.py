import numpy as np
import pytest

from unlearn_cli.attacks.svc_entropy import svc_entropy
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.signals import entropy


def outputs(gaps: np.ndarray) -> Outputs:
    return Outputs(np.column_stack([gaps, np.zeros(len(gaps))]), np.zeros(len(gaps), dtype=np.int64), "classification")


def normal(n: int, centre: float, seed: int) -> Outputs:
    return outputs(np.abs(np.random.default_rng(seed).normal(centre, 1, n)))


def test_the_entropy_is_in_nats() -> None:
    assert entropy(np.zeros((1, 10))) == pytest.approx(np.log(10))
    assert entropy(np.array([[800.0, 0.0]])).tolist() == [0.0]


def test_nine_members_to_one_flag_everyone_and_are_told_to_be_uninformative() -> None:
    # an AUC of about 0.74, yet a constant classifier
    found = svc_entropy(normal(200, 0, 1), normal(1800, 1, 2), normal(200, 0, 3), 0, protocol="bad_teacher")
    assert found.quantities["flagged_forget"].value == 1.0 and found.informative is False
    assert found.quantities["flagged_test"].value == 1.0 and any("void" in one for one in found.warnings)


def test_balanced_sides_that_differ_make_an_informative_attack() -> None:
    found = svc_entropy(normal(300, 0, 1), normal(2000, 4, 2), normal(600, 0, 3), 0)
    told = {name: estimate.value or 0.0 for name, estimate in found.quantities.items()}
    assert found.informative and told["flagged_retain"] > 0.85 > 0.3 > told["flagged_test"]
    assert told["flagged_forget"] == pytest.approx(told["flagged_test"], abs=0.1)
    assert told["balanced_accuracy"] == pytest.approx((1 + told["flagged_retain"] - told["flagged_test"]) / 2)


def test_sides_that_do_not_differ_are_uninformative() -> None:
    found = svc_entropy(normal(100, 0, 1), normal(400, 0, 2), normal(400, 0, 3), 0)
    accuracy = found.quantities["balanced_accuracy"]
    assert found.informative is False and (accuracy.low or 0) <= 0.5 <= (accuracy.high or 0)


def test_the_seed_decides_and_the_order_does_not_matter() -> None:
    retain, order = normal(200, 2, 2), np.arange(200)[::-1]
    given = normal(50, 0, 1), normal(100, 0, 3)
    found = [svc_entropy(given[0], one, given[1], 5) for one in (retain, retain.take(order), retain)]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("sizes", [(0, 9, 9), (9, 3, 9), (9, 9, 0)])
def test_too_few_records_give_null_with_a_reason(sizes: tuple[int, int, int]) -> None:
    forget, retain, test = (normal(n, 1, n) for n in sizes)
    found = svc_entropy(forget, retain, test, 0).quantities["flagged_forget"]
    assert found.value is None and found.reason


def test_the_cap_bounds_each_side() -> None:
    found = svc_entropy(normal(10, 0, 1), normal(200, 3, 2), normal(200, 0, 3), 0, max_records=40).quantities
    assert found["flagged_retain"].n == found["flagged_test"].n == 10  # a quarter of each is kept apart
