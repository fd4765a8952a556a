"""Relative distance: whether the outputs on forget are nearer to those of retraining or to those of the original.

    a_i = s_i - mean_k s_i(k) - shift      to retraining; shift: the median of the same difference on test
    b_i = s_i - o_i - shift'               to the original, in the same way
    d_i = |a_i| - |b_i|                    s: phi, the logit margin; of a regression, the prediction

Idea: one or two references are too few to show that a network is equivalent to retraining, but sufficient to show that
it is nearer to the original. The test changes the signs of d at random, by record or by cluster: under the hypothesis
'equally far from both', d is as likely positive as negative. A shift that test records of other classes have, too,
comes from another training recipe and is removed.

Source: this project; the sign-flip permutation test goes back to Fisher 1935. Needs the original, one reference and
test. Warning: nearer to retraining is not equal to retraining, so this test can fail a network, but never pass it.
"""

import numpy as np

from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import mean, missing, share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.sign_flip import sign_flip_p_value
from unlearn_cli.stats.signals import phi

SUMMARY = "whether forget is nearer to retraining or to the original"
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
    the original. `p_nearer_original` belongs to the hypothesis that d is symmetric about 0 or below; it is small if the
    network is nearer to the original. `p_nearer_retraining` is its counterpart.
    """
    n, test = len(forget_outputs), split_outputs["test"]
    if not n or not len(test):
        return Findings({"mean_d": missing("forget or test is empty", n)})
    control = _mask_control(forget_outputs, test)
    on_test = phi(test.take(control))
    ours, of_original = phi(forget_outputs), phi(original_split_outputs["forget"])
    retrained = np.mean([phi(outputs) for outputs in reference_forget_outputs], axis=0)
    retrained_on_test = np.mean([phi(outputs.take(control)) for outputs in reference_test_outputs], axis=0)
    original_on_test = phi(original_split_outputs["test"].take(control))
    to_retraining = np.abs(ours - retrained - np.median(on_test - retrained_on_test))
    to_original = np.abs(ours - of_original - np.median(on_test - original_on_test))
    d, groups = to_retraining - to_original, forget_outputs.groups
    between = float(np.abs(of_original - retrained).mean())
    return Findings(
        {
            "mean_d": mean(d, groups=groups),
            "share_nearer_retraining": share(d < 0, groups),
            "effect": _scale(mean(d, groups=groups), between),
            "p_nearer_original": sign_flip_p_value(d, groups, seed),
            "p_nearer_retraining": sign_flip_p_value(-d, groups, seed),
        }
    )


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
