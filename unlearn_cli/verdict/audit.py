"""Gates of the audit tier: what shadow runs of the recipe show (attacks.md 3.2, G-ulira, G-eps)."""

from unlearn_cli.stats.results import Estimate, Finding
from unlearn_cli.verdict.checks import Check, distribution, near, share_at_most

AUC_MARGIN, TPR_LIMIT, EPSILON_LIMIT, DECILE_MARGIN = 0.05, 0.01, 0.5, 0.05
STRATA = ("ulira", "canaries")


def audit(findings: dict[str, Finding], control: Finding | None = None) -> list[Check]:
    """Return the gates on U-LiRA (all records, canaries, a low rate, the worst records) and on epsilon."""
    found = [_auc(f"{name} AUC within {AUC_MARGIN:g} of 1/2", findings[name]) for name in STRATA if name in findings]
    rate = findings["ulira"].quantities.get("tpr_001")
    claim = f"ulira TPR at FPR 0.1 % at most {TPR_LIMIT:.0%}"
    if rate is not None and rate.value is not None:
        found.append(share_at_most(claim, round(rate.value * rate.n), rate.n, TPR_LIMIT, rate))
    else:
        found.append(_unknown(claim, "needs 1000 pairs of run and record never trained on"))
    found += worst_records(findings["ulira"], control)
    bound = findings["canaries"].quantities.get("epsilon") if "canaries" in findings else None
    if bound is not None and bound.value is not None:
        # a lower bound at 95 %: above the policy it fails; below, it says no more than that it does not
        above = float(bound.value > EPSILON_LIMIT)
        claim = f"lower bound on epsilon at most {EPSILON_LIMIT:g}"
        found.append(Check(claim, bound, EPSILON_LIMIT, None, above, 1 - above))
    else:
        found.append(_unknown("lower bound on epsilon", "the attack 'canaries' gave none"))
    return found


def _unknown(claim: str, reason: str) -> Check:
    return Check(claim, Estimate(value=None, n=0, reason=reason), reason=reason)


def worst_records(found: Finding, control: Finding | None) -> list[Check]:
    """Compare the worst tenth of the records with that of retrained networks: by choice it lies above 1/2 there, too.

    How far two such tenths differ by chance is not known, so more than the margin does not fail, it only does not pass.
    """
    value = found.quantities.get("worst_decile")
    usual = control.quantities.get("worst_decile") if control else None
    if value is None or value.value is None or usual is None or usual.value is None:
        return []
    above = float(value.value > usual.value + DECILE_MARGIN)
    claim = f"ulira on the worst tenth of the records at most {DECILE_MARGIN:g} above retraining's"
    return [Check(claim, value, usual.value, DECILE_MARGIN, above, None)]


def _auc(claim: str, found: Finding) -> Check:
    """Test the pooled AUC with its spread over resampled runs: the pairs of one run share a network."""
    value = found.quantities["auc"]
    if value.value is None or not value.sd:
        return Check(claim, value, 0.5, AUC_MARGIN, reason=value.reason or "the runs do not differ")
    spread, errors = value.sd, distribution(value.degrees_of_freedom)
    passed, failed = near(value.value, 0.5, AUC_MARGIN, lambda x: float(errors.cdf(x / spread)))
    return Check(claim, value, 0.5, AUC_MARGIN, passed, failed)
