"""RMIA, offline: the likelihood of a forgotten record relative to references, compared with never-seen records.

    r(x) = p(x) / P(x),  P(x) = ((1 + a) mean_k p_k(x) + (1 - a)) / 2;   score(x) = share of z with r(x) / r(z) >= gamma

p is the probability of the label; in a regression, the normal likelihood of the residual with the SD of the hold-out.
Source: Zarifzadeh et al. 2024, arXiv 2312.03262, section 3; ties count one half here. Needs one reference or more, and
a hold-out: every second record (or cluster) of it is the population z, the others are attacked. Warning: scores are
multiples of 1 / |z|, so that a true-positive rate at FPR 0.1 % needs a population of a thousand.
"""

from typing import Annotated

import numpy as np
from pydantic import PositiveFloat
from scipy.stats import norm

from unlearn_cli.plugins.types import Doc, Fraction
from unlearn_cli.stats.clusters import number_clusters
from unlearn_cli.stats.findings import Scores
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.rmia_scores import log_prior, rmia_scores
from unlearn_cli.stats.signals import loss

SUMMARY = "likelihood ratio to references, against never-seen ones"
TASK = ("classification", "regression", "multilabel")
TIER = "standard"
ORDER = 2  # within the tier, cheapest first


def rmia(
    forget_outputs: Outputs,
    holdout_outputs: Outputs,
    reference_forget_outputs: list[Outputs],
    reference_holdout_outputs: list[Outputs],
    *,
    a: Annotated[Fraction, Doc("slope of the correction for few references, as in the formula")] = 0.3,
    gamma: Annotated[PositiveFloat, Doc("ratio from which a record dominates a record of the population")] = 1.0,
) -> Scores:
    """Score forget (members) and half of the hold-out (non-members)."""
    spread = _spread(holdout_outputs)
    ours = _log_ratio(forget_outputs, reference_forget_outputs, a, spread)
    theirs = _log_ratio(holdout_outputs, reference_holdout_outputs, a, spread)
    chosen = _population(holdout_outputs)
    population, attacked = theirs[chosen], theirs[~chosen]
    if not min(len(attacked), len(population)):  # a hold-out of a single record, or of a single cluster
        return Scores(np.empty(0), np.empty(0))
    groups = holdout_outputs.groups
    return Scores(
        rmia_scores(ours, population, gamma),
        rmia_scores(attacked, population, gamma),
        forget_outputs.groups,
        None if groups is None else groups[~chosen],
    )


def _population(holdout: Outputs) -> np.ndarray:
    """Return the mask of the hold-out's population z: every second record, or every second cluster of records."""
    if holdout.groups is None:
        return np.arange(len(holdout)) % 2 == 0
    return number_clusters(holdout.groups).codes % 2 == 0


def _log_ratio(outputs: Outputs, references: list[Outputs], a: float, spread: float) -> np.ndarray:
    log_p = np.stack([_log_probability(reference, spread) for reference in references])
    ratios = _log_probability(outputs, spread) - log_prior(log_p, a)
    # rounded, because log(mean(exp)) of equal numbers differs by 1e-16, which would break ties
    return np.round(np.nan_to_num(ratios, posinf=1e300, neginf=-1e300), 12)


def _log_probability(outputs: Outputs, spread: float) -> np.ndarray:
    """Return log p of the label; for a residual e, log exp(-e^2 / 2 s^2), which is also at most 0."""
    if outputs.task == "regression":
        return norm.logpdf(outputs.values - outputs.labels, scale=spread) - norm.logpdf(0.0, scale=spread)
    return -loss(outputs)


def _spread(holdout: Outputs) -> float:
    """Return the root mean square of the hold-out's residuals; 1 for a classification."""
    if holdout.task != "regression" or not len(holdout):
        return 1.0
    return float(np.sqrt(np.square(holdout.values - holdout.labels).mean())) or 1.0
