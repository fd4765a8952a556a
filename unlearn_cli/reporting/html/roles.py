"""The titles of the checkpoints on the page: original, unlearned, reference. Several references share one column."""

import statistics
from collections.abc import Iterable, Mapping

from unlearn_cli.reporting.html.words import replace_underscores
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Estimate

FIRST = ("original", "subject")
REFERENCES = "references"  # the column of the mean over several references
MASK, MASK_TITLE = "mask", "Original, edited row"
ROUNDING = 1e-12


def sort_roles(roles: Iterable[str]) -> list[str]:
    """Return the original first, then the checkpoint under test, then the references by number, then others."""
    names = set(roles)
    first = [role for role in FIRST if role in names]
    return first + sorted(names - set(first), key=lambda role: (not is_reference(role), len(role), role))


def is_reference(role: str) -> bool:
    return role.startswith("reference")


def title_roles(report: Report) -> dict[str, str]:
    """Return the title of every checkpoint that was measured or attacked, in reading order."""
    roles = sort_roles(
        [
            *report.metrics,
            *(result.role for result in (*report.attacks, *report.findings, *report.confusions)),
            *(gate.role for gate in report.gates),
            *(report.judgement.calibration if report.judgement else ()),
        ]
    )
    references = [role for role in roles if is_reference(role)]
    titles = {role: replace_underscores(role).capitalize() for role in roles} | (
        {MASK: MASK_TITLE} if MASK in roles else {}
    )
    if len(references) > 1:
        titles |= {role: f"Reference {number}" for number, role in enumerate(references, 1)}
        titles[REFERENCES] = f"{len(references)} references"
    return titles | ({"subject": title_subject(report)} if "subject" in titles else {})


def title_subject(report: Report) -> str:
    """Return 'Unlearned', or 'Network' and 'Trained' where nothing was unlearned."""
    if report.command == "train":
        return "Trained"
    trained = report.subject is not None and report.subject.lineage.get("method") == "train"
    return "Network" if trained or "forget" not in report.manifest.splits else "Unlearned"


def pool_references(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return the estimates with those of several references replaced by one: their mean, with the SD over them."""
    references = {role: estimate for role, estimate in estimates.items() if is_reference(role)}
    if len(references) < 2:
        return dict(estimates)
    others = {role: estimate for role, estimate in estimates.items() if role not in references}
    return {**others, REFERENCES: average_estimates(list(references.values()))}


def average_estimates(estimates: list[Estimate]) -> Estimate:
    """Return the mean of the values with their standard deviation; n is that of one estimate."""
    values = [estimate.value for estimate in estimates if estimate.value is not None]
    n = max(estimate.n for estimate in estimates)
    if not values:
        return Estimate(value=None, n=n, reason=estimates[0].reason)
    sd = statistics.stdev(values) if len(values) > 1 else None
    mean = statistics.fmean(values)
    is_rounding = abs(mean) < ROUNDING * max(map(abs, values))  # of scores relative to the other references: exactly 0
    return Estimate(value=0.0 if is_rounding else mean, n=n, sd=sd, runs=len(values))
