"""The tables people read: metrics beside each other, distances to the references, gates."""

from unlearn_cli import console
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Estimate
from unlearn_cli.verdict.judgement import Gate


def metrics_table(document: Report) -> str:
    """Lay out the metrics: a row for each split and metric, a column for each checkpoint."""
    roles = [name for name in ("original", "subject") if name in document.metrics]
    roles += [name for name in document.metrics if name.startswith("reference")]
    measured: dict[str, dict[str, Estimate]] = {}  # split -> metric -> estimate
    for name in roles:  # a distance to the references has no row at the original, another has none at the subject
        for split, of_split in document.metrics[name].items():
            measured[split] = {**of_split, **measured.get(split, {})}
    rows = [
        [
            split,
            metric,
            str(found.n),
            *(_cell(metric, document.metrics[name].get(split, {}).get(metric)) for name in roles),
        ]
        for split, of_split in measured.items()
        for metric, found in of_split.items()
    ]
    return console.table("", ["split", "metric", "n", *roles], rows, labels=3) if rows else ""


def comparisons_table(document: Report) -> str:
    """Lay out the metrics beside the references: the mean over them, and how far off the subject is."""
    rows = [
        [
            one.split,
            one.metric,
            str(one.n_references),
            _short(one.reference),
            _short(one.reference_sd),
            _short(one.units_of_sd),
            _short(one.normalised),
        ]
        for one in document.comparisons
    ]
    header = ["split", "metric", "references", "their mean", "their SD", "off by SDs", "0: retrained, 1: original"]
    return console.table("Beside the references", header, rows, labels=2) if rows else ""


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _cell(metric: str, estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.value is None:
        return f"- ({estimate.reason})"
    scale, unit = (100, " %") if metric == "accuracy" else (1, "")
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value * scale:.4g}{unit}"
    low, high = estimate.low * scale, estimate.high * scale
    return f"{estimate.value * scale:.4g}{unit} [{low:.4g}, {high:.4g}]"


def gates_table(document: Report) -> str:
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


def warn_of_gates(document: Report) -> None:
    """Name on stderr what the exit code stands for: each gate that did not pass, or what else decided the verdict.

    With `--json` or `--quiet` nothing else says it; a log that holds stderr only must say why a build failed.
    """
    gates = [gate for gate in document.gates if gate.role == "subject" and gate.verdict != "passed"]
    for gate in gates:
        console.warn(_gate_line(gate), condition=gate.condition, verdict=gate.verdict)
    if not gates:
        reasons = "; ".join(document.judgement.reasons) if document.judgement else ""
        console.warn(f"verdict {document.verdict}" + (f": {reasons}" if reasons else ""))


def _gate_line(gate: Gate) -> str:
    """Return one line with value, n and limit of a gate, and the reason where there is no value."""
    state = "gate failed" if gate.verdict == "failed" else "gate not decided"
    value = "no value" if gate.value.value is None else f"value {gate.value.value:.4g}"
    limit = "" if gate.limit is None else f", limit {gate.limit:.4g}"
    reason = f" ({gate.reason})" if gate.reason and None in (gate.value.value, gate.limit) else ""
    return f"{state}: {gate.condition}: {value}, n {gate.value.n}{limit}{reason}"
