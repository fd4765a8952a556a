"""The tables of metrics, of comparisons with the references, and of gates."""

from unlearn_cli import console
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Estimate
from unlearn_cli.verdict.judgement import Gate


def format_metrics(document: Report) -> str:
    """Return one row per split and metric, one column per checkpoint."""
    roles = [name for name in ("original", "subject") if name in document.metrics]
    roles += [name for name in document.metrics if name.startswith("reference")]
    rows_of: dict[str, dict[str, Estimate]] = {}  # split -> metric -> estimate
    for name in roles:  # the original and the subject have different distances
        for split, of_split in document.metrics[name].items():
            rows_of[split] = {**of_split, **rows_of.get(split, {})}
    rows = [
        [
            split,
            metric,
            str(estimate.n),
            *(_format_estimate(metric, document.metrics[name].get(split, {}).get(metric)) for name in roles),
        ]
        for split, of_split in rows_of.items()
        for metric, estimate in of_split.items()
    ]
    return console.table("", ["split", "metric", "n", *roles], rows, labels=2) if rows else ""


def format_comparisons(document: Report) -> str:
    """Return the metrics compared with the references: their mean and SD, and the distance of the subject."""
    rows = [
        [
            comparison.split,
            comparison.metric,
            str(comparison.n_references),
            _format_number(comparison.reference),
            _format_number(comparison.reference_sd),
            _format_number(comparison.units_of_sd),
            _format_number(comparison.normalised),
        ]
        for comparison in document.comparisons
    ]
    header = ["split", "metric", "references", "their mean", "their SD", "off by SDs", "0: retrained, 1: original"]
    return console.table("Compared with the references", header, rows, labels=2) if rows else ""


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _format_estimate(metric: str, estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.value is None:
        return f"- ({estimate.reason})"
    scale, unit = (100, " %") if metric == "accuracy" else (1, "")
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value * scale:.4g}{unit}"
    low, high = estimate.low * scale, estimate.high * scale
    return f"{estimate.value * scale:.4g}{unit} [{low:.4g}, {high:.4g}]"


def format_gates(document: Report) -> str:
    rows = [
        [
            gate.condition,
            "-" if gate.value.value is None else f"{gate.value.value:.4g}",
            str(gate.value.n),
            "-" if gate.limit is None else f"{gate.limit:.4g}",
            gate.verdict + (f" ({gate.reason})" if gate.reason else ""),
        ]
        for gate in document.gates
    ]
    return console.table("", ["gate", "value", "n", "limit", "verdict"], rows) if rows else ""


def warn_about_gates(document: Report) -> None:
    """Print on stderr the reason for the exit code: each gate that did not pass, or the reasons of the verdict.

    With `--json` and `--quiet` these are the only lines on stderr, and a build log must show why the build failed.
    """
    gates = [gate for gate in document.gates if gate.role == "subject" and gate.verdict != "passed"]
    for gate in gates:
        console.warn(_describe_gate(gate), condition=gate.condition, verdict=gate.verdict)
    if not gates:
        reasons = "; ".join(document.judgement.reasons) if document.judgement else ""
        console.warn(f"verdict {document.verdict}" + (f": {reasons}" if reasons else ""))


def _describe_gate(gate: Gate) -> str:
    """Return one line with value, n and limit of a gate, and the reason where there is no value."""
    state = "gate failed" if gate.verdict == "failed" else "gate not decided"
    value = "no value" if gate.value.value is None else f"value {gate.value.value:.4g}"
    limit = "" if gate.limit is None else f", limit {gate.limit:.4g}"
    reason = f" ({gate.reason})" if gate.reason and None in (gate.value.value, gate.limit) else ""
    return f"{state}: {gate.condition}: {value}, n {gate.value.n}{limit}{reason}"
