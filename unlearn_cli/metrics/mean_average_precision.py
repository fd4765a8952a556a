"""The mean over the labels of the average precision (mAP): how well the logits of a label rank its records first.

It does not depend on a threshold. Labels that no record of the split has are left out. The numbers of each label are in
the report (`labels`). Warning: the average precision of random outputs is the frequency of the label, so compare splits
of similar frequencies.
"""

from unlearn_cli.stats.label_scores import average_labels
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "mean average precision of the labels (mAP)"
TASK = "multilabel"


def mean_average_precision(outputs: Outputs) -> Estimate:
    """Return the mean over the labels with a record, with an interval by the delta method, cut at 0 and 1."""
    return average_labels(outputs, "average_precision")
