"""The share of the labels' variance that the predictions explain; negative if the mean label predicts better."""

import numpy as np

from unlearn_cli.stats.intervals import missing, ratio
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "share of the labels' variance that the predictions explain"
TASK = "regression"


def r2(outputs: Outputs) -> Estimate:
    """Return 1 - sum e^2 / sum (y - mean y)^2, with the mean of this split; interval by the delta method."""
    if len(outputs) < 2:
        return missing("R2 needs two records", len(outputs))
    if np.ptp(outputs.labels) == 0:
        return missing("the labels are constant: there is no variance to explain", len(outputs))
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged model becomes a null with a reason, in `ratio`
        squares = (outputs.values - outputs.labels) ** 2
        unexplained = ratio(squares, (outputs.labels - outputs.labels.mean()) ** 2, outputs.groups)
    if unexplained.value is None:
        return unexplained
    value = 1 - unexplained.value
    if unexplained.low is None or unexplained.high is None:
        return unexplained.model_copy(update={"value": value})
    low, high = 1 - unexplained.high, min(1.0, 1 - unexplained.low)
    return unexplained.model_copy(update={"value": value, "low": low, "high": high})
