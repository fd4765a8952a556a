"""Mean absolute difference between the predictions and a reference's for the same records, in the label's unit.

Source: the mean absolute error, with the reference's prediction as the label. Needs a reference. Warning: two
references differ as well: the aim is not 0 but the difference between references.
"""

import numpy as np

from unlearn_cli.stats.intervals import mean
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "mean absolute difference from the reference's predictions"
TASK = "regression"
DISTANCE = True  # from a reference, so that a noise floor exists


def mean_absolute_difference(outputs: Outputs, reference_outputs: Outputs) -> Estimate:
    """Return mean |prediction - prediction of the reference|, with a t interval."""
    return mean(np.abs(outputs.values - reference_outputs.values), at_least=0.0, groups=outputs.groups)
