"""U-LiRA: tell records that were learned and unlearned from records never learned, record by record.

    Lambda = log N(phi; IN) - log N(phi; OUT)

IN: the record was trained on, then forgotten; OUT: it never was, the network forgot others. Both are fitted on shadow
runs of the same training and the same unlearning, and scored on other runs. Source: Kurmanji et al. 2023; Hayes et al.
2024, arXiv 2403.01218; randomised membership as in attacks.md A5. Needs shadow runs. Warning: it judges the recipe, not
the delivered file; and a wrecked network passes it, for in and out are wrecked alike: read it with the z-test and the
utility. What an attack with these many runs does not find, one with more may.
"""

import numpy as np

from unlearn_cli.learning.shadows import Pool
from unlearn_cli.stats.auc_over_runs import clustered_auc
from unlearn_cli.stats.findings import Findings, Scores
from unlearn_cli.stats.intervals import missing, proportion
from unlearn_cli.stats.lira_scores import likelihood_ratios
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import tpr_at_fpr

SUMMARY = "likelihood ratios over shadow runs, record by record"
TIER = "audit"
ORDER = 2  # within the tier, cheapest first

DECILE = 0.1


def ulira(shadow_runs: Pool) -> Findings:
    """Return AUC, accuracy at Lambda > 0 over all pairs, over records (median and worst tenth), and TPR at 0.1 %."""
    members = shadow_runs.members
    scores = likelihood_ratios(members, shadow_runs.phi)
    seen = ~np.isnan(scores)
    right = np.where(seen, (scores > 0) == members, np.nan)
    pooled = Scores(scores[seen & members], scores[seen & ~members])
    quantities = {
        "auc": clustered_auc(members, scores),
        "accuracy": proportion(int(np.nansum(right)), int(seen.sum())),
    }
    if seen.any():
        rates = tpr_at_fpr(np.sort(pooled.members), np.sort(pooled.non_members), 0.001)
        quantities |= {"tpr_001": rates.tpr, **of_records(right)}
    return Findings(quantities, scores=pooled)


def of_records(right: np.ndarray) -> dict[str, Estimate]:
    """Return the median accuracy on one record, and the mean of the worst tenth; (K, n) with NaN for what is unknown.

    The worst tenth of coin flips lies above 1/2, too: beside the retrained control only does it say something.
    """
    known = right[:, ~np.isnan(right).all(axis=0)]
    if not known.shape[1]:
        return {"worst_decile": missing("no record was in enough runs")}
    accuracy = np.sort(np.nanmean(known, axis=0))
    n = len(accuracy)
    worst = accuracy[n - max(1, round(DECILE * n)) :]
    return {
        "median_of_records": Estimate(value=float(np.median(accuracy)), n=n),
        "worst_decile": Estimate(value=float(worst.mean()), n=len(worst)),
    }
