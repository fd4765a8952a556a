"""Numbers beside several references: means, noise floor, the normalised score, and when there is none."""

import pytest
from scipy.stats import t

from unlearn_cli.stats.comparisons import average_over_references, compare
from unlearn_cli.stats.results import Estimate


def number(value: float | None, low: float | None = None, high: float | None = None) -> Estimate:
    return Estimate(value=value, n=10, low=low, high=high, reason=None if value is not None else "missing")


def test_one_reference_changes_nothing_but_the_count() -> None:
    assert average_over_references([number(0.3, 0.2, 0.4)]) == number(0.3, 0.2, 0.4).model_copy(update={"runs": 1})


def test_several_references_give_mean_sd_and_the_wider_interval() -> None:
    found = average_over_references([number(0.1, 0.09, 0.11), number(0.3, 0.29, 0.31), number(0.2, 0.19, 0.21)])
    assert (found.value, found.sd, found.runs) == (pytest.approx(0.2), pytest.approx(0.1), 3)
    half = t.ppf(0.975, 2) * 0.1 / 3**0.5
    assert (found.low, found.high) == (pytest.approx(max(0.0, 0.2 - half)), pytest.approx(0.2 + half))
    alike = average_over_references([number(0.2, 0.1, 0.3), number(0.2, 0.1, 0.3)])
    assert (alike.low, alike.high) == (pytest.approx(0.1), pytest.approx(0.3))


def test_a_null_of_one_reference_is_told() -> None:
    assert average_over_references([number(0.1), number(None)]).reason == "missing"


def test_the_normalised_score_is_0_like_retraining_and_1_like_the_original() -> None:
    floor = [number(0.08), number(0.10)]
    for value, expected in ((0.09, 0), (0.49, 1), (0.29, 0.5), (0.05, -0.1)):
        found = compare(number(value), floor, number(0.49), split="forget", metric="js_divergence", distance=True)
        assert found.normalised == pytest.approx(expected)
    assert found.reference == pytest.approx(0.09)
    assert found.n_references == 2


@pytest.mark.parametrize(
    ("references", "original", "told"),
    [
        ([0.08, 0.10], 0.11, "nothing is to be forgotten"), ([0.08, 0.10], None, "original was not given"),
        ([0.08], 0.5, "two references"), ([None], 0.5, "no reference has a value"),
    ],
)  # fmt: skip
def test_without_a_yardstick_there_is_no_score(references: list[float], original: float | None, told: str) -> None:
    before = None if original is None else number(original)
    found = compare(
        number(0.3), [number(one) for one in references], before, split="forget", metric="js_divergence", distance=True
    )
    assert found.normalised is None
    assert told in (found.reason or "")


def test_a_plain_metric_is_measured_in_standard_deviations() -> None:
    found = compare(number(0.5), [number(0.7), number(0.9)], None, split="test", metric="accuracy", distance=False)
    assert found.units_of_sd == pytest.approx((0.5 - 0.8) / (0.2 / 2**0.5))
    assert found.normalised is None
    same = compare(number(0.5), [number(0.7), number(0.7)], None, split="test", metric="accuracy", distance=False)
    assert (same.units_of_sd, same.reason) == (None, "the references do not differ")


def test_an_interval_that_reaches_down_to_zero_still_does_over_references() -> None:
    single = [Estimate(value=value, n=9, low=0.0, high=value + 0.01) for value in (0.50, 0.52)]
    found = average_over_references(single)
    assert found.low == 0.0
