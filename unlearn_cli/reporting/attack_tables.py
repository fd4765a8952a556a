"""The tables that `attack` prints: attacks, probes, gates and the verdict."""

from unlearn_cli import console
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import AttackResult, Estimate, Finding

MAX_ROLES = 3  # columns of checkpoints; the report contains all
SHOWN_FPR = 0.01

VERDICTS = {
    "passed": "PASS: within the margins of a retrained network, for these attacks",
    "passed_screen": "PASS_SCREEN: weak attacks found no leak; a stronger tier may",
    "failed": "FAIL: forgotten or retained records are not as after retraining",
    "inconclusive": "INCONCLUSIVE: too little data to decide",
    "nothing_to_forget": "NOTHING_TO_FORGET: the original passes, so these gates cannot show forgetting",
    "error": "ERROR: the controls have the wrong verdicts, so these gates cannot judge the checkpoint",
}


def format_attack_report(document: Report) -> str:
    """Return all tables, warnings and the verdict as text."""
    parts = [format_attacks(document.attacks), format_findings(document.findings), format_statistical_gates(document)]
    of_subject = [result for result in (*document.attacks, *document.findings) if result.role == "subject"]
    warnings = dict.fromkeys(
        f"warning: {result.name}: {text}"
        for result in of_subject
        for text in result.warnings
        if result.name in ("population", "difference") or isinstance(result, Finding)
    )
    skipped = [f"skipped: {attack.name}: {attack.reason}" for attack in document.skipped]
    return "\n\n".join(filter(None, [*parts, "\n".join([*warnings, *skipped]), format_verdict(document)]))


def format_verdict(document: Report) -> str:
    """Return the verdict with its reasons."""
    if document.verdict is None or document.judgement is None:
        return ""
    of = f"{document.judgement.tier} tier, {document.judgement.holdout_half} half of the hold-out"
    attempts = document.judgement.attempts
    attempt = f", attempt {attempts}" if attempts > 1 else ""
    reasons = [f"  {reason}" for reason in document.judgement.reasons]
    return "\n".join([f"{VERDICTS[document.verdict]} ({of}{attempt})", *reasons])


def format_attacks(results: list[AttackResult]) -> str:
    """Return one row per attack: its AUC on each checkpoint, and its TPR at a low FPR on the first checkpoint."""
    if not results:
        return ""
    roles = list(dict.fromkeys(result.role for result in results))[:MAX_ROLES]
    names = list(dict.fromkeys(result.name for result in results))
    by_name_and_role = {(result.name, result.role): result for result in results}
    rows = []
    for name in names:
        cells = [by_name_and_role.get((name, role)) for role in roles]
        first = next(cell for cell in cells if cell is not None) if any(cells) else None
        if first is not None:
            rate = next(rate.tpr.value for rate in first.rates if rate.fpr == SHOWN_FPR)
            rows.append(
                [
                    name,
                    str(first.num_members),
                    str(first.num_non_members),
                    *("" if cell is None else _format_estimate(cell.auc) for cell in cells),
                    "-" if rate is None else f"{100 * rate:.1f} %",
                ]
            )
    header = ["AUC (1/2: no leak)", "forget", "holdout", *roles, f"TPR at FPR {SHOWN_FPR:.0%}"]
    return console.table("", header, rows)


def format_findings(findings: list[Finding]) -> str:
    """Return one row per quantity of a probe, one column per checkpoint."""
    if not findings:
        return ""
    roles = list(dict.fromkeys(finding.role for finding in findings))[:MAX_ROLES]
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for finding in findings:
        for name, estimate in finding.quantities.items():
            cells.setdefault((finding.name, name), {})[finding.role] = _format_estimate(estimate)
    rows = [[f"{probe}.{name}", *(values.get(role, "") for role in roles)] for (probe, name), values in cells.items()]
    return console.table("", ["probe", *roles], rows)


def format_statistical_gates(document: Report) -> str:
    """Return the gates of the checkpoint under test, and the verdicts of the controls."""
    rows = [
        [
            gate.condition,
            _format_estimate(gate.value),
            _format_p_value(gate.p_passed),
            _format_p_value(gate.p_failed),
            gate.verdict,
        ]
        for gate in document.gates
        if gate.role == "subject"
    ]
    if not rows or document.judgement is None:
        return ""
    table = console.table("", ["gate", "value", "p (not within)", "p (within)", "verdict"], rows)
    controls = ", ".join(f"{role} {verdict}" for role, verdict in document.judgement.calibration.items())
    return f"{table}\ncontrols: {controls or 'none (--original, --reference)'}"


def _format_estimate(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"- ({estimate.reason})"[:60]
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def _format_p_value(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
