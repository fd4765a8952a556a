"""Group the parts of a report for the page: comparisons, controls, attacks."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from unlearn_cli.reporting.html.estimate_tables import list_main_metrics
from unlearn_cli.reporting.html.roles import MASK, REFERENCES, is_reference, sort_roles
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import AttackResult, Comparison


@dataclass(frozen=True)
class Control:
    """A control of the verdict, or all references together: how often each verdict occurred."""

    title: str
    expected: str
    verdicts: dict[str, int]


@dataclass(frozen=True)
class ComparisonTable:
    """The comparisons with a value: those of the main metrics, and the others."""

    main: list[Comparison]
    folded: list[Comparison]


def group_controls(report: Report, titles: Mapping[str, str]) -> list[Control]:
    """Return the original, the references as one control, and other controls."""
    verdicts = report.judgement.calibration if report.judgement else {}
    references = Counter(verdict for role, verdict in verdicts.items() if is_reference(role))
    others = sort_roles(role for role in verdicts if not is_reference(role))
    controls = [
        Control(titles[role], "fail" if role in ("original", MASK) else "not fail", {verdicts[role]: 1})
        for role in others
    ]
    title = titles.get(REFERENCES) or titles.get("reference", "")
    return [*controls, *([Control(title, "not fail", dict(references))] if references else [])]


def list_reasons(report: Report) -> list[str]:
    """Return the reasons of the verdict that are not already in the table of gates."""
    in_table = {f"{gate.condition}: {gate.reason}" for gate in report.gates}
    reasons = report.judgement.reasons if report.judgement else []
    return [reason for reason in reasons if reason not in in_table]


def list_comparisons(report: Report) -> ComparisonTable | None:
    """Return the comparisons that say more than the table of metrics; None if none does, as with one reference."""
    rows = [row for row in report.comparisons if row.units_of_sd is not None or row.normalised is not None]
    if not rows:
        return None
    main = list_main_metrics(report)
    return ComparisonTable(
        [row for row in rows if row.metric in main],
        [row for row in rows if row.metric not in main],
    )


def list_detailed_attacks(report: Report) -> list[AttackResult]:
    """Return the attacks on the checkpoint under test; without one, all attacks."""
    return [attack for attack in report.attacks if attack.role == "subject"] or list(report.attacks)
