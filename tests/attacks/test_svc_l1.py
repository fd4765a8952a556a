import numpy as np

from unlearn_cli.attacks.svc_l1 import svc_l1
from unlearn_cli.stats.outputs import Outputs


def outputs(n: int, scale: float, seed: int) -> Outputs:
    return Outputs(scale * np.random.default_rng(seed).normal(size=n) + 7, np.full(n, 7.0), "regression")


def test_a_network_that_fits_retain_better_makes_an_informative_attack() -> None:
    found = svc_l1(outputs(200, 3, 1), outputs(800, 0.3, 2), outputs(800, 3, 3), 0)
    told = {name: estimate.value or 0.0 for name, estimate in found.quantities.items()}
    assert found.informative and told["flagged_retain"] > 0.8
    assert abs(told["flagged_forget"] - told["flagged_test"]) < 0.1


def test_the_sign_of_the_error_does_not_matter() -> None:
    given = [outputs(n, scale, n) for n, scale in ((50, 2.0), (200, 1.0), (100, 2.0))]
    turned = [Outputs(14 - one.values, one.labels, one.task) for one in given]
    expected = svc_l1(given[0], given[1], given[2], 0).quantities["flagged_forget"].value
    assert svc_l1(turned[0], turned[1], turned[2], 0).quantities["flagged_forget"].value == expected


def test_two_thousand_of_a_side_are_the_most() -> None:
    found = svc_l1(outputs(5, 1, 1), outputs(2400, 0.1, 2), outputs(2400, 3, 3), 0).quantities
    assert found["flagged_retain"].n == found["flagged_test"].n == 500
