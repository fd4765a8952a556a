"""The power of an equivalence test of an AUC. No SciPy."""

import math
from typing import Literal

from unlearn_cli.stats.margins import AUC_MARGIN, Z_PASS, Z_POWER_80

Power = Literal["none", "low", "enough"]


def auc_sd(num_members: int, num_non_members: int, design_effect: float = 1.0) -> float:
    """Return the standard deviation of the AUC of uninformative scores: sqrt((m + n + 1) / (12 m n)).

    The variance is multiplied by the design effect of clusters, if it is above 1.
    """
    m, n = num_members, num_non_members
    return math.sqrt((m + n + 1) / (12 * m * n) * max(design_effect, 1.0))


def auc_power(num_members: int, num_non_members: int, design_effect: float = 1.0, margin: float = AUC_MARGIN) -> Power:
    """Return the power to show that an AUC of exactly 1/2 is within the margin: none, below 80 %, or at least 80 %."""
    sd = auc_sd(num_members, num_non_members, design_effect)
    if Z_PASS * sd > margin:
        return "none"
    return "low" if (Z_PASS + Z_POWER_80) * sd > margin else "enough"
