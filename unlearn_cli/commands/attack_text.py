"""What `attack` prints: attacks, probes, gates and the verdict as tables."""

from unlearn_cli import console
from unlearn_cli.report import Attack, Estimate, Finding, Gate, Report

VERDICTS = {
    "passed": "PASS: within the margins of a retrained network, as far as these attacks see",
    "passed_screen": "PASS_SCREEN: weak attacks found no leak; a stronger tier may",
    "failed": "FAIL: the forgotten records, or what was to be kept, are not as after retraining",
    "inconclusive": "INCONCLUSIVE: the data decides neither way",
    "nothing_to_forget": "NOTHING_TO_FORGET: the original passes as well, so passing says nothing",
    "error": "ERROR: an uninformative audit; its controls did not come out as they must",
}


def attack_text(document: Report) -> str:
    """Lay out everything that a person reads first."""
    parts = [attacks_table(document.attacks), findings_table(document.findings), gates_table(document.gates)]
    warnings = [*(block.warnings for block in document.attacks), *(found.warnings for found in document.findings)]
    told = dict.fromkeys(f"warning: {text}" for texts in warnings for text in texts)
    skipped = [f"skipped: {one.name}: {one.reason}" for one in document.skipped]
    return "\n\n".join(filter(None, [*parts, "\n".join([*told, *skipped]), verdict_text(document)]))


def verdict_text(document: Report) -> str:
    """Return the verdict with its reasons."""
    if document.verdict is None or document.judgement is None:
        return ""
    of = f"{document.judgement.tier} tier, {document.judgement.holdout_half} half of the hold-out"
    attempts = document.judgement.attempts
    tried = f", attempt {attempts}" if attempts > 1 else ""
    reasons = [f"  {reason}" for reason in document.judgement.reasons]
    return "\n".join([f"{VERDICTS[document.verdict]} ({of}{tried})", *reasons])


def attacks_table(blocks: list[Attack]) -> str:
    """Lay out the attacks: the number of records, AUC with its interval, and the rates at low false-positive rates."""
    if not blocks:
        return ""
    rows = []
    for block in blocks:
        rates = ["-" if rate.tpr.value is None else f"{100 * rate.tpr.value:.1f} %" for rate in block.rates]
        auc = f"{_number(block.auc.value)} [{_number(block.auc.low)}, {_number(block.auc.high)}]"
        rows.append([f"{block.name} on {block.role}", str(block.num_members), str(block.num_non_members), auc,
                     _number(block.auc_deviation.value), *rates])  # fmt: skip
    header = [f"TPR at FPR {100 * rate.fpr:g} %" for rate in blocks[0].rates]
    return console.table("", ["attack", "forget", "holdout", "AUC (1/2: nothing found)", "|AUC - 1/2|", *header], rows)


def findings_table(findings: list[Finding]) -> str:
    """Lay out the probes: a row a quantity, a column a checkpoint."""
    if not findings:
        return ""
    roles = list(dict.fromkeys(found.role for found in findings))
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for found in findings:
        for name, estimate in found.quantities.items():
            cells.setdefault((found.name, name), {})[found.role] = _cell(estimate)
    rows = [[f"{probe}.{name}", *(values.get(role, "") for role in roles)] for (probe, name), values in cells.items()]
    return console.table("", ["probe", *roles], rows)


def gates_table(gates: list[Gate]) -> str:
    """Lay out the gates, those of the controls last."""
    rows = [
        [gate.role, gate.condition, _cell(gate.value), _number(gate.p_passed), _number(gate.p_failed), gate.verdict]
        for gate in sorted(gates, key=lambda gate: gate.role != "subject")
    ]
    header = ["checkpoint", "gate", "value", "p (not within)", "p (within)", "verdict"]
    return console.table("", header, rows) if rows else ""


def _cell(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"- ({estimate.reason})"[:60]
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
