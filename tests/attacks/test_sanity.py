import numpy as np
import pytest

from unlearn_cli.attacks.sanity import sanity
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.outputs import Outputs


def classified(logits: np.ndarray, labels: np.ndarray) -> Findings:
    return sanity({"test": Outputs(logits, labels, "classification")})


def predicted(values: np.ndarray, labels: np.ndarray) -> Findings:
    return sanity({"test": Outputs(values, labels, "regression")})


LABELS = np.arange(300) % 3


def test_a_working_network_is_left_alone() -> None:
    found = classified(np.eye(3)[LABELS] * 5 + np.random.default_rng(0).normal(size=(300, 3)), LABELS)
    assert found.informative and not found.warnings
    assert (found.quantities["most_named_class"].value or 1) < 0.5 and found.quantities[
        "equal_outputs"
    ].value == 1 / 300


def test_constant_outputs_are_broken_and_told_in_words() -> None:
    found = classified(np.tile([1.0, 0.0, -1.0], (300, 1)), LABELS)
    assert found.informative is False and "broken" in found.warnings[0]
    assert found.quantities["equal_outputs"].value == found.quantities["most_named_class"].value == 1


def test_one_class_that_takes_nearly_all_is_broken_and_one_that_takes_most_is_not() -> None:
    logits = np.random.default_rng(1).normal(size=(300, 3))
    logits[:, 0] += 50
    assert classified(logits, LABELS).informative is False
    logits[:10, 1] += 100
    assert classified(logits, LABELS).informative


def test_a_test_set_of_one_class_cannot_tell() -> None:
    assert classified(np.tile([1.0, 0.0, -1.0], (9, 1)), np.zeros(9, dtype=np.int64)).informative


def test_a_regression_that_predicts_a_constant_is_broken() -> None:
    labels = np.linspace(0, 1, 50)
    assert predicted(np.full(50, 0.5), labels).informative is False
    assert predicted(labels + 0.1, labels).informative


@pytest.mark.parametrize("unit", [1e-10, 1.0])
def test_the_unit_of_a_regression_does_not_matter(unit: float) -> None:
    labels = np.linspace(0, 1, 50)
    assert predicted(unit * (labels + 0.1), unit * labels).informative


def test_predictions_far_from_0_are_not_taken_for_a_constant() -> None:
    labels = 2e6 + np.linspace(0, 10, 50)
    assert predicted(labels, labels).informative


def test_a_rare_class_does_not_make_a_network_that_knows_it_look_broken() -> None:
    labels = (np.arange(1000) < 5).astype(np.int64)
    assert classified(np.eye(2)[labels] * 5 + np.random.default_rng(0).normal(0, 0.1, (1000, 2)), labels).informative


def test_constant_outputs_are_broken_however_rare_the_other_class_is() -> None:
    labels = (np.arange(1000) < 5).astype(np.int64)
    assert classified(np.tile([1.0, 0.0], (1000, 1)), labels).informative is False


def test_constants_are_judged_on_the_classes_that_remain() -> None:
    labels = np.arange(300) % 2
    constant = Outputs(np.tile([0.0, 1.0], (300, 1)), labels, "classification")
    for classes, informative in (([1], True), ([0, 1], False)):
        retain = constant.take(np.flatnonzero(np.isin(labels, classes)))
        assert sanity({"test": constant, "retain": retain}).informative is informative
