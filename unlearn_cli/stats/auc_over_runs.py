"""The AUC over several runs with its interval: records of one run share a network, so runs are the clusters."""

import numpy as np
from scipy.stats import rankdata, t

from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.margins import CONFIDENCE
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import auc


def pooled_auc(members: np.ndarray, scores: np.ndarray) -> float:
    """Return the AUC of all (run, record) pairs together; NaN without members or without non-members."""
    scored = ~np.isnan(scores)
    inside, outside = scores[scored & members], scores[scored & ~members]
    if not len(inside) or not len(outside):
        return float("nan")
    ranks = rankdata(np.concatenate([inside, outside]))[: len(inside)]
    return float((ranks.sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside)))


def clustered_auc(members: np.ndarray, scores: np.ndarray) -> Estimate:
    """Return the pooled AUC of (K, n) scores with the interval of the jackknife over runs.

    `sd` is the standard error; a bootstrap over eight runs would underestimate it.
    """
    runs, n = scores.shape
    value = pooled_auc(members, scores)
    if np.isnan(value) or runs < 2:
        return missing("no pairs of run and record of both kinds", n)
    scored, run = ~np.isnan(scores), np.broadcast_to(np.arange(runs)[:, None], scores.shape)
    inside, outside = scored & members, scored & ~members
    area = auc(scores[inside], scores[outside], (run[inside], run[outside]))
    if area.low is None or area.high is None:
        return area.model_copy(update={"runs": runs})
    freedom = area.degrees_of_freedom or runs - 1.0
    half = max(area.high - value, value - area.low)
    return area.model_copy(
        update={
            "sd": half / float(t.ppf((1 + CONFIDENCE) / 2, freedom)),
            "degrees_of_freedom": freedom,
            "runs": runs,
            "clusters": None,
            "design_effect": None,
            "interval": f"{area.interval}: {runs} runs",
        }
    )
