"""The share of records about which the network is right for all labels (exact match); multilabel.

A label is predicted if its logit is above 0, that is, its probability above 1/2. Warning: with many labels, one wrong
label per record gives a value near 0; read it with `hamming_accuracy`.
"""

import numpy as np

from unlearn_cli.stats.by_record import all_finite
from unlearn_cli.stats.intervals import missing, share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.signals import hits

SUMMARY = "share of records with all labels right"
TASK = "multilabel"


def subset_accuracy(outputs: Outputs) -> Estimate:
    """Return the share of records with all K labels right, with its Wilson interval."""
    if not all_finite(outputs.values):
        return missing("not finite: the outputs contain NaN or infinity", len(outputs))
    return share(hits(outputs) if len(outputs) else np.zeros(0), outputs.groups)
