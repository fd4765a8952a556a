"""Conditions on a report that must hold: `split.metric OP number`, or `OP original|reference [+|- number]`."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.metrics import ALLOWED, TABLE
from unlearn_cli.report import Estimate, Gate, Verdict

SPLITS = ("train", "test", "forget", "retain", "test_forget", "test_retain", "forgotten", "model")

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_GRAMMAR = re.compile(
    r"\s*(?P<split>\w+)\.(?P<metric>\w+)\s*(?P<operator><=|>=|==|<|>)\s*"
    rf"(?:(?P<number>[+-]?{_NUMBER})|(?P<other>original|reference)(?:\s*(?P<offset>[+-]\s*{_NUMBER}))?)\s*",
    re.ASCII,
)

Metrics = dict[str, dict[str, dict[str, Estimate]]]  # role -> split -> metric


@dataclass(frozen=True)
class Condition:
    """A gate as it was asked for: compare one metric with a number, or with the same metric of another model."""

    text: str
    split: str
    metric: str
    operator: str
    number: float | None
    other: Literal["original", "reference"] | None
    offset: float


def parse(text: str, task: str) -> Condition:
    """Read one condition, and refuse what can never be judged: unknown names, numbers that are not finite."""
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise UserError(
            f"condition '{text}': expected SPLIT.METRIC OP NUMBER, or SPLIT.METRIC OP original|reference [+|- NUMBER],"
            " with OP one of <= >= < > ==; for example: test_retain.accuracy >= original - 0.02"
        )
    split, metric, operator, number, other, offset = match.groups()
    _check_names(text, split, metric, task)
    return Condition(
        text=text.strip(),
        split=split,
        metric=metric,
        operator=operator,
        number=None if number is None else _finite(text, number),
        other=cast(Literal["original", "reference"] | None, other),
        offset=0.0 if offset is None else _finite(text, offset),
    )


def _check_names(text: str, split: str, metric: str, task: str) -> None:
    if split not in SPLITS:
        raise UserError(f"condition '{text}': no split '{split}'; {did_you_mean(split, SPLITS)}")
    if metric not in TABLE:
        raise UserError(f"condition '{text}': no metric '{metric}'; {did_you_mean(metric, TABLE)}")
    here = ALLOWED[task]
    if metric not in here and any(metric in names for names in ALLOWED.values()):
        raise UserError(f"condition '{text}': '{metric}' is not defined for {task}; defined are {', '.join(here)}")


def _finite(text: str, digits: str) -> float:
    """Return the number; `1e999` has the form of one and is infinite all the same."""
    number = float(re.sub(r"\s", "", digits))
    if not math.isfinite(number):
        raise UserError(f"condition '{text}': '{digits}' is not a finite number")
    return number


def judge(conditions: Iterable[Condition], metrics: Metrics) -> list[Gate]:
    """Judge every condition; what cannot be compared (a null, a model that was not given) fails and says why."""
    return [_judge(condition, metrics) for condition in conditions]


def _judge(condition: Condition, metrics: Metrics) -> Gate:
    value = _find(condition, metrics, "subject")
    limit = _limit(condition, metrics)
    reason = None
    if value.value is None:
        reason = value.reason or "there is no value"
    elif limit.value is None:
        reason = f"nothing to compare with: {limit.reason or 'there is no value'}"
    elif not _holds(value.value, condition.operator, limit.value):
        reason = f"{value.value:.6g} {condition.operator} {limit.value:.6g} does not hold"
    verdict = "passed" if reason is None else "failed"
    return Gate(condition=condition.text, verdict=verdict, value=value, limit=limit.value, reason=reason)


def _find(condition: Condition, metrics: Metrics, role: str) -> Estimate:
    """Return the metric on the split for one model, or a null that says what is missing."""
    splits = metrics.get(role)
    if splits is None:
        return _null(f"there is no {role}")
    if condition.split not in splits:
        return _null(f"the {role} was not evaluated on split '{condition.split}'")
    return splits[condition.split].get(condition.metric) or _null(
        f"'{condition.metric}' was not computed for the {role}"
    )


def _limit(condition: Condition, metrics: Metrics) -> Estimate:
    """Return the right side: the number, or the other model's value (the mean over all references) plus the offset."""
    if condition.other is None:
        return Estimate(value=condition.number, n=0)
    # 'reference', 'reference_2', ...; a null of one of them must not be left out of the mean in silence
    roles = sorted(role for role in metrics if role.startswith("reference")) if condition.other == "reference" else []
    found = [_find(condition, metrics, role) for role in roles or [condition.other]]
    values = [estimate.value for estimate in found if estimate.value is not None]
    if len(values) < len(found):
        return next(estimate for estimate in found if estimate.value is None)
    return Estimate(value=math.fsum(values) / len(values) + condition.offset, n=found[0].n)


def _null(reason: str) -> Estimate:
    return Estimate(value=None, n=0, reason=reason)


def _holds(value: float, operator: str, limit: float) -> bool:
    """Compare; numbers that differ by rounding only are equal, for 0.57 - 0.02 is not 0.55 in binary."""
    equal = math.isclose(value, limit, rel_tol=1e-12, abs_tol=1e-12)
    if operator == "==":
        return equal
    if operator in ("<=", ">="):
        return equal or (value < limit if operator == "<=" else value > limit)
    return not equal and (value < limit if operator == "<" else value > limit)


def verdict(gates: Iterable[Gate]) -> Verdict | None:
    """Return the worst verdict of all gates: failed, inconclusive, passed; None when there are none."""
    found = {gate.verdict for gate in gates}
    return next((worst for worst in ("failed", "inconclusive", "passed") if worst in found), None)
