"""Intervals over runs: records of one run share a network, so it is runs that are drawn again (cluster bootstrap)."""

import numpy as np
from scipy.stats import rankdata

from unlearn_cli.report import Estimate
from unlearn_cli.stats.intervals import bounded, missing

RESAMPLES = 300


def pooled_auc(members: np.ndarray, scores: np.ndarray) -> float:
    """Return the AUC of all (run, record) pairs at once; NaN without either kind."""
    found = ~np.isnan(scores)
    inside, outside = scores[found & members], scores[found & ~members]
    if not len(inside) or not len(outside):
        return float("nan")
    ranks = rankdata(np.concatenate([inside, outside]))[: len(inside)]
    return float((ranks.sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside)))


def clustered_auc(members: np.ndarray, scores: np.ndarray, seed: int) -> Estimate:
    """Return the pooled AUC with a percentile interval over resampled runs (K, n)."""
    runs, n = scores.shape
    value = pooled_auc(members, scores)
    if np.isnan(value) or runs < 2:
        return missing("no pairs of run and record of both kinds", n)
    random = np.random.default_rng(seed)
    again = []
    for _ in range(RESAMPLES):
        pick = random.integers(0, runs, runs)
        again.append(pooled_auc(members[pick], scores[pick]))
    low, high = np.nanquantile(again, [0.025, 0.975])
    bounds = (min(low, value), max(high, value))
    found = bounded(value, int((~np.isnan(scores)).sum()), bounds, f"cluster bootstrap over {runs} runs")
    return found.model_copy(update={"sd": float(np.nanstd(again)), "runs": runs})
