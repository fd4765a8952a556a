"""The share of right labels: 1 minus the Hamming loss; multilabel.

A label is predicted if its logit is above 0. Warning: with rare labels, predicting none gives a value near 1.
"""

import numpy as np

from unlearn_cli.stats.by_record import all_finite
from unlearn_cli.stats.intervals import mean, missing
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "share of right labels, over all records and labels"
TASK = "multilabel"


def hamming_accuracy(outputs: Outputs) -> Estimate:
    """Return the mean over the records of the share of right labels, with a t interval cut at 0 and 1."""
    if not len(outputs):
        return missing("no records")
    if not all_finite(outputs.values):
        return missing("not finite: the outputs contain NaN or infinity", len(outputs))
    right = ((outputs.values > 0) == (outputs.labels == 1)).mean(axis=1, dtype=np.float64)
    estimate = mean(right, at_least=0.0, groups=outputs.groups)
    return estimate if estimate.high is None else estimate.model_copy(update={"high": min(1.0, estimate.high)})
