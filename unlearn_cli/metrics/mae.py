"""The mean absolute error, in the label's unit."""

import numpy as np

from unlearn_cli.stats.intervals import mean
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "mean absolute error, in the label's unit"
TASK = "regression"


def mae(outputs: Outputs) -> Estimate:
    """Return mean |prediction - y| with a t interval."""
    return mean(np.abs(outputs.values - outputs.labels), at_least=0.0, groups=outputs.groups)
