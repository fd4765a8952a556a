"""Retrain contrast: forgotten records against never-seen ones, both relative to retrained references.

    d_i = s_i - mean_k s_i(k)        s: phi, the logit margin; of a regression -|prediction - y|
    score: d of the forgotten records, against d of the hold-out

Idea: a network that never saw the forgotten records treats them like other records that it never saw. The references
show how well each record is known without training on it, so d removes the difficulty of the records. A difference
common to both sides comes from another training recipe (more epochs, another learning rate), not from the forgotten
records: only the contrast of the two sides counts. Above 1/2 something remains, below 1/2 it was pushed too far.

Source: this project; difference in differences of the statistic of U-LiRA (Hayes et al. 2024). Needs one reference,
better four to eight, because their mean is noisy, and a hold-out like forget. Warning: a network that is as bad on all
records has no contrast, so the utility gates are needed as well; and for a whole class, an edit of one row of the last
layer is sufficient for a contrast of 1/2.
"""

import math

import numpy as np
from scipy.stats import t

from unlearn_cli.stats.findings import Findings, Scores, fold
from unlearn_cli.stats.intervals import mean
from unlearn_cli.stats.margins import LEVEL
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.roc import auc
from unlearn_cli.stats.signals import loss, phi

SUMMARY = "forgotten against never-seen records, relative to references"
TASK = ("classification", "regression", "multilabel")
TIER = "standard"
ORDER = 0  # within the tier, cheapest first

MIN_REFERENCES = 3  # to judge a shift by the variation among references
OTHER_RECIPE = (
    "the outputs on never-seen records differ from the references', too (mean shift {shift:+.2g}): another training "
    "recipe, not a trace of the forgotten records"
)


def retrain_contrast(
    forget_outputs: Outputs,
    holdout_outputs: Outputs,
    reference_forget_outputs: list[Outputs],
    reference_holdout_outputs: list[Outputs],
) -> Findings:
    """Score each record by its difference from the references' mean.

    Quantities: the mean shift on both sides, in units of s; and `auc_folded`, the AUC of the distance from the median
    of the hold-out, which detects records that moved in either direction.
    """
    forget, holdout = (
        np.stack([_compute_signal(outputs) for outputs in side])  # (K, n)
        for side in (reference_forget_outputs, reference_holdout_outputs)
    )
    members = _compute_signal(forget_outputs) - forget.mean(axis=0)
    others = _compute_signal(holdout_outputs) - holdout.mean(axis=0)
    scores = Scores(members, others, forget_outputs.groups, holdout_outputs.groups)
    folded = fold(scores)
    quantities = {
        "shift_forget": mean(members, groups=scores.member_groups),
        "shift_holdout": mean(others, groups=scores.non_member_groups),
        "auc_folded": auc(folded.members, folded.non_members, folded.groups),
    }
    shift = quantities["shift_holdout"].value
    is_common = shift is not None and _exceeds_references(shift, holdout)
    return Findings(quantities, scores=scores, warnings=[OTHER_RECIPE.format(shift=shift)] if is_common else [])


def _compute_signal(outputs: Outputs) -> np.ndarray:
    return -loss(outputs) if outputs.task == "regression" else phi(outputs)


def _exceeds_references(shift: float, signals: np.ndarray) -> bool:
    """Return whether a mean shift is larger than that of one more reference, by t with K - 1 degrees of freedom."""
    count = len(signals)
    if count < MIN_REFERENCES:
        return False
    sd = float(signals.mean(axis=1).std(ddof=1)) * math.sqrt(1 + 1 / count)
    return abs(shift) > sd * float(t.ppf(1 - LEVEL / 2, count - 1))
