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
from unlearn_cli.stats.z_statistics import BEYOND, measure_left_out, pooled_spread, statistics, z_scores

SUMMARY = "z-test against retrained references"
TIER = "standard"
ORDER = 1  # within the tier, cheapest first

MIN_REFERENCES, ADVISED_REFERENCES = 3, 4


def retrain_z(forget_outputs: Outputs, reference_forget_outputs: list[Outputs]) -> Findings:
    """Return the statistics, and as *_null those of left-out references: mean, SD, 95 % prediction interval.

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
    quantities |= {f"{name}_null": _prediction([values[name] for values in left_out], n) for name in ours}
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


def _prediction(values: list[float], n: int) -> Estimate:
    """Return mean +- t SD sqrt(1 + 1/K), the interval that contains one more reference in 95 % of cases.

    Left-out references share most of their comparators, which makes their SD slightly too large (15 % for mean z and
    K = 4): the interval is conservative.
    """
    runs, sd = len(values), float(np.std(values, ddof=1))
    value = float(np.mean(values))
    half = float(t.ppf((1 + CONFIDENCE) / 2, runs - 1)) * sd * math.sqrt(1 + 1 / runs)
    interval = "prediction interval of one more reference"
    return Estimate(value=value, n=n, low=value - half, high=value + half, sd=sd, runs=runs, interval=interval)
