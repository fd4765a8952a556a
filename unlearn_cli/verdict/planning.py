"""Plans a tier: what the numbers of records and references can decide, and what would be sufficient. No SciPy."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from pydantic import Field

from unlearn_cli.stats.margins import AUC_MARGIN
from unlearn_cli.stats.results import Part
from unlearn_cli.verdict.gate_kinds import GATE_KINDS, GateKind
from unlearn_cli.verdict.situation import Situation
from unlearn_cli.verdict.tiers import NOT_TESTED, TESTED

ENOUGH = 0.8  # power
MAX_REFERENCES = 32
ONE_ROW = "a whole class, unless the control 'mask', an edit of one row of the last layer, is shown to fail"
STEPS_PER_DOUBLING, MAX_DOUBLINGS = 8, 10


class GatePlan(Part):
    """The power of one kind of gate, and what would be sufficient for a power of 80 %."""

    gate: str
    num_gates: int
    power: float | None = Field(description="probability that each gate passes if the network was retrained")
    is_sufficient: bool
    reason: str | None = Field(default=None, description="why it cannot be decided")
    records: dict[str, int] = Field(description="split -> records that decide it")
    needed_records: dict[str, int] | None = Field(
        default=None, description="sufficient with this number of references; null: the records suffice, or none would"
    )
    clusters: dict[str, int] = Field(default_factory=dict, description="split -> persons or recordings")
    needed_clusters: dict[str, int] | None = Field(
        default=None, description="persons or recordings of `needed_records`; null: as there, or independent records"
    )
    needed_references: int | None = Field(
        default=None, description="sufficient with these records; null: the references suffice, or none would"
    )
    needed_shadow_runs: int | None = Field(default=None, description="of the gates of the audit tier")


class TrainingPlan(Part):
    """The cost of the references that are missing."""

    num_trainings: int
    seconds_each: float | None = Field(description="read from the reports next to the checkpoints; null: unknown")
    samples_each: int | None = Field(default=None, description="forward and backward passes of one training")
    seconds: float | None = None


class Plan(Part):
    """What a tier can decide with the given records and references."""

    tier: str
    references: int
    gates: list[GatePlan]
    joint_power: float = Field(description="product over all gates: smaller than the truth, because gates are similar")
    best_verdict: str
    best_verdict_reasons: list[str]
    expectations: dict[str, float | str] = Field(description="assumptions, or values from the references' reports")
    missing_references: int = Field(description="references to add, so that all gates for which this is possible pass")
    training: TrainingPlan | None = None
    tested: str
    not_tested: str


def plan_tier(situation: Situation) -> Plan:
    """Return the plan of a tier: one entry per kind of gate that the tier contains."""
    gates = [_plan_gate(kind, situation) for kind in GATE_KINDS if kind.is_in(situation)]
    best, reasons = _find_best_verdict(situation)
    return Plan(
        tier=situation.tier,
        references=situation.num_references,
        gates=gates,
        joint_power=math.prod((gate.power or 0.0) ** gate.num_gates for gate in gates),
        best_verdict=best,
        best_verdict_reasons=reasons,
        expectations=list_expectations(situation),
        missing_references=_count_missing_references(situation, gates),
        tested=TESTED[situation.tier],
        not_tested=NOT_TESTED[situation.tier],
    )


def list_expectations(situation: Situation) -> dict[str, float | str]:
    """Return the expectations that the power of the tier's gates depends on, with their source."""
    kinds = [kind for kind in GATE_KINDS if kind.is_in(situation)]
    of_other_task = "accuracy" if situation.task == "regression" else "error_"
    names = {name for kind in kinds for name in kind.expects if not name.startswith(of_other_task)}
    names |= {"similarity"} if situation.clusters else set()
    values = asdict(situation.expectations)
    return {name: value for name, value in values.items() if name in names or (name == "source" and names)}


def _plan_gate(kind: GateKind, situation: Situation) -> GatePlan:
    power = compute_power(kind, situation)
    is_sufficient = power is not None and power >= ENOUGH
    plan = GatePlan(
        gate=kind.name,
        num_gates=kind.num_gates,
        power=power,
        is_sufficient=is_sufficient,
        reason=kind.find_obstacle(situation),
        records=_select(situation.records, kind.reads),
        clusters=_select(situation.clusters, kind.reads),
    )
    return plan if is_sufficient else plan.model_copy(update=_find_needs(kind, situation))


def _find_needs(kind: GateKind, situation: Situation) -> dict[str, Any]:
    """Return what would be sufficient, as fields of a GatePlan."""
    if kind.of_shadow_runs:
        return {"needed_shadow_runs": _find_needed_runs(kind, situation)}
    needed: dict[str, Any] = {"needed_references": _find_needed_references(kind, situation)}
    larger = _find_larger(kind, situation)
    if larger is not None:
        needed["needed_records"] = _select(larger.records, kind.reads)
        needed["needed_clusters"] = _select(larger.clusters, kind.reads) if larger.clusters else None
    return needed


def _select(counts: Mapping[str, int], splits: Sequence[str]) -> dict[str, int]:
    return {split: counts[split] for split in splits if split in counts}


def compute_power(kind: GateKind, situation: Situation) -> float | None:
    """Return the power of a kind of gate; None if it cannot be decided."""
    return None if kind.find_obstacle(situation) else kind.compute_power(situation)


def _find_larger(kind: GateKind, situation: Situation) -> Situation | None:
    """Return the situation with the smallest multiple of all records at which the power is sufficient."""
    situation = replace(situation, num_references=max(situation.num_references, kind.min_references))
    for larger in _enlarge(situation):
        power = compute_power(kind, larger)
        if power is not None and power >= ENOUGH:
            return None if larger.records == situation.records else larger  # only references are missing
    return None


def _enlarge(situation: Situation) -> Iterator[Situation]:
    """Yield the situation with more records, and as many more clusters."""
    for step in range(STEPS_PER_DOUBLING * MAX_DOUBLINGS + 1):
        factor = 2 ** (step / STEPS_PER_DOUBLING)
        records, clusters = (
            {split: math.ceil(factor * count) for split, count in counts.items()}
            for counts in (situation.records, situation.clusters)
        )
        yield replace(situation, records=records, clusters=clusters)


def _find_needed_references(kind: GateKind, situation: Situation) -> int | None:
    for count in range(situation.num_references + 1, MAX_REFERENCES + 1):
        larger = replace(situation, num_references=count)
        power = compute_power(kind, larger)
        if power is not None and power >= ENOUGH:
            return count
    return None


def _find_needed_runs(kind: GateKind, situation: Situation) -> int | None:
    least = max(situation.num_shadow_runs, 2)
    for step in range(STEPS_PER_DOUBLING * MAX_DOUBLINGS + 1):
        runs = math.ceil(least * 2 ** (step / STEPS_PER_DOUBLING))
        power = compute_power(kind, replace(situation, num_shadow_runs=runs))
        if power is not None and power >= ENOUGH:
            return runs
    return None


def _count_missing_references(situation: Situation, gates: list[GatePlan]) -> int:
    """Return the number of references to add; without any, the tiers above quick need at least one."""
    needed = [gate.needed_references for gate in gates if gate.needed_references is not None]
    least = 1 if situation.tier != "quick" else 0
    return max(0, max([least, *needed]) - situation.num_references)


def _find_best_verdict(situation: Situation) -> tuple[str, list[str]]:
    """Return the best possible verdict, and the reasons why it is not `passed`."""
    reasons = {
        "the quick tier is a screen": situation.tier == "quick",
        f"the margin of {situation.auc_margin:g} is wider than {AUC_MARGIN:g}": situation.auc_margin > AUC_MARGIN,
        ONE_ROW: situation.tier != "quick" and situation.whole_classes and situation.task == "classification",
        "no original (--original) that must fail": not situation.has_original,
        "no reference (--reference) that must pass": not situation.has_references,
    }
    listed = [reason for reason, applies in reasons.items() if applies]
    return ("passed_screen" if listed else "passed"), listed


def describe_plan(plan: Plan) -> list[str]:
    """Return sentences: how many gates are likely to be decided, and what each of the others needs."""
    count = sum(gate.num_gates for gate in plan.gates)
    enough = f"each of {count} gates has a power of 80 % or more to pass, if the network is like a retrained one"
    return list_needs(plan) or [enough]


def list_needs(plan: Plan) -> list[str]:
    """Return one sentence per gate with a power below 80 %: what it needs."""
    return [_describe_gate(gate) for gate in plan.gates if not gate.is_sufficient]


def _describe_gate(gate: GatePlan) -> str:
    head = gate.reason or f"a retrained network would pass with a probability of {100 * (gate.power or 0.0):.0f} %"
    needs = describe_needs(gate)
    return f"{gate.gate}: {head}{'; 80 % needs ' + needs if needs else ''}"


def describe_needs(gate: GatePlan) -> str:
    """Return the records or references that suffice, such as '1,900 of test or 9 references'; empty if none would."""
    clusters = gate.needed_clusters or {}
    records = ", ".join(
        f"{count:,} of {split}" + (f" ({clusters[split]:,} clusters)" if split in clusters else "")
        for split, count in (gate.needed_records or {}).items()
    )
    references = f"{gate.needed_references} references" if gate.needed_references else ""
    runs = f"{gate.needed_shadow_runs} shadow runs" if gate.needed_shadow_runs else ""
    return " or ".join(filter(None, [records, references, runs]))
