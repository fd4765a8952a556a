"""The root of the mean squared error, in the label's unit."""

import numpy as np

from unlearn_cli.stats.intervals import delta_method, missing
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "root of the mean squared error, in the label's unit"
TASK = "regression"


def rmse(outputs: Outputs) -> Estimate:
    """Return sqrt(mean e^2), e = prediction - y; interval by the delta method, influence (e^2 - mse) / (2 rmse)."""
    if len(outputs) == 0:
        return missing("no records")
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged model becomes a null with a reason
        squares = (outputs.values - outputs.labels) ** 2
        mse = squares.mean()
        value = float(np.sqrt(mse))
        influence = (squares - mse) / (2 * value) if value else squares
    return delta_method(value, influence, at_least=0.0, groups=outputs.groups)
