import subprocess
import sys

import pytest
from pydantic import ValidationError

from unlearn_cli.errors import UserError
from unlearn_cli.plugins.names import parse_gate
from unlearn_cli.schema.gates import GateCondition
from unlearn_cli.stats.results import Estimate
from unlearn_cli.verdict.judgement import Gate
from unlearn_cli.verdict.metric_gates import combine_verdicts, judge

METRICS = {
    "subject": {
        "test": {"accuracy": Estimate(value=0.85, n=100), "loss": Estimate(value=None, n=0, reason="no records")}
    },
    "original": {"test": {"accuracy": Estimate(value=0.87, n=100), "loss": Estimate(value=1.0, n=100)}},
    "reference": {"test": {"accuracy": Estimate(value=0.80, n=100)}},
    "reference_2": {"test": {"accuracy": Estimate(value=0.90, n=100)}},
}


def judged(text: str, **roles: dict[str, dict[str, Estimate]]) -> Gate:
    return judge([parse_gate(text, "classification")], METRICS | roles)[0]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("forget.accuracy <= 0.05", ("forget", "accuracy", "<=", 0.05, None, 0.0)),
        ("  test.loss>1e-3 ", ("test", "loss", ">", 0.001, None, 0.0)),
        ("test.loss == -.5", ("test", "loss", "==", -0.5, None, 0.0)),
        ("test_retain.accuracy >= original - 0.02", ("test_retain", "accuracy", ">=", None, "original", -0.02)),
        ("retain.accuracy<reference+1e-2", ("retain", "accuracy", "<", None, "reference", 0.01)),
        ("train.accuracy > reference", ("train", "accuracy", ">", None, "reference", 0.0)),
    ],
)
def test_a_condition_is_read_into_its_parts(text: str, expected: tuple[object, ...]) -> None:
    assert parse_gate(text, "classification") == GateCondition(text.strip(), *expected)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "text, message",
    [
        ("forgot.accuracy <= 1", "unknown split 'forgot'; did you mean 'forget'"),
        ("forget.acuracy <= 1", "unknown metric 'acuracy'; did you mean 'accuracy'"),
        ("forget.mae <= 1", "'mae' is not defined for classification; choose from accuracy, "),
        ("forget.accuracy <= nan", "expected SPLIT.METRIC OP NUMBER"),
        ("forget.accuracy <= inf", "expected SPLIT.METRIC OP NUMBER"),
        ("forget.accuracy <= 1e999", "'1e999' is not a finite number"),
        ("forget.accuracy <= original - 1e999", "not a finite number"),
        ("forget.accuracy != 1", "expected SPLIT"),
        ("forget.accuracy <= 1 or 1", "expected SPLIT"),
        ("forget.accuracy <= original * 2", "expected SPLIT"),
        ("forget.accuracy <= __import__('os')", "expected SPLIT"),
        ("forget.accuracy <= 1\nforget.loss <= 1", "expected SPLIT"),
        ("", "expected SPLIT"),
    ],
)
def test_a_condition_that_can_never_be_judged_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        parse_gate(text, "classification")


def test_a_metric_of_regression_is_accepted_for_regression_only() -> None:
    assert parse_gate("test.r2 >= 0.5", "regression").metric == "r2"
    with pytest.raises(UserError, match="'accuracy' is not defined for regression"):
        parse_gate("test.accuracy >= 0.5", "regression")


@pytest.mark.parametrize(
    "right, holds",
    [
        ("<= 0.85", True),
        ("< 0.85", False),
        (">= 0.85", True),
        ("> 0.85", False),
        ("== 0.85", True),
        ("<= 0.84", False),
        (">= 0.86", False),
        ("> 0.84", True),
        ("< 0.86", True),
        ("== 0.86", False),
        (">= original", False),
        (">= original - 0.02", True),
        ("> original - 0.03", True),
        ("== reference", True),
        ("<= reference - 0.01", False),
    ],
)
def test_a_condition_compares_the_estimate(right: str, holds: bool) -> None:
    gate = judged(f"test.accuracy {right}")
    assert gate.verdict == ("passed" if holds else "failed")
    assert (gate.reason is None) == holds and gate.value.value == 0.85 and gate.limit is not None


def test_rounding_alone_never_fails_a_gate() -> None:
    assert 0.55 > 0.57 - 0.02  # in binary
    subject = {"test": {"accuracy": Estimate(value=0.55, n=100)}}
    original = {"test": {"accuracy": Estimate(value=0.57, n=100)}}
    assert judged("test.accuracy <= original - 0.02", subject=subject, original=original).verdict == "passed"
    assert judged("test.accuracy > original - 0.02", subject=subject, original=original).verdict == "failed"


def test_a_reference_is_the_mean_over_all_references() -> None:
    assert judged("test.accuracy <= reference").limit == pytest.approx(0.85)


def test_a_null_fails_a_gate_with_its_own_reason() -> None:
    gate = judged("test.loss <= 5")
    assert (gate.verdict, gate.reason, gate.limit) == ("failed", "no records", 5)


@pytest.mark.parametrize(
    "text, roles, reason",
    [
        ("test.accuracy <= original", {"original": {}}, "the original was not evaluated on split 'test'"),
        ("forget.accuracy <= 1", {}, "the subject was not evaluated on split 'forget'"),
        ("test.accuracy <= 1", {"subject": {"test": {}}}, "'accuracy' was not computed for the subject"),
        (
            "test.accuracy <= reference",
            {"reference_2": {"test": {"accuracy": Estimate(value=None, n=0, reason="not finite")}}},
            "nothing to compare with: not finite",
        ),
    ],
)
def test_what_is_missing_fails_a_gate_and_is_named(text: str, roles: dict[str, dict], reason: str) -> None:
    gate = judged(text, **roles)
    assert gate.verdict == "failed" and gate.reason is not None and reason in gate.reason


@pytest.mark.parametrize("role", ["original", "reference"])
def test_a_model_that_was_not_given_fails_the_gate(role: str) -> None:
    gate = judge([parse_gate(f"test.accuracy <= {role}", "classification")], {"subject": METRICS["subject"]})[0]
    assert (gate.verdict, gate.limit) == ("failed", None)
    assert gate.reason == f"nothing to compare with: no {role} was given"


def test_nan_can_be_no_estimate_at_all() -> None:
    with pytest.raises(ValidationError):
        Estimate(value=float("nan"), n=1)


def test_the_verdict_is_the_worst_of_all_gates() -> None:
    passed, failed = judged("test.accuracy <= 1"), judged("test.accuracy <= 0")
    unsure = passed.model_copy(update={"verdict": "inconclusive"})
    assert combine_verdicts([]) is None
    assert combine_verdicts([passed]) == "passed"
    assert combine_verdicts([passed, unsure]) == "inconclusive"
    assert combine_verdicts([passed, failed, unsure]) == "failed"


def test_gates_cost_no_torch_and_no_scipy() -> None:
    heavy = "('torch', 'numpy', 'scipy')"
    code = f"import sys, unlearn_cli.schema.gates; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
