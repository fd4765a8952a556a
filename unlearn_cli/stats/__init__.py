"""Statistics of scores and of counts, each number with its interval. NumPy and SciPy only, no torch."""

from unlearn_cli.stats.audit import (
    HeldOut,
    advantage,
    balanced_accuracy,
    epsilon_at,
    epsilon_ceiling,
    epsilon_lower_bound,
    held_out,
    max_advantage,
    ppv_at_prior,
)
from unlearn_cli.stats.block import Scores, attack_block, refuse_non_finite
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import (
    clopper_pearson,
    delta_method,
    lower_bound,
    mean,
    missing,
    proportion,
    ratio,
    share,
    upper_bound,
)
from unlearn_cli.stats.roc import auc, auc_deviation, cuts, histogram, null_rate, roc_points, ties_share, tpr_at_fpr

__all__ = [
    "Findings",
    "HeldOut",
    "Scores",
    "advantage",
    "attack_block",
    "auc",
    "auc_deviation",
    "balanced_accuracy",
    "clopper_pearson",
    "cuts",
    "delta_method",
    "epsilon_at",
    "epsilon_ceiling",
    "epsilon_lower_bound",
    "held_out",
    "histogram",
    "lower_bound",
    "max_advantage",
    "mean",
    "missing",
    "null_rate",
    "ppv_at_prior",
    "proportion",
    "ratio",
    "refuse_non_finite",
    "roc_points",
    "share",
    "ties_share",
    "tpr_at_fpr",
    "upper_bound",
]
