"""Learned loss attack: a logistic regression on the loss separates forgotten records from never-seen ones.

Idea: the usual attack without references: the loss of each record, equal numbers of both kinds, accuracy on held-out
tenths. Source: the starting kit of the NeurIPS 2023 unlearning competition (10 splits); Kurmanji et al. 2023, SCRUB (5
splits, losses clipped to 100). Needs outputs on forget and hold-out. Warning: on one number, a logistic regression is a
threshold, which cannot detect a leak in both directions. The ideal accuracy is that of a retrained network, about 1/2,
not 0.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Annotated

import numpy as np
from pydantic import PositiveInt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold, StratifiedKFold, StratifiedShuffleSplit

from unlearn_cli.plugins.types import Doc
from unlearn_cli.stats.findings import Findings, Scores
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.outputs import Outputs, join_groups
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.signals import loss

SUMMARY = "logistic regression on the loss, on held-out records"
TASK = ("classification", "regression", "multilabel")
TIER = "quick"
ORDER = 3  # within the tier, cheapest first

CLIP = 100.0
FOLDS, MIN_RECORDS = 5, 10  # records per side; with fewer, no tenth can be held out


def learned_loss(
    forget_outputs: Outputs,
    holdout_outputs: Outputs,
    seed: int,
    *,
    splits: Annotated[PositiveInt, Doc("random splits into training and held-out tenths")] = 10,
) -> Findings:
    """Return the held-out accuracy (mean and SD over the splits) and out-of-fold scores of all drawn records."""
    # in a regression, the loss has the unit of the labels: a bound in nats would make all large errors equal
    most = CLIP if forget_outputs.task != "regression" else np.inf
    members, others = (np.clip(loss(outputs), 0, most) for outputs in (forget_outputs, holdout_outputs))
    size = min(len(members), len(others))
    if size < MIN_RECORDS:
        return Findings({"accuracy": missing(f"at least {MIN_RECORDS} records per side are needed", size)})
    random = np.random.default_rng(seed)
    sides = [
        _draw(losses, outputs.groups, size, random)
        for losses, outputs in ((members, forget_outputs), (others, holdout_outputs))
    ]
    x, y = np.concatenate([part for part, _ in sides])[:, None], np.repeat([1, 0], size)
    groups = join_groups([of for _, of in sides])
    if groups is not None and min(len(np.unique(of)) for _, of in sides if of is not None) < FOLDS:
        return Findings({"accuracy": missing(f"at least {FOLDS} clusters per side are needed", size)})
    scale = float(x.std()) or 1.0  # the regularisation of the regression depends on the unit
    accuracies = [
        _fit(x[fit] / scale, y[fit]).score(x[held] / scale, y[held])
        for fit, held in _shuffled(x, y, groups, splits, seed)
    ]
    sd = float(np.std(accuracies, ddof=1)) if splits > 1 else None
    accuracy = Estimate(value=float(np.mean(accuracies)), n=2 * size, sd=sd, runs=splits)
    return Findings({"accuracy": accuracy}, scores=_out_of_fold(x / scale, y, seed, groups))


def _draw(
    values: np.ndarray, groups: np.ndarray | None, size: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw some of the records, independent of their order; return their losses and clusters."""
    if groups is None:
        return random.permutation(np.sort(values))[:size], None
    rows = random.permutation(np.lexsort((groups, values)))[:size]
    return values[rows], groups[rows]


def _shuffled(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray | None, splits: int, seed: int
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Hold out a tenth of the records repeatedly; with clusters, a tenth of the clusters."""
    if groups is None:
        return StratifiedShuffleSplit(splits, test_size=0.1, random_state=seed).split(x, y)
    drawn = GroupShuffleSplit(20 * splits, test_size=0.1, random_state=seed).split(x, y, groups)
    return islice((pair for pair in drawn if len(np.unique(y[pair[0]])) == 2), splits)


def _fit(x: np.ndarray, y: np.ndarray) -> LogisticRegression:
    return LogisticRegression().fit(x, y)


def _out_of_fold(x: np.ndarray, y: np.ndarray, seed: int, groups: np.ndarray | None) -> Scores:
    """Return the score of each record from a regression that is fitted on the other four fifths."""
    scores = np.empty(len(y))
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    for fit, held in kind(FOLDS, shuffle=True, random_state=seed).split(x, y, groups):
        model = _fit(x[fit], y[fit])
        # a slope that is fitted to noise may have either sign, so the direction is fixed: members have the lower loss
        scores[held] = -x[held, 0] * abs(float(np.ravel(model.coef_)[0])) + float(np.ravel(model.intercept_)[0])
    if groups is None:
        return Scores(scores[y == 1], scores[y == 0])
    return Scores(scores[y == 1], scores[y == 0], groups[y == 1], groups[y == 0])
