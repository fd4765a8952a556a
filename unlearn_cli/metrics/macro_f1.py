"""The mean F1 of the labels, each with equal weight; multilabel.

A label is predicted if its logit is above 0. Labels that no record of the split has are left out: their F1 is 0 or
undefined, whatever the network predicts. The numbers of each label are in the report (`labels`).
"""

from unlearn_cli.stats.label_scores import average_labels
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "mean F1 of the labels"
TASK = "multilabel"


def macro_f1(outputs: Outputs) -> Estimate:
    """Return the mean over the labels with a record, with an interval by the delta method, cut at 0 and 1."""
    return average_labels(outputs, "f1")
