"""Checks of a regression that compare errors and signed residuals on forget with those of retrained references.

Error: R = mean |e| on one side / mean |e| on the other, as a logarithm, relative to the mean of the references'
logarithms. Networks that are worse or better on all records have the same R. Two pairs of sides:
- forget and the hold-out, which no network was trained on: whether the records themselves are remembered;
- never-seen records of a forgotten range, period or condition, and those of test that 'forget' does not select: whether
  the range is still known, which cancels in the first pair. Its margin is wider, because retrainings extrapolate
  differently into a range without training records. Without such never-seen records, forget takes their part.
If the hold-out is unmatched, as for a period that ends before test begins, no records are a control: two trainings
differ on another period by more than by anything that they remember. Then only the errors on forget are compared, with
a margin that allows for other recipes.

Residuals: d_i = prediction_i - mean_k prediction_i(k), of forget against the hold-out. A shift of the predictions for
the forgotten records only is visible; one that is common to both sides is another recipe.
"""

import math
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass

import numpy as np

from unlearn_cli.stats.clusters import Clusters, explain_too_few, number_clusters
from unlearn_cli.stats.findings import Scores
from unlearn_cli.stats.margins import (
    AUC_MARGIN,
    FORGET_ERROR_MARGIN,
    PERIOD_ERROR_MARGIN,
    RANGE_ERROR_MARGIN,
)
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.relative import LogRatio
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import welch
from unlearn_cli.verdict.checks import Check, check_auc_near_half, p_values_near

ByNetwork = Mapping[str, Outputs]


def check_regression(
    ours: ByNetwork,
    references: Sequence[ByNetwork],
    *,
    is_matched: bool,
    with_residuals: bool,
    auc_margin: float = AUC_MARGIN,
) -> list[Check]:
    """Return the checks of errors and, on request, of signed residuals, relative to the references'.

    `is_matched`: the hold-out differs from forget only in training; otherwise it is not a control.
    """
    checks = [
        _check_error(side, control, ours, references, margin)
        for side, control, margin in list_pairs(ours, is_matched=is_matched)
    ]
    return [*checks, *(check_residuals(ours, references, auc_margin) if with_residuals and is_matched else [])]


def list_pairs(sizes: Mapping[str, Sized], *, is_matched: bool) -> list[tuple[str, str | None, float]]:
    """Return side, control and margin of each comparison of errors; `sizes` has the splits, some of them empty."""
    filled = {name for name, split in sizes.items() if len(split)}
    if not is_matched:
        return [("forget", None, PERIOD_ERROR_MARGIN)] if "forget" in filled else []
    side = "test_forget" if "test_forget" in filled else "forget"
    pairs = [("forget", "holdout", FORGET_ERROR_MARGIN), (side, "test_retain", RANGE_ERROR_MARGIN)]
    return [(side, control, margin) for side, control, margin in pairs if {side, control} <= filled]


def _check_error(
    side: str, control: str | None, ours: ByNetwork, references: Sequence[ByNetwork], margin: float
) -> Check:
    relative = "" if control is None else f", relative to that on {control},"
    names = [side] if control is None else [side, control]
    contrast = Contrast(
        [_stack_errors(name, ours, references) for name in names], join_optional([ours[name].groups for name in names])
    )
    return _compare_ratios(f"{side} mean error{relative} within {margin:.0%} of the references'", contrast, margin)


def join_optional(groups: Sequence[np.ndarray | None]) -> list[np.ndarray] | None:
    """Return the clusters of every side; None unless all have them."""
    of_sides = [of_side for of_side in groups if of_side is not None]
    return of_sides if len(of_sides) == len(groups) else None


def _stack_errors(split: str, ours: ByNetwork, references: Sequence[ByNetwork]) -> np.ndarray:
    """Return |prediction - y| (1 + K, n): of the judged network, then of the references."""
    return np.stack([np.abs(network[split].values - network[split].labels) for network in (ours, *references)])


@dataclass(frozen=True)
class Contrast:
    """Errors of the judged network and K references (1 + K, n) on one side or two, and the records' clusters, if any.

    The second side is the control; without it, the error of one side is compared.
    """

    sides: list[np.ndarray]
    groups: list[np.ndarray] | None

    @property
    def clusters(self) -> list[Clusters] | None:
        """The clusters of each side; None if the records are independent."""
        return None if self.groups is None else [number_clusters(of_side) for of_side in self.groups]

    @property
    def num_records(self) -> int:
        return sum(side.shape[1] for side in self.sides)

    @property
    def obstacle(self) -> str | None:
        """Why the ratio, or its standard error, is undefined, if it is."""
        if len(self.sides[0]) < 3:
            return "at least two references are needed for their variation"
        if min(side.shape[1] for side in self.sides) < 2:
            return "too few records"
        if not all(side.mean(axis=1).all() for side in self.sides):
            return "a mean error is 0"
        return explain_too_few(*self.clusters) if self.clusters else None

    def compute_log_ratios(self) -> np.ndarray:
        """Return log(mean error on forget / mean error on control) of each network (1 + K,)."""
        logs = [np.log(side.mean(axis=1)) for side in self.sides]
        return logs[0] - sum(logs[1:])

    def compute_variance(self) -> tuple[float, float]:
        """Return the jackknife variance over records or clusters of the difference from the references' mean.

        The influence of a record on log(mean e) is e / mean(e) - 1; that on the references' mean is subtracted,
        because all networks have the same records. A cluster with records on both sides counts once.
        """
        sides = [_compute_influence(errors) for errors in self.sides]
        if self.clusters is None:
            variances = [float(side.var(ddof=1)) / len(side) for side in sides]
            return sum(variances), welch(variances, [len(side) - 1.0 for side in sides])
        deviations = [of.compute_jackknife_deviations(side) for of, side in zip(self.clusters, sides, strict=True)]
        freedom = welch([float(np.square(part).sum()) for part in deviations], [of.freedom for of in self.clusters])
        return float(np.square(self._join(deviations)).sum()), freedom

    def _join(self, deviations: list[np.ndarray]) -> np.ndarray:
        """Subtract the control's deviation of each cluster from that of forget."""
        assert self.groups is not None
        names = [np.unique(of_side) for of_side in self.groups]
        both = np.unique(np.concatenate(names))
        total = np.zeros(len(both))
        for sign, of_side, deviation in zip((1, -1), names, deviations, strict=False):
            total[np.searchsorted(both, of_side)] += sign * deviation
        return total


def _compute_influence(errors: np.ndarray) -> np.ndarray:
    relative = errors / errors.mean(axis=1, keepdims=True)
    return relative[0] - relative[1:].mean(axis=0)


def _compare_ratios(claim: str, contrast: Contrast, margin: float) -> Check:
    """Test that the ratio, divided by the references' geometric mean, is within the relative margin of 1."""
    n = contrast.num_records
    if contrast.obstacle:
        return Check(claim, Estimate(value=None, n=n, reason=contrast.obstacle), 1.0, margin, reason=contrast.obstacle)
    ours, *theirs = contrast.compute_log_ratios().tolist()
    of_records, freedom = contrast.compute_variance()
    ratio = LogRatio(
        value=ours - float(np.mean(theirs)),
        n=n,
        runs=len(theirs),
        of_records=of_records,
        of_references=float(np.var(theirs, ddof=1)),
        freedom=freedom,
    )
    clusters = None if contrast.clusters is None else sum(of.count for of in contrast.clusters)
    value = ratio.estimate().model_copy(update={"clusters": clusters, "degrees_of_freedom": ratio.passing.freedom})
    limit = math.log1p(margin)
    passed, _ = p_values_near(ratio.value, 0.0, limit, ratio.passing.cdf)
    _, failed = p_values_near(ratio.value, 0.0, limit, ratio.failing.cdf)
    return Check(claim, value, 1.0, margin, passed, failed)


def check_residuals(ours: ByNetwork, references: Sequence[ByNetwork], auc_margin: float = AUC_MARGIN) -> list[Check]:
    """Return the check that the predictions are shifted from the references' on forget as on the hold-out."""
    if not references or not len(ours.get("holdout", ())) or not len(ours["forget"]):
        return []
    members, others = (
        ours[side].values - np.mean([network[side].values for network in references], axis=0)
        for side in ("forget", "holdout")
    )
    groups = Scores(members, others, ours["forget"].groups, ours["holdout"].groups).groups
    claim = f"signed residuals on forget against the hold-out, relative to the references: AUC within {auc_margin:g}"
    return [check_auc_near_half(f"{claim} of 1/2", members, others, auc_margin, groups)]
