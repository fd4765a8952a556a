"""U-LiRA on retained records: whether unlearning other records makes the retained ones easier to recognise.

The likelihood ratios of `ulira` on a sample of retain, whose membership is random in every shadow run, as that of
forget, but whose members are never unlearned. If the AUC is above those of the original and of retraining, unlearning
exposes the retained persons. Source: Hayes et al. 2024, arXiv 2403.01218, section 5. Needs shadow runs with
`--retained`. Warning: members stay members, so an AUC above 1/2 is expected; only the difference from the original's
and from retraining's is meaningful. It judges the recipe, not the delivered file.
"""

from unlearn_cli.learning.shadows import Pool
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.lira_findings import compute_lira_findings

SUMMARY = "U-LiRA on retained records, which unlearning may expose"
TASK = ("classification", "regression", "multilabel")
TIER = "audit"
ORDER = 3  # within the tier, cheapest first


def retained(retained_shadow_runs: Pool | None) -> Findings:
    """Return AUC, accuracy and the worst tenth of the records, as `ulira` does for the forgotten."""
    if retained_shadow_runs is None:
        return Findings({"auc": missing("the shadow runs have no records of retain; 'shadow --retained' adds them")})
    return Findings(compute_lira_findings(retained_shadow_runs.members, retained_shadow_runs.phi).quantities)
