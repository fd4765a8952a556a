"""The quantities of likelihood ratios over shadow runs: the AUC, and the accuracy over pairs and over records."""

import numpy as np

from unlearn_cli.stats.auc_over_runs import clustered_auc
from unlearn_cli.stats.findings import Findings, Scores
from unlearn_cli.stats.intervals import missing, proportion
from unlearn_cli.stats.lira_scores import likelihood_ratios
from unlearn_cli.stats.margins import AUDIT_FPR
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import tpr_at_fpr

WORST_SHARE = 0.1  # of the records


def compute_lira_findings(members: np.ndarray, phi: np.ndarray) -> Findings:
    """Return AUC, accuracy at Lambda > 0 over all pairs, over records (median and worst tenth), and TPR at 0.1 %.

    members and phi (K, n) are the membership and the signal of each record in each run.
    """
    scores = likelihood_ratios(members, phi)
    scored = ~np.isnan(scores)
    right = np.where(scored, (scores > 0) == members, np.nan)
    pairs = Scores(scores[scored & members], scores[scored & ~members])
    quantities = {
        "auc": clustered_auc(members, scores),
        "accuracy": proportion(int(np.nansum(right)), int(scored.sum())),
    }
    if scored.any():
        rates = tpr_at_fpr(np.sort(pairs.members), np.sort(pairs.non_members), AUDIT_FPR)
        quantities |= {"tpr_001": rates.tpr, **summarize_record_accuracy(right)}
    return Findings(quantities, scores=pairs)


def summarize_record_accuracy(right: np.ndarray) -> dict[str, Estimate]:
    """Return the median accuracy on one record and the mean of the worst tenth; right (K, n) is NaN without a score.

    The worst tenth of coin flips is above 1/2, too, so only the comparison with the retrained control is meaningful.
    """
    right = right[:, ~np.isnan(right).all(axis=0)]
    if not right.shape[1]:
        return {"worst_decile": missing("no record was in enough runs")}
    accuracy = np.sort(np.nanmean(right, axis=0))
    n = len(accuracy)
    worst = accuracy[n - max(1, round(WORST_SHARE * n)) :]
    return {
        "median_of_records": Estimate(value=float(np.median(accuracy)), n=n),
        "worst_decile": Estimate(value=float(worst.mean()), n=len(worst)),
    }
