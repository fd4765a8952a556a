"""Quantile attack: compare phi of a record with the phi expected of a similar never-seen record; needs no reference.

Idea: a regressor learns, on never-seen records, mean and deviation of phi from the penultimate features and the label;
a forgotten record whose phi is far above its prediction was trained on. Score: (phi - mu(x)) / sigma(x). Thresholds for
a false-positive rate come from held-out records (split conformal), because those of the regressor are too low (2.9 %
for a nominal 1 %).

Source: Bertran et al. 2023, arXiv 2307.03694 (Gaussian head). Needs outputs and features on forget and hold-out; one
third of the hold-out (of its clusters) each is for fitting, for thresholds and for scoring. Warning: use it only if
retraining is impossible; it is sensitive to any difference between hold-out and forget.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor

from unlearn_cli.plugins.types import Doc, Fraction
from unlearn_cli.stats.clusters import parts
from unlearn_cli.stats.findings import Findings, Scores
from unlearn_cli.stats.intervals import missing, share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.signals import loss, phi

SUMMARY = "quantile regression on never-seen records"
TASK = ("classification", "regression", "multilabel")
TIER = "standard"
ORDER = 3  # within the tier, cheapest first

MIN_HOLDOUT, MAX_FEATURES = 60, 16  # records; features
MIN_SPREAD = 0.1  # in units of the mean deviation


def quantile(
    split_features: dict[str, np.ndarray],
    forget_outputs: Outputs,
    holdout_outputs: Outputs,
    seed: int,
    *,
    fpr: Annotated[Fraction, Doc("nominal false-positive rate for flagging records")] = 0.05,
) -> Findings:
    """Return scores of forget and of the last third of the hold-out, and the shares flagged at a nominal rate."""
    n = len(holdout_outputs)
    if n < MIN_HOLDOUT or not len(forget_outputs):
        reason = f"at least {MIN_HOLDOUT} records of the hold-out and one forgotten record are needed, not {n}"
        return Findings({"flagged_forget": missing(reason, n)})
    signal = [_signal(outputs) for outputs in (forget_outputs, holdout_outputs)]
    inputs = _inputs(split_features, forget_outputs, holdout_outputs, seed)
    groups, random = holdout_outputs.groups, np.random.default_rng(seed)
    fit, correct, scored = np.array_split(random.permutation(n), 3) if groups is None else parts(groups, 3, random)
    if not min(len(fit), len(correct), len(scored)):
        return Findings({"flagged_forget": missing("at least 3 clusters of the hold-out are needed", n)})
    standard = _head(inputs[1][fit], signal[1][fit], seed)
    members, conformal, others = (
        standard(inputs[which][rows], signal[which][rows])
        for which, rows in ((0, np.arange(len(signal[0]))), (1, correct), (1, scored))
    )
    threshold = _conformal(conformal, fpr)
    of_scored = None if groups is None else groups[scored]
    sides = {"flagged_forget": (members, forget_outputs.groups), "flagged_holdout": (others, of_scored)}
    quantities = {
        name: share(part > threshold, of)
        if np.isfinite(threshold)
        else missing(f"{len(conformal)} held-out records are too few for a rate of {fpr:g}", len(part))
        for name, (part, of) in sides.items()
    }
    return Findings(quantities, scores=Scores(members, others, forget_outputs.groups, of_scored))


def _signal(outputs: Outputs) -> np.ndarray:
    return -loss(outputs) if outputs.task == "regression" else phi(outputs)


def _inputs(features: dict[str, np.ndarray], forget: Outputs, holdout: Outputs, seed: int) -> list[np.ndarray]:
    """Return features and label of forget and of the hold-out; many features are reduced to principal components."""
    parts = [features["forget"], features["holdout"]]
    if parts[1].shape[1] > MAX_FEATURES:
        axes = PCA(MAX_FEATURES, random_state=seed).fit(parts[1])
        parts = [axes.transform(part) for part in parts]
    return [np.column_stack([part, outputs.labels]) for part, outputs in zip(parts, (forget, holdout), strict=True)]


def _head(x: np.ndarray, signal: np.ndarray, seed: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fit the mean and the absolute deviation from it; return a function that standardises a signal with both."""
    options = {"max_iter": 50, "min_samples_leaf": 10, "early_stopping": False, "random_state": seed}
    mean = HistGradientBoostingRegressor(**options).fit(x, signal)
    deviations = np.abs(signal - mean.predict(x))
    spread = HistGradientBoostingRegressor(**options).fit(x, deviations)
    least = MIN_SPREAD * float(deviations.mean()) or 1.0
    return lambda y, value: (value - mean.predict(y)) / np.maximum(spread.predict(y), least)


def _conformal(scores: np.ndarray, fpr: float) -> float:
    """Return the threshold that a new record exceeds with at most this probability, from held-out scores."""
    rank = int(np.ceil((1 - fpr) * (len(scores) + 1)))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else np.inf
