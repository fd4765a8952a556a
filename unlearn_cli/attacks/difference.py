"""Prediction difference: an attacker with access to the original and the unlearned network compares their outputs.

Score: phi under the original minus phi under this network (regression: the increase of the residual). Source: Chen et
al. 2021, arXiv 2005.02205, simplified. Needs the original's outputs. Warning: a retrained network scores highest, and
an unchanged network has an AUC of 1/2. So this does not measure forgetting: it warns against giving access to both
versions, and no gate uses it.
"""

import numpy as np

from unlearn_cli.stats.findings import Findings, Scores
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.signals import loss, phi

SUMMARY = "compares outputs with the original's; only a warning"
TASK = ("classification", "regression", "multilabel")
TIER = "quick"
ORDER = 4  # within the tier, cheapest first

WARNING = "anyone with access to the original and to this network can compare them; restrict or delete the original"


def difference(
    forget_outputs: Outputs,
    holdout_outputs: Outputs,
    original_forget_outputs: Outputs,
    original_holdout_outputs: Outputs,
) -> Findings:
    """Score each record by the decrease of its fit."""
    members = _fall(original_forget_outputs, forget_outputs)
    others = _fall(original_holdout_outputs, holdout_outputs)
    return Findings(
        {}, scores=Scores(members, others, forget_outputs.groups, holdout_outputs.groups), warnings=[WARNING]
    )


def _fall(before: Outputs, after: Outputs) -> np.ndarray:
    if before.task == "regression":
        return loss(after) - loss(before)
    return phi(before) - phi(after)
