"""U-LiRA on records that stay: does unlearning others make the retained ones easier to recognise?

The likelihood ratios of `ulira` on a sample of retain, whose membership was drawn at random in every shadow run as that
of forget was, but whose members are never unlearned. Compare the AUC with that of the original and of retraining: above
both, unlearning exposes the retained people. Source: Hayes et al. 2024, arXiv 2403.01218, section 5; attacks.md A5.
Needs shadow runs with `--retained`. Warning: members stay members, so an AUC above 1/2 is no fault of unlearning; only
the difference from the original's and from retraining's says something. It judges the recipe, not the delivered file.
"""

from unlearn_cli.learning.shadows import Pool
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.lira_findings import compute_lira_findings

SUMMARY = "U-LiRA on records that stay: does unlearning expose them?"
TIER = "audit"
ORDER = 3  # within the tier, cheapest first


def retained(retained_shadow_runs: Pool | None) -> Findings:
    """Return AUC, accuracy and the worst tenth of the records, as `ulira` does for the forgotten."""
    if retained_shadow_runs is None:
        return Findings({"auc": missing("the shadow runs hold no records of retain; 'shadow --retained' adds them")})
    return Findings(compute_lira_findings(retained_shadow_runs.members, retained_shadow_runs.phi).quantities)
