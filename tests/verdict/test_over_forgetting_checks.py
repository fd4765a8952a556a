import numpy as np
import pytest

from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.verdict.over_forgetting_checks import (
    compare,
    describe_over_forgetting,
    make_over_forgetting_gate,
    mask_retained_kinds,
)


def with_accuracy(right: int, n: int) -> Outputs:
    values = np.zeros((n, 2))
    values[:right, 0], values[right:, 1] = 1, 1
    return Outputs(values, np.zeros(n, dtype=np.int64), "classification")


def with_error(error: float, n: int = 200) -> Outputs:
    noise = np.random.default_rng(0).normal(size=n)
    return Outputs(error * noise, np.zeros(n), "regression")


@pytest.mark.parametrize(
    ("forget", "never_seen", "detected"),
    [
        ((15, 100), (90, 100), True), ((60, 100), (90, 100), True), ((80, 100), (90, 100), False),
        ((90, 100), (90, 100), False), ((100, 100), (50, 100), False), ((0, 10), (99, 100), True),
        ((4, 10), (9, 10), False),
    ],
)  # fmt: skip
def test_accuracies_must_differ_by_more_than_their_intervals_and_the_margin(
    forget: tuple[int, int], never_seen: tuple[int, int], detected: bool
) -> None:
    result = compare(with_accuracy(*forget), [with_accuracy(*never_seen)], "classes")
    assert result.detected is detected
    if detected:
        assert (
            "accuracy on forget" in describe_over_forgetting(result)
            and make_over_forgetting_gate(result).verdict == "failed"
        )


@pytest.mark.parametrize(("forget", "detected"), [((49, 100), False), ((30, 100), False), ((15, 100), True)])
def test_of_a_group_that_may_be_unlike_others_only_less_than_half_the_level_counts(
    forget: tuple[int, int], detected: bool
) -> None:
    result = compare(with_accuracy(*forget), [with_accuracy(385, 500)], "group", unlike_others=True)
    assert result.detected is detected and result.limit == pytest.approx(0.365, abs=0.01)
    assert compare(with_error(1.7), [with_error(1.0)], "group", unlike_others=True).detected is False
    assert compare(with_error(4.0), [with_error(1.0)], "group", unlike_others=True).detected is True


def test_the_worst_reference_decides() -> None:
    references = [with_accuracy(99, 100), with_accuracy(20, 100)]
    assert compare(with_accuracy(10, 100), references, "references").detected is False
    errors = [with_error(1.0), with_error(4.0)]
    assert compare(with_error(5.0), errors, "references").detected is False
    assert compare(with_error(5.0), errors[:1], "references").detected is True


def test_a_forgotten_group_that_is_one_cluster_is_judged_by_its_records() -> None:
    forget, never_seen = with_accuracy(15, 100), with_accuracy(90, 100)
    one = Outputs(forget.values, forget.labels, forget.task, np.zeros(100, dtype=np.int64))
    many = Outputs(never_seen.values, never_seen.labels, never_seen.task, np.arange(100) % 20)
    assert compare(one, [many], "group").detected is True
    few = Outputs(
        never_seen.values, never_seen.labels, never_seen.task, np.arange(100) // 10
    )  # all right, or all wrong
    low, lower = (compare(one, [level], "group").never_seen.low for level in (many, few))
    assert low is not None and lower is not None and lower < low


def test_an_error_must_be_more_than_half_above() -> None:
    assert compare(with_error(1.2), [with_error(1.0)], "test").detected is False
    result = compare(with_error(3.0), [with_error(1.0)], "test")
    assert (
        result.detected
        and "above the limit" in describe_over_forgetting(result)
        and make_over_forgetting_gate(result).limit
    )


def test_a_class_that_mostly_goes_is_left_out() -> None:
    forget, retain = np.repeat([0, 1, 2], [10, 60, 5]), np.repeat([0, 1], [90, 40])
    assert mask_retained_kinds(forget, retain, "classification").tolist() == [True] * 10 + [False] * 65


def test_a_range_of_labels_that_mostly_goes_is_left_out() -> None:
    labels = np.linspace(0, 100, 1001)
    for part in (labels > 80, (labels > 30) & (labels < 45), np.abs(labels - 51) < 5):
        assert mask_retained_kinds(labels[part], labels[~part], "regression").mean() < 0.5
    random = np.random.default_rng(0).random(1001) < 0.2
    assert mask_retained_kinds(labels[random], labels[~random], "regression").all()


def test_multilabel_records_with_a_label_that_is_mostly_forgotten_are_ignored() -> None:
    forget = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=np.uint8)
    retain = np.repeat(np.array([[1, 1, 0]], dtype=np.uint8), 3, axis=0)
    assert mask_retained_kinds(forget, retain, "multilabel").tolist() == [False, True, True, True]


def test_multilabel_records_that_are_all_wrong_are_detected_by_their_subset_accuracy() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (200, 3)).astype(np.uint8)
    right, wrong = (Outputs(sign * (2.0 * labels - 1), labels, "multilabel") for sign in (1, -1))
    comparison = compare(wrong, [right], "test")
    assert comparison.detected and comparison.measure == "subset_accuracy"
    assert (comparison.forget.value, comparison.never_seen.value) == (0, 1)
    assert "subset_accuracy on forget is 0 " in describe_over_forgetting(comparison)
    assert compare(right, [right], "test").detected is False
