"""The plan of `attack`: what the given records and references can decide, and what more of them would cost."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median, stdev

import numpy as np

from unlearn_cli import console
from unlearn_cli.evaluation.holdout import Holdout
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.evaluation.training_cost import ReportExcerpt, read_report_of
from unlearn_cli.stats.margins import AUC_MARGIN
from unlearn_cli.verdict.planning import GatePlan, Plan, TrainingPlan, describe_needs, plan_tier
from unlearn_cli.verdict.situation import Expectations, Situation

SPLITS = ("forget", "retain", "test", "test_forget", "test_retain")
EXPECTATIONS = {
    "accuracy": "accuracy on never-seen records",
    "gain_on_retain": "better on retained records by",
    "accuracy_sd": "sd of the accuracy between trainings",
    "error_variation": "sd over records of the difference of two networks' errors / mean error",
    "error_sd": "sd of log(mean error) between trainings",
    "range_sd": "the same in a forgotten range",
    "distribution_sd": "sd of log(distance over the other classes) between trainings",
    "relearning_sd": "sd of log(relearning steps) between trainings",
    "similarity": "correlation within clusters",
    "audit_sd": "sd of U-LiRA's AUC between runs",
}
WIDTH, POWER_WIDTH = 80, 9  # columns of the text, and of the column with the power


def plan_attack(
    opened: RunInputs,
    holdout: Holdout,
    tier: str,
    *,
    caps: dict[str, int],
    original: Path | None,
    references: Sequence[Path],
    num_shadow_runs: int = 0,
    attempts: int = 1,
    auc_margin: float = AUC_MARGIN,
) -> Plan:
    """Plan a tier for the opened data, with expectations and costs from the reports next to the checkpoints."""
    reports = list(filter(None, map(read_report_of, references)))
    first = reports or list(filter(None, [read_report_of(original)] if original else []))
    situation = Situation(
        tier=tier,
        task=opened.dataset.task,
        records=count_records(opened, holdout, caps),
        clusters=count_clusters(opened, holdout),
        num_references=len(references),
        num_shadow_runs=num_shadow_runs,
        has_original=original is not None,
        whole_classes=opened.dataset.forget_classes is not None,
        holdout_is_matched=holdout.is_matched,
        attempts=attempts,
        auc_margin=auc_margin,
        expectations=read_expectations(opened, first),
    )
    plan = plan_tier(situation)
    return plan.model_copy(update={"training": plan_trainings(plan.missing_references, first)})


def count_records(opened: RunInputs, holdout: Holdout, caps: dict[str, int]) -> dict[str, int]:
    """Return the number of records that are read of each split, and of the hold-out."""
    splits = opened.dataset.splits
    sizes = {name: len(splits[name]) for name in SPLITS if name in splits}
    sizes = {name: min(size, caps.get(name, size)) for name, size in sizes.items()}
    return {**sizes, "holdout": len(holdout.positions)}


def count_clusters(opened: RunInputs, holdout: Holdout) -> dict[str, int]:
    """Return the number of persons or recordings of each split; empty if records are independent."""
    splits = opened.dataset.splits
    groups = {name: splits[name].groups for name in SPLITS if name in splits}
    of_test = groups.get("test")
    groups["holdout"] = None if of_test is None else of_test[holdout.positions]
    return {name: len(np.unique(of_split)) for name, of_split in groups.items() if of_split is not None}


def read_expectations(opened: RunInputs, reports: Sequence[ReportExcerpt]) -> Expectations:
    """Return the accuracy of the references and its variation from their reports, as far as these contain it."""
    split = "test_retain" if "test_retain" in opened.dataset.splits else "test"
    metric = "subset_accuracy" if opened.dataset.task == "multilabel" else "accuracy"
    levels = [report.get_metric(split, metric) for report in reports]
    accuracies = [level for level in levels if level is not None]
    if opened.dataset.task == "regression" or not accuracies:
        return Expectations()
    retained = [report.get_metric("retain", metric) for report in reports]
    gains = [of - level for of, level in zip(retained, levels, strict=True) if of is not None and level is not None]
    default = Expectations()
    return Expectations(
        accuracy=min(fmean(accuracies), 0.999),
        gain_on_retain=max(0.0, fmean(gains)) if gains else default.gain_on_retain,
        accuracy_sd=stdev(accuracies) if len(accuracies) > 1 else default.accuracy_sd,
        source=f"{console.pluralize(len(accuracies), 'report')} next to the checkpoints; the others are assumed",
    )


def plan_trainings(count: int, reports: Sequence[ReportExcerpt]) -> TrainingPlan | None:
    """Return the cost of more references, each with the median of those that the reports contain."""
    if not count:
        return None
    costs = [report.get_cost() for report in reports]
    seconds = [cost.seconds for cost in costs if cost.seconds is not None]
    samples = [cost.samples for cost in costs if cost.samples]
    each = median(seconds) if seconds else None
    return TrainingPlan(
        num_trainings=count,
        seconds_each=each,
        samples_each=round(median(samples)) if samples else None,
        seconds=None if each is None else count * each,
    )


def format_plan(plan: Plan) -> str:
    """Return the plan as text of at most 80 columns: a row per kind of gate, then what the rows mean."""
    references = console.pluralize(plan.references, "reference")
    head = f"plan: {plan.tier} tier, {references}; power: probability to pass if the network is like a retrained one"
    width = max(len(_name_gate(gate)) for gate in plan.gates)
    lines = [*_wrap(head), f"{'gate':<{width}} {'power':>6}  for 80 %", "-" * WIDTH]
    for gate in plan.gates:
        lines += _format_gate(gate, width)
    lines += _wrap(f"all gates together: {_format_share(plan.joint_power)} or more, because gates are similar")
    best = f"best possible verdict: {plan.best_verdict}"
    lines += _wrap(f"{best} ({'; '.join(plan.best_verdict_reasons)})" if plan.best_verdict_reasons else best)
    lines += _wrap(_describe_training(plan))
    lines += _wrap(_describe_expectations(plan))
    lines += _wrap(f"tested: {plan.tested}")
    lines += _wrap(f"not tested: {plan.not_tested}")
    return "\n".join(lines)


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False)


def _name_gate(gate: GatePlan) -> str:
    return gate.gate + (f" (x {gate.num_gates})" if gate.num_gates > 1 else "")


def _format_gate(gate: GatePlan, width: int) -> list[str]:
    """Return the lines of one gate; `width` is that of the first column."""
    power = "-" if gate.power is None else _format_share(gate.power)
    needs = "enough" if gate.is_sufficient else describe_needs(gate) or "no number would suffice"
    needs = needs if gate.reason is None else f"{gate.reason}: {needs}" if describe_needs(gate) else gate.reason
    first, *rest = textwrap.wrap(needs, WIDTH - width - POWER_WIDTH)
    indent = " " * (width + POWER_WIDTH)
    return [f"{_name_gate(gate):<{width}} {power:>6}  {first}", *(indent + line for line in rest)]


def _format_share(share: float) -> str:
    return f"{100 * share:.0f} %"


def _describe_training(plan: Plan) -> str:
    """Return a sentence on the references that are missing and on their cost."""
    training = plan.training
    if training is None:
        return "cost: no further reference would decide more"
    count = console.pluralize(training.num_trainings, "more reference")
    if training.seconds is None or training.seconds_each is None:
        return f"cost: {count}; a checkpoint of 'unlearn-cli train' has a report with the time of one training"
    each = console.format_time(training.seconds_each)
    return f"cost: {count}, about {console.format_time(training.seconds)} ({each} each, as in the reports)"


def _describe_expectations(plan: Plan) -> str:
    """Return the expectations that the power is computed from; empty if it depends only on numbers of records."""
    if not plan.expectations:
        return ""
    values = ", ".join(
        f"{EXPECTATIONS[name]} {value:.3g}" for name, value in plan.expectations.items() if name != "source"
    )
    return f"expected ({plan.expectations['source']}): {values}"
