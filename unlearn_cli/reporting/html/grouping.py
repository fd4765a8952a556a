"""How the parts of a report are grouped for the page: beside each other what belongs beside each other."""

from unlearn_cli.reporting.html.words import spaced
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import AttackResult, Confusion, Curve, Estimate

FIRST = ("subject", "original", "reference")


def in_role_order(roles: list[str]) -> list[str]:
    """Return the checkpoint under test first, then the original, then the references."""
    known = [role for role in FIRST if role in roles]
    return known + sorted(set(roles) - set(known))


def attacked(report: Report) -> list[str]:
    return in_role_order([attack.role for attack in report.attacks])


def overview(report: Report) -> dict[str, dict[str, AttackResult]]:
    """Return attack -> checkpoint -> block."""
    found: dict[str, dict[str, AttackResult]] = {}
    for attack in report.attacks:
        found.setdefault(attack.name, {})[attack.role] = attack
    return found


def probed(report: Report) -> list[str]:
    return in_role_order([found.role for found in report.findings])


def probes(report: Report) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Return probe -> quantity -> checkpoint -> estimate."""
    tables: dict[str, dict[str, dict[str, Estimate]]] = {}
    for found in report.findings:
        for name, estimate in found.quantities.items():
            tables.setdefault(found.name, {}).setdefault(name, {})[found.role] = estimate
    return tables


def probe_curves(report: Report) -> dict[str, list[Curve]]:
    """Return phase -> a curve a checkpoint, named after it."""
    phases: dict[str, list[Curve]] = {}
    for role in probed(report):
        for found in report.findings:
            if found.role == role:
                for curve in found.curves:
                    name = f"{spaced(role)}: {curve.name}"
                    phases.setdefault(curve.phase, []).append(curve.model_copy(update={"name": name}))
    return phases


def confusions(report: Report) -> dict[str, list[Confusion]]:
    """Return split -> a confusion a checkpoint."""
    found: dict[str, list[Confusion]] = {}
    for one in report.confusions:
        found.setdefault(one.split, []).append(one)
    return {
        split: sorted(rows, key=lambda row: in_role_order([r.role for r in rows]).index(row.role))
        for split, rows in found.items()
    }


GROUPS = {
    "attacked": attacked,
    "overview": overview,
    "probed": probed,
    "probes": probes,
    "probe_curves": probe_curves,
    "confusions": confusions,
}
