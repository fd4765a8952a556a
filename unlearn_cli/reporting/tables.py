"""The tables of a report for terminal and summary: metrics, results of attacks, and gates; and warnings about gates."""

from collections.abc import Sequence
from dataclasses import dataclass

from unlearn_cli import console
from unlearn_cli.reporting.answers.judged_gates import is_open, list_gates
from unlearn_cli.reporting.answers.numbers import (
    average_references,
    format_estimate,
    format_number,
    format_value,
    is_reference,
)
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Estimate
from unlearn_cli.verdict.judgement import Gate

MAIN_METRICS = (  # in the terminal; the report has all
    "accuracy",
    "loss",
    "mae",
    "rmse",
    "r2",
    "subset_accuracy",
    "macro_f1",
    "mean_average_precision",
)
SPLITS = ("forget", "test_forget", "retain", "test_retain", "test", "train", "forgotten", "model")
VERDICTS = {"inconclusive": "not decided"}
MARK, MASK = " *", "* also passed by the mask, an edit of one row of the last layer without any unlearning"
BY_CONTROLS = ("error", "nothing_to_forget")  # verdicts that follow from the controls, whatever the gates are

ByRole = dict[str, Estimate]  # checkpoint -> estimate


@dataclass(frozen=True)
class Table:
    """The cells of a table as text; the first `labels` columns are labels, the others numbers."""

    header: list[str]
    rows: list[list[str]]
    labels: int = 1


def collect_metrics(document: Report, names: Sequence[str] = ()) -> Table:
    """Return one row per split and metric: the original, the network with its interval, the mean of the references.

    Without `names` of metrics, only the most important ones and those of the gates.
    """
    shown = {*names} or {*MAIN_METRICS, *(name for gate in document.gates for name in _list_metrics(gate))}
    by_split: dict[str, dict[str, ByRole]] = {}
    for role, splits in document.metrics.items():
        for split, metrics in splits.items():
            for metric, estimate in metrics.items():
                if metric in shown:
                    by_split.setdefault(split, {}).setdefault(metric, {})[role] = estimate
    ordered = sorted(by_split, key=lambda split: SPLITS.index(split) if split in SPLITS else len(SPLITS))
    rows = [
        ([split, metric.replace("_", " ")], by_role, metric)
        for split in ordered
        for metric, by_role in by_split[split].items()
    ]
    return _collect_by_role(["split", "metric"], rows, document)


def _list_metrics(gate: Gate) -> list[str]:
    """Return the metric in a condition such as `forget.accuracy <= 0.05`."""
    return [gate.condition.split()[0].rpartition(".")[2]] if gate.condition.strip() else []


def collect_results(document: Report) -> Table:
    """Return one row per attack, with its AUC, and one per quantity of a probe."""
    by_label: dict[str, ByRole] = {}
    for attack in document.attacks:
        by_label.setdefault(f"{attack.name} AUC", {})[attack.role] = attack.auc
    for finding in document.findings:
        for name, estimate in finding.quantities.items():
            by_label.setdefault(f"{finding.name} {name.replace('_', ' ')}", {})[finding.role] = estimate
    rows = [([label], by_role, "") for label, by_role in by_label.items()]
    return _collect_by_role(["attack"], rows, document)


def _collect_by_role(labels: list[str], rows: list[tuple[list[str], ByRole, str]], document: Report) -> Table:
    """Return a table with the columns original, this network (with 95 % intervals), and the mean of the references."""
    roles = {role for _, by_role, _ in rows for role in by_role}
    count = sum(map(is_reference, roles))
    name = (
        "trained" if document.command == "train" else "unlearned" if "forget" in document.manifest.splits else "network"
    )
    titles = {
        "original": "original",
        "subject": f"{name} [95 %]",
        "reference": "reference" if count == 1 else f"{count} references",
    }
    shown = {role: title for role, title in titles.items() if role in roles}
    cells = [
        [*texts, _format_count(by_role), *(_format_cell(by_role, role, measure) for role in shown)]
        for texts, by_role, measure in rows
    ]
    return Table([*labels, "n", *shown.values()], cells, len(labels))


def _format_count(by_role: ByRole) -> str:
    return f"{next(iter(by_role.values())).n:,}"


def _format_cell(by_role: ByRole, role: str, measure: str) -> str:
    """Return the value of a role, for the network with its interval; '-' for a null, whose reason is in the report."""
    estimate = by_role.get(role)
    if role == "reference":
        average = average_references(value for name, value in by_role.items() if is_reference(name))
        return format_value(average[0], measure) if average else "-"
    if estimate is None or estimate.value is None:
        return "-"
    return format_estimate(estimate, measure) if role == "subject" else format_value(estimate.value, measure)


def collect_gates(document: Report, *, with_limits: bool = False) -> Table:
    """Return the gates of the judged network: value with interval, n and verdict; the report has the p-values."""
    limits = ["limit"] if with_limits else []
    rows = [
        [
            gate.condition,
            "-" if gate.value.value is None else format_estimate(gate.value),
            f"{gate.value.n:,}",
            *("-" if gate.limit is None else format_number(gate.limit) for _ in limits),
            VERDICTS.get(gate.verdict, gate.verdict) + (MARK if is_marked(gate) else ""),
        ]
        for gate in list_gates(document)
    ]
    return Table(["gate", "value [95 %]", "n", *limits, "verdict"], rows)


def is_marked(gate: Gate) -> bool:
    """Return whether a passed gate is also passed by the control `mask`, so that it shows less."""
    return gate.verdict == "passed" and bool(gate.passed_by_mask)


def explain_mark(document: Report) -> str:
    """Return what the mark of gates means, if the table of gates has one."""
    return MASK if any(map(is_marked, list_gates(document))) else ""


def warn_about_gates(document: Report) -> None:
    """Print on stderr the reason for the exit code: each gate that did not pass, or the reasons of the verdict.

    With `--json` and `--quiet` these are the only lines on stderr, and a build log must show why the build failed.
    """
    gates = [gate for gate in list_gates(document) if gate.verdict != "passed" and not is_open(gate)]
    for gate in gates:
        console.warn(_describe_gate(gate, document), condition=gate.condition, verdict=gate.verdict)
    if not gates or document.verdict in BY_CONTROLS:
        reasons = "; ".join(document.judgement.reasons) if document.judgement else ""
        console.warn(f"verdict {document.verdict}" + (f": {reasons}" if reasons else ""))


def _describe_gate(gate: Gate, document: Report) -> str:
    """Return one line with value, n and limit of a gate, and the reason where there is no value."""
    from unlearn_cli.verdict.over_forgetting_checks import describe_over_forgetting, is_over_forgetting_gate  # SciPy

    if document.over_forgetting is not None and is_over_forgetting_gate(gate):
        return f"{describe_over_forgetting(document.over_forgetting)} --force accepts it"
    state = "gate failed" if gate.verdict == "failed" else "gate not decided"
    value = "no value" if gate.value.value is None else f"value {gate.value.value:.4g}"
    limit = "" if gate.limit is None else f", limit {gate.limit:.4g}"
    reason = f" ({gate.reason})" if gate.reason and None in (gate.value.value, gate.limit) else ""
    return f"{state}: {gate.condition}: {value}, n {gate.value.n}{limit}{reason}"
