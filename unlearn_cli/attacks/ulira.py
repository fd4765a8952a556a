"""U-LiRA: separate records that were learned and unlearned from records never learned, record by record.

    Lambda = log N(phi; IN) - log N(phi; OUT)

IN: the record was trained on, then forgotten; OUT: it was not, and the network forgot other records. Both are fitted on
shadow runs of the same training and unlearning, with random membership, and scored on other runs. Source: Kurmanji et
al. 2023; Hayes et al. 2024, arXiv 2403.01218. Needs shadow runs. Warning: it judges the recipe, not the delivered file.
A destroyed network passes it, because its outputs are equally bad for IN and OUT: also check the contrast and the
utility. An attack with more runs may detect more.
"""

from unlearn_cli.learning.shadows import Pool
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.lira_findings import compute_lira_findings

SUMMARY = "likelihood ratios per record over shadow runs"
TASK = ("classification", "regression", "multilabel")
TIER = "audit"
ORDER = 2  # within the tier, cheapest first


def ulira(shadow_runs: Pool) -> Findings:
    """Return AUC, accuracy at Lambda > 0 over all pairs, over records (median and worst tenth), and TPR at 0.1 %."""
    return compute_lira_findings(shadow_runs.members, shadow_runs.phi)
