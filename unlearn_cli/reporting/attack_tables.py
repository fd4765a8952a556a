"""What `attack` prints: attacks, probes, gates and the verdict as tables."""

from unlearn_cli import console
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import AttackResult, Estimate, Finding

MAX_ROLES, SHOWN_FPR = 3, 0.01  # checkpoints beside each other (the report has them all)

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
    parts = [attacks_table(document.attacks), findings_table(document.findings), gates_table(document)]
    judged = [one for one in (*document.attacks, *document.findings) if one.role == "subject"]
    told = dict.fromkeys(
        f"warning: {one.name}: {text}"
        for one in judged
        for text in one.warnings
        if one.name in ("population", "difference") or isinstance(one, Finding)
    )
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


def attacks_table(blocks: list[AttackResult]) -> str:
    """Lay out the attacks: a row an attack with its AUC on each checkpoint, and on the first a rate at a low FPR."""
    if not blocks:
        return ""
    roles = list(dict.fromkeys(block.role for block in blocks))[:MAX_ROLES]
    names = list(dict.fromkeys(block.name for block in blocks))
    found = {(block.name, block.role): block for block in blocks}
    rows = []
    for name in names:
        cells = [found.get((name, role)) for role in roles]
        first = next(cell for cell in cells if cell is not None) if any(cells) else None
        if first is not None:
            rate = next(rate.tpr.value for rate in first.rates if rate.fpr == SHOWN_FPR)
            rows.append(
                [
                    name,
                    str(first.num_members),
                    str(first.num_non_members),
                    *("" if cell is None else _cell(cell.auc) for cell in cells),
                    "-" if rate is None else f"{100 * rate:.1f} %",
                ]
            )
    header = ["AUC (1/2: nothing found)", "forget", "holdout", *roles, f"TPR at FPR {SHOWN_FPR:.0%}"]
    return console.table("", header, rows)


def findings_table(findings: list[Finding]) -> str:
    """Lay out the probes: a row a quantity, a column a checkpoint."""
    if not findings:
        return ""
    roles = list(dict.fromkeys(found.role for found in findings))[:MAX_ROLES]
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for found in findings:
        for name, estimate in found.quantities.items():
            cells.setdefault((found.name, name), {})[found.role] = _cell(estimate)
    rows = [[f"{probe}.{name}", *(values.get(role, "") for role in roles)] for (probe, name), values in cells.items()]
    return console.table("", ["probe", *roles], rows)


def gates_table(document: Report) -> str:
    """Lay out the gates of the checkpoint under test, and what came out for the controls."""
    rows = [
        [gate.condition, _cell(gate.value), _number(gate.p_passed), _number(gate.p_failed), gate.verdict]
        for gate in document.gates
        if gate.role == "subject"
    ]
    if not rows or document.judgement is None:
        return ""
    table = console.table("", ["gate", "value", "p (not within)", "p (within)", "verdict"], rows)
    controls = ", ".join(f"{role} {verdict}" for role, verdict in document.judgement.calibration.items())
    return f"{table}\ncontrols: {controls or 'none (--original, --reference)'}"


def _cell(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"- ({estimate.reason})"[:60]
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
