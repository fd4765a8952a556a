"""Retrain-ensemble z-test: whether the outputs on forget are like those of one more retrained network.

    z_i = (phi_i - mean_k phi_i(k)) / (s sqrt(1 + 1/K)),   s^2 = mean over records of the variance over K references

Idea: references retrained without forget show the phi of each forgotten record and how much it varies. A mean z above 0
is remaining knowledge, below 0 over-forgetting; both reveal a record. Mean z^2 and the AUC of |z| detect both.

Source: this project; an offline form of U-LiRA (Hayes et al. 2024) against the delivered file. Needs three references,
better four to eight; in a regression, the prediction replaces phi. Warning: a network that was retrained by another
recipe than the references is beyond them, too, so no gate uses this number: see `retrain_contrast`.
"""

import math

import numpy as np
from scipy.stats import norm, t

from unlearn_cli.console import pluralize
from unlearn_cli.stats.findings import Findings, Scores
from unlearn_cli.stats.intervals import CONFIDENCE, missing, share
from unlearn_cli.stats.intervals import mean as mean_of
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import auc
from unlearn_cli.stats.signals import phi
from unlearn_cli.stats.z_statistics import (
    BEYOND,
    measure_left_out,
    measure_permutation_p_values,
    pooled_spread,
    predict_mean_square,
    statistics,
    z_scores,
)

SUMMARY = "z-test against retrained references"
TASK = ("classification", "regression", "multilabel")
TIER = "standard"
ORDER = 1  # within the tier, cheapest first

MIN_REFERENCES, ADVISED_REFERENCES = 3, 4
PREDICTED = {"mean_z": "t", "auc_z": "t", "mean_z2": "F"}  # the statistics with a distribution that holds its level


def retrain_z(forget_outputs: Outputs, reference_forget_outputs: list[Outputs]) -> Findings:
    """Return the statistics, and as *_null those of left-out references: mean, SD, and 95 % prediction intervals.

    *_p is the share of the K + 1 networks that are as extreme as this one, each compared with the others: it holds its
    level for any correlation of the records. Only mean_z, auc_z (t) and mean_z2 (F) have an interval, because that of t
    contains one more reference too rarely for the other two, whose distributions are skewed. Simulated with K = 3, 4, 8
    and records with correlations from 0 to 1, one more reference is outside in 2 to 5 %, 0 to 4 % and 0 to 6 % of the
    cases; by t, as before, mean_z2 would be outside in up to 15 %.

    auc_abs_z_floor is the largest distance from 1/2 of the AUC of |z| of a left-out reference. `scores` are |z| of this
    network and of a held-out reference, on the same records.
    """
    count, n = len(reference_forget_outputs), len(forget_outputs)
    if count < MIN_REFERENCES:
        return Findings({"mean_z": missing(f"at least {MIN_REFERENCES} references are needed, not {count}", n)})
    references = np.stack([phi(outputs) for outputs in reference_forget_outputs])  # (K, n)
    spread = pooled_spread(references) if n else 0.0
    if spread == 0:
        return Findings({"mean_z": missing("the references do not differ on these records", n)})
    candidate = phi(forget_outputs)
    z = z_scores(candidate, references, spread)
    ours, left_out = statistics(candidate, references, spread), measure_left_out(references, spread)
    quantities = {name: Estimate(value=value, n=n) for name, value in ours.items()}
    groups = forget_outputs.groups
    quantities["mean_z"] = mean_of(z, groups=groups)
    quantities["mean_z2"] = mean_of(np.square(z), at_least=0.0, groups=groups)
    quantities["share_beyond"] = share(np.abs(z) > BEYOND, groups)
    others = references[1:]
    pair = np.abs(z_scores(candidate, others, spread)), np.abs(z_scores(references[0], others, spread))
    quantities["auc_abs_z"] = _recentre(ours["auc_abs_z"], auc(*pair, None if groups is None else (groups, groups)))
    floor = max(abs(values["auc_abs_z"] - 0.5) for values in left_out)
    quantities["auc_abs_z_floor"] = Estimate(value=floor, n=n, runs=count)
    quantities |= {f"{name}_null": _predict(name, [values[name] for values in left_out], references) for name in ours}
    p_values = measure_permutation_p_values(candidate, references)
    quantities |= {f"{name}_p": Estimate(value=p, n=n, runs=count + 1) for name, p in p_values.items()}
    few = f"{pluralize(count, 'reference')}; {ADVISED_REFERENCES} to 8 give a narrower interval of a retrained network"
    return Findings(
        quantities, scores=Scores(*pair, groups, groups), warnings=[few] if count < ADVISED_REFERENCES else []
    )


def _recentre(value: float, like: Estimate) -> Estimate:
    """Return the mean over held-out references with the half-width of one of them."""
    if like.low is None or like.high is None:
        return like.model_copy(update={"value": value})
    half, freedom = (like.high - like.low) / 2, like.degrees_of_freedom
    one_sided = (1 + CONFIDENCE) / 2
    sd = half / float(norm.ppf(one_sided) if freedom is None else t.ppf(one_sided, freedom))
    low, high = max(0.0, value - half), min(1.0, value + half)
    return like.model_copy(update={"value": value, "low": low, "high": high, "sd": sd})


def _predict(name: str, values: list[float], references: np.ndarray) -> Estimate:
    """Return mean and SD over left-out references, with the interval that contains one more in 95 % of cases.

    Left-out references share most of their comparators, which makes their SD slightly too large (15 % for mean z and
    K = 4): the interval of t is conservative for the two symmetric statistics.
    """
    runs, n = references.shape
    null = Estimate(value=float(np.mean(values)), n=n, sd=float(np.std(values, ddof=1)), runs=runs)
    if name not in PREDICTED:
        return null.model_copy(update={"reason": "no interval: the distribution is skewed, see the p-value"})
    low, high = predict_mean_square(references) if name == "mean_z2" else _predict_symmetric(values)
    interval = f"prediction interval of one more reference, {PREDICTED[name]}"
    return null.model_copy(update={"low": low, "high": high, "interval": interval})


def _predict_symmetric(values: list[float]) -> tuple[float, float]:
    """Return mean +- t SD sqrt(1 + 1/K) of K left-out references."""
    runs, value = len(values), float(np.mean(values))
    half = float(t.ppf((1 + CONFIDENCE) / 2, runs - 1) * np.std(values, ddof=1)) * math.sqrt(1 + 1 / runs)
    return value - half, value + half
