"""Relative distance: whether the outputs on forget are nearer to those of retraining or to those of the original.

    a_i = s_i - mean_k s_i(k) - shift      to retraining; shift: the median of the same difference on the control
    b_i = s_i - o_i - shift'               to the original, in the same way
    d_i = |a_i| - |b_i|                    s: phi, the logit margin; of a regression, the prediction

Idea: one or two references are too few to show that a network is equivalent to retraining, but sufficient to show that
it is nearer to the original. The test changes the signs of d at random, by record or by cluster: under the hypothesis
'equally far from both', d is as likely positive as negative. The control is test records of other classes than the
forgotten ones, or all of test. A shift that they have, too, comes from another training recipe and is removed. A
network that was made from the original has its chance deviations on all records; so it counts as nearer to the original
only if d is also larger on forget than on the control.

Source: this project; the sign-flip permutation test goes back to Fisher 1935. Needs the original, one reference and
test. Warning: nearer to retraining is not equal to retraining, so this test can fail a network, but never pass it.
"""

import math

import numpy as np

from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import mean, missing, share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.relative import StandardError, variance_of_mean
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import welch
from unlearn_cli.stats.sign_flip import sign_flip_p_value
from unlearn_cli.stats.signals import phi

SUMMARY = "whether forget is nearer to retraining or to the original"
TASK = ("classification", "regression", "multilabel")
TIER = "standard"
ORDER = 2  # within the tier, cheapest first


def relative_distance(
    forget_outputs: Outputs,
    split_outputs: dict[str, Outputs],
    original_split_outputs: dict[str, Outputs],
    reference_forget_outputs: list[Outputs],
    reference_test_outputs: list[Outputs],
    seed: int,
) -> Findings:
    """Return the mean of d, in units of s, the share of records nearer to retraining, the effect and both p-values.

    `effect` is the mean of d divided by the mean distance of the original from retraining: -1 like retraining, 1 like
    the original. `p_nearer_original` belongs to the hypothesis that d is symmetric about 0 or below, or not larger than
    `mean_d_control`; it is small if the network is nearer to the original. `p_nearer_retraining` is its counterpart.
    """
    n, test = len(forget_outputs), split_outputs["test"]
    if n < 2 or len(test) < 2:
        return Findings({"mean_d": missing("forget or test has fewer than two records", n)})
    control = _mask_control(forget_outputs, test)
    original, on_control = original_split_outputs["test"].take(control), test.take(control)
    to_retraining = _subtract(on_control, [outputs.take(control) for outputs in reference_test_outputs])
    to_original = _subtract(on_control, [original])
    shifts = float(np.median(to_retraining)), float(np.median(to_original))
    d_control = np.abs(to_retraining - shifts[0]) - np.abs(to_original - shifts[1])
    to_retraining = _subtract(forget_outputs, reference_forget_outputs)
    to_original = _subtract(forget_outputs, [original_split_outputs["forget"]])
    d, groups = np.abs(to_retraining - shifts[0]) - np.abs(to_original - shifts[1]), forget_outputs.groups
    between = float(np.abs(to_retraining - to_original).mean())
    return Findings(
        {
            "mean_d": mean(d, groups=groups),
            "mean_d_control": mean(d_control, groups=on_control.groups),
            "share_nearer_retraining": share(d < 0, groups),
            "effect": _scale(mean(d, groups=groups), between),
            "p_nearer_original": _test_nearer_original(d, groups, d_control, on_control.groups, seed),
            "p_nearer_retraining": sign_flip_p_value(-d, groups, seed),
        }
    )


def _subtract(outputs: Outputs, others: list[Outputs]) -> np.ndarray:
    """Return the differences (n,) of s from the mean over other networks."""
    return phi(outputs) - np.mean([phi(other) for other in others], axis=0)


def _test_nearer_original(
    d: np.ndarray, groups: np.ndarray | None, d_control: np.ndarray, control_groups: np.ndarray | None, seed: int
) -> Estimate:
    """Return the larger of two p-values: d is symmetric about 0 or below; its mean is not above that of the control."""
    flipped = sign_flip_p_value(d, groups, seed)
    if flipped.value is None:
        return flipped
    parts = [variance_of_mean(values, of) for values, of in ((d, groups), (d_control, control_groups))]
    error = StandardError(
        math.sqrt(sum(variance for variance, _ in parts)),
        welch([variance for variance, _ in parts], [freedom for _, freedom in parts]),
    )
    above_control = 1 - error.cdf(float(d.mean() - d_control.mean()))
    return flipped.model_copy(update={"value": max(flipped.value, above_control)})


def _mask_control(forget: Outputs, test: Outputs) -> np.ndarray:
    """Return the mask of test records of other classes than the forgotten ones; of all records, if there are none.

    If the original knows a class and the references do not, their difference on it is not another recipe.
    """
    others = ~np.isin(test.labels, forget.labels)
    return others if test.task == "classification" and others.any() else np.ones(len(test), dtype=bool)


def _scale(estimate: Estimate, unit: float) -> Estimate:
    """Return the estimate in another unit; null if that is 0."""
    if not unit:
        return missing("the original does not differ from the references on forget", estimate.n)
    scaled = {
        name: None if value is None else value / unit
        for name, value in (("value", estimate.value), ("low", estimate.low), ("high", estimate.high))
    }
    return estimate.model_copy(update=scaled)
