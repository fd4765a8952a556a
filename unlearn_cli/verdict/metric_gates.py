"""Judges gates, the conditions on the report's metrics."""

import math
from collections.abc import Iterable

from unlearn_cli.schema.gates import GateCondition
from unlearn_cli.stats.results import Estimate
from unlearn_cli.verdict.judgement import Gate, Verdict

Metrics = dict[str, dict[str, dict[str, Estimate]]]  # role -> split -> metric


def judge(conditions: Iterable[GateCondition], metrics: Metrics) -> list[Gate]:
    """Judge every condition; one that cannot be compared (a null, a model that was not given) fails with a reason."""
    return [_judge(condition, metrics) for condition in conditions]


def _judge(condition: GateCondition, metrics: Metrics) -> Gate:
    value = _find(condition, metrics, "subject")
    limit = _limit(condition, metrics)
    reason = None
    if value.value is None:
        reason = value.reason or "it has no value"
    elif limit.value is None:
        reason = f"nothing to compare with: {limit.reason or 'it has no value'}"
    elif not _holds(value.value, condition.operator, limit.value):
        reason = f"{value.value:.6g} {condition.operator} {limit.value:.6g} does not hold"
    verdict = "passed" if reason is None else "failed"
    return Gate(condition=condition.text, verdict=verdict, value=value, limit=limit.value, reason=reason)


def _find(condition: GateCondition, metrics: Metrics, role: str) -> Estimate:
    """Return the metric of one model on the split, or a null with the reason."""
    splits = metrics.get(role)
    if splits is None:
        return _make_null(f"no {role} was given")
    if condition.split not in splits:
        return _make_null(f"the {role} was not evaluated on split '{condition.split}'")
    return splits[condition.split].get(condition.metric) or _make_null(
        f"'{condition.metric}' was not computed for the {role}"
    )


def _limit(condition: GateCondition, metrics: Metrics) -> Estimate:
    """Return the right-hand side: the number, or the other model's value (the mean over references) plus the offset."""
    if condition.other is None:
        return Estimate(value=condition.number, n=0)
    # 'reference', 'reference_2', ...; a null of one of them must not be silently omitted from the mean
    roles = sorted(role for role in metrics if role.startswith("reference")) if condition.other == "reference" else []
    estimates = [_find(condition, metrics, role) for role in roles or [condition.other]]
    values = [estimate.value for estimate in estimates if estimate.value is not None]
    if len(values) < len(estimates):
        return next(estimate for estimate in estimates if estimate.value is None)
    return Estimate(value=math.fsum(values) / len(values) + condition.offset, n=estimates[0].n)


def _make_null(reason: str) -> Estimate:
    return Estimate(value=None, n=0, reason=reason)


def _holds(value: float, operator: str, limit: float) -> bool:
    """Compare; numbers that differ only by rounding are equal, because 0.57 - 0.02 is not 0.55 in binary."""
    equal = math.isclose(value, limit, rel_tol=1e-12, abs_tol=1e-12)
    if operator == "==":
        return equal
    if operator in ("<=", ">="):
        return equal or (value < limit if operator == "<=" else value > limit)
    return not equal and (value < limit if operator == "<" else value > limit)


def combine_verdicts(gates: Iterable[Gate]) -> Verdict | None:
    """Return the worst verdict of all gates: failed, inconclusive, passed; None without gates."""
    verdicts = {gate.verdict for gate in gates}
    return next((worst for worst in ("failed", "inconclusive", "passed") if worst in verdicts), None)
