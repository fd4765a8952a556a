"""Checks of the audit tier on the shadow runs of the recipe."""

from unlearn_cli.stats.margins import AUC_MARGIN, AUDIT_FPR, AUDIT_TPR_LIMIT, EPSILON_LIMIT, WORST_DECILE_MARGIN
from unlearn_cli.stats.results import Estimate, Finding
from unlearn_cli.verdict.checks import Check, auc_p_values, check_share_at_most

STRATA = ("ulira", "canaries")


def check_audit(
    findings: dict[str, Finding], control: Finding | None = None, auc_margin: float = AUC_MARGIN
) -> list[Check]:
    """Return the gates on U-LiRA (all records, canaries, a low rate, the worst records) and on epsilon."""
    checks = [
        _check_auc(f"{name} AUC within {auc_margin:g} of 1/2", findings[name], auc_margin)
        for name in STRATA
        if name in findings
    ]
    rate = findings["ulira"].quantities.get("tpr_001")
    claim = f"ulira TPR at FPR {100 * AUDIT_FPR:g} % at most {AUDIT_TPR_LIMIT:.0%}"
    if rate is not None and rate.value is not None:
        checks.append(check_share_at_most(claim, round(rate.value * rate.n), rate.n, AUDIT_TPR_LIMIT, rate))
    else:
        checks.append(_make_undecided(claim, "needs 1000 pairs of run and record that was never trained on"))
    checks += check_worst_records(findings["ulira"], control)
    bound = findings["canaries"].quantities.get("epsilon") if "canaries" in findings else None
    if bound is not None and bound.value is not None:
        # a lower bound at 95 %: the check fails above the limit; below it, it does not fail
        above = float(bound.value > EPSILON_LIMIT)
        claim = f"lower bound on epsilon at most {EPSILON_LIMIT:g}"
        checks.append(Check(claim, bound, EPSILON_LIMIT, None, above, 1 - above))
    else:
        checks.append(_make_undecided("lower bound on epsilon", "the attack 'canaries' gave none"))
    return checks


def _make_undecided(claim: str, reason: str) -> Check:
    return Check(claim, Estimate(value=None, n=0, reason=reason), reason=reason)


def check_worst_records(finding: Finding, control: Finding | None) -> list[Check]:
    """Compare the worst tenth of the records with that of retrained networks, which is above 1/2 by selection.

    The random difference of two such tenths is unknown, so beyond the margin, the check is undecided instead of failed.
    """
    value = finding.quantities.get("worst_decile")
    usual = control.quantities.get("worst_decile") if control else None
    if value is None or value.value is None or usual is None or usual.value is None:
        return []
    above = float(value.value > usual.value + WORST_DECILE_MARGIN)
    claim = f"ulira on the worst tenth of the records at most {WORST_DECILE_MARGIN:g} above retraining's"
    return [Check(claim, value, usual.value, WORST_DECILE_MARGIN, above, None)]


def _check_auc(claim: str, finding: Finding, margin: float) -> Check:
    """Test the pooled AUC with its standard error over runs, because the pairs of one run share a network."""
    value = finding.quantities["auc"]
    if value.value is None or not value.sd:
        return Check(claim, value, 0.5, margin, reason=value.reason or "the runs do not differ")
    passed, failed = auc_p_values(value, value.value, value.sd, margin)
    return Check(claim, value, 0.5, margin, passed, failed)
