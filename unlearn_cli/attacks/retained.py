"""U-LiRA on records that stay: does unlearning others make those that are kept easier to recognise?

The likelihood ratios of `ulira` on a sample of retain, whose membership was drawn at random in every shadow run as that
of forget was, but whose members are never unlearned. Beside the original (before unlearning) and retraining: an AUC
above both is a price that the kept people pay. Source: Hayes et al. 2024, arXiv 2403.01218, section 5; attacks.md A5.
Needs shadow runs with `--retained`. Warning: members stay members, so an AUC above 1/2 is no fault of unlearning; only
the difference from the original's and from retraining's says something. It judges the recipe, not the delivered file.
"""

from unlearn_cli.attacks.ulira import ulira
from unlearn_cli.learning.shadows import Pool
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import missing

SUMMARY = "U-LiRA on records that stay: does unlearning expose them?"
TIER = "audit"
ORDER = 3  # within the tier, cheapest first


def retained(retained_shadow_runs: Pool | None) -> Findings:
    """Return AUC, accuracy and the worst tenth of the records, as `ulira` does for the forgotten."""
    if retained_shadow_runs is None:
        return Findings({"auc": missing("the shadow runs hold no records of retain; 'shadow --retained' adds them")})
    return Findings(ulira(retained_shadow_runs).quantities)
