"""F1 over all pairs of record and label together; multilabel.

    F1 = 2 TP / (2 TP + FP + FN)

A label is predicted if its logit is above 0. Warning: frequent labels count most; `macro_f1` counts all labels equally.
"""

import numpy as np

from unlearn_cli.stats.by_record import all_finite
from unlearn_cli.stats.intervals import missing, ratio
from unlearn_cli.stats.label_scores import NO_LABEL
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "F1 over all pairs of record and label"
TASK = "multilabel"


def micro_f1(outputs: Outputs) -> Estimate:
    """Return the F1 with an interval by the delta method, cut at 0 and 1."""
    if not len(outputs):
        return missing("no records")
    if not all_finite(outputs.values):
        return missing("not finite: the outputs contain NaN or infinity", len(outputs))
    marks, predicted = outputs.labels == 1, outputs.values > 0
    if not marks.any():
        return missing(NO_LABEL, len(outputs))
    top, bottom = (marks & predicted).sum(axis=1), marks.sum(axis=1) + predicted.sum(axis=1)
    estimate = ratio(2.0 * top, bottom.astype(np.float64), outputs.groups)
    if estimate.low is None or estimate.high is None:
        return estimate
    return estimate.model_copy(update={"low": max(0.0, estimate.low), "high": min(1.0, estimate.high)})
