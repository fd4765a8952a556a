"""Group the parts of a report for the page: by attack, probe, phase and split, with checkpoints in one order."""

from unlearn_cli.reporting.html.words import replace_underscores
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import AttackResult, Confusion, Curve, Estimate

FIRST = ("subject", "original", "reference")


def sort_roles(roles: list[str]) -> list[str]:
    """Return the checkpoint under test first, then the original, then the references."""
    first = [role for role in FIRST if role in roles]
    return first + sorted(set(roles) - set(first))


def list_attacked_roles(report: Report) -> list[str]:
    return sort_roles([attack.role for attack in report.attacks])


def group_attacks(report: Report) -> dict[str, dict[str, AttackResult]]:
    """Return attack -> checkpoint -> result."""
    results: dict[str, dict[str, AttackResult]] = {}
    for attack in report.attacks:
        results.setdefault(attack.name, {})[attack.role] = attack
    return results


def list_probed_roles(report: Report) -> list[str]:
    return sort_roles([finding.role for finding in report.findings])


def group_quantities(report: Report) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Return probe -> quantity -> checkpoint -> estimate."""
    tables: dict[str, dict[str, dict[str, Estimate]]] = {}
    for finding in report.findings:
        for name, estimate in finding.quantities.items():
            tables.setdefault(finding.name, {}).setdefault(name, {})[finding.role] = estimate
    return tables


def group_curves_of_probes(report: Report) -> dict[str, list[Curve]]:
    """Return phase -> one curve per checkpoint, named after it."""
    phases: dict[str, list[Curve]] = {}
    for role in list_probed_roles(report):
        curves = [curve for finding in report.findings if finding.role == role for curve in finding.curves]
        for curve in curves:
            name = f"{replace_underscores(role)}: {curve.name}"
            phases.setdefault(curve.phase, []).append(curve.model_copy(update={"name": name}))
    return phases


def group_confusions(report: Report) -> dict[str, list[Confusion]]:
    """Return split -> one confusion per checkpoint."""
    by_split: dict[str, list[Confusion]] = {}
    for confusion in report.confusions:
        by_split.setdefault(confusion.split, []).append(confusion)
    return {
        split: sorted(rows, key=lambda row: sort_roles([r.role for r in rows]).index(row.role))
        for split, rows in by_split.items()
    }


GROUPS = {
    "attacked": list_attacked_roles,
    "overview": group_attacks,
    "probed": list_probed_roles,
    "probes": group_quantities,
    "probe_curves": group_curves_of_probes,
    "confusions": group_confusions,
}
