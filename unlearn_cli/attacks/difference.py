"""Prediction difference: an attacker with both the original and the unlearned network compares their outputs.

Score: phi under the original minus phi under this network (regression: the residual's growth). Source: Chen et al.
2021, arXiv 2005.02205, in the cheap form of attacks.md A10. Needs the original's outputs. Warning: retraining scores
highest of all, a network that was left unchanged 1/2. So it does not measure forgetting: it warns against showing both
versions to the same people, and no gate reads it.
"""

import numpy as np

from unlearn_cli.stats.findings import Findings, Scores
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.signals import loss, phi

SUMMARY = "what changed since the original; a warning alone"
TIER = "quick"
ORDER = 4  # within the tier, cheapest first

WARNING = "who can ask both the original and this network compares them; keep or destroy the original accordingly"


def difference(
    forget_outputs: Outputs,
    holdout_outputs: Outputs,
    original_forget_outputs: Outputs,
    original_holdout_outputs: Outputs,
) -> Findings:
    """Score each record by how much its fit fell."""
    members = _fall(original_forget_outputs, forget_outputs)
    others = _fall(original_holdout_outputs, holdout_outputs)
    return Findings(
        {}, scores=Scores(members, others, forget_outputs.groups, holdout_outputs.groups), warnings=[WARNING]
    )


def _fall(before: Outputs, after: Outputs) -> np.ndarray:
    if before.task == "regression":
        return loss(after) - loss(before)
    return phi(before) - phi(after)
