"""LiRA, offline: whether the output on a record is higher than that of networks that never saw it; one-sided.

    score = Phi((phi - mean_out) / sd_out),   mean and SD of the record over shadow runs without it

Source: Carlini et al. 2022, arXiv 2112.03570, section VI (offline). Needs shadow runs. On the original, it shows how
exposed the records were before unlearning. Warning: records whose outputs are below those of never-seen records have
low scores and are not detected (AUC 0.08 at two standard deviations; the likelihood ratio of `ulira` has 0.92).
"""

import numpy as np

from unlearn_cli.learning.shadows import Pool
from unlearn_cli.stats.auc_over_runs import clustered_auc
from unlearn_cli.stats.findings import Findings, Scores
from unlearn_cli.stats.lira_scores import one_sided

SUMMARY = "one-sided likelihood attack over shadow runs"
TASK = ("classification", "regression", "multilabel")
TIER = "audit"
ORDER = 1  # within the tier, cheapest first


def lira(shadow_runs: Pool) -> Findings:
    """Return the AUC over all pairs of run and record, with an interval over runs."""
    scores = one_sided(shadow_runs.members, shadow_runs.phi)
    scored = ~np.isnan(scores)
    pooled = Scores(scores[scored & shadow_runs.members], scores[scored & ~shadow_runs.members])
    return Findings({"auc": clustered_auc(shadow_runs.members, scores)}, scores=pooled)
