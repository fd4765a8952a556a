"""Tug-of-war: closeness of the accuracies on forget, retain and test to a reference's; 1: equal.

    ToW = (1 - |d_forget|) (1 - |d_retain|) (1 - |d_test|),   d_S = accuracy on S minus the reference's

Source: Zhao et al. 2024 (RUM). Needs a reference. Warning: the product does not show which factor is small; read the
accuracies, too.
"""

import numpy as np

from unlearn_cli.stats.comparisons import SPLITS_OF_GAPS, compute_accuracy_gaps
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "closeness of three accuracies to the reference's; 1: equal"
TASK = "classification"


def tug_of_war(split_outputs: dict[str, Outputs], reference_split_outputs: dict[str, Outputs]) -> Estimate:
    """Return the product over forget, retain and test; n is their total; there is no interval."""
    gaps = compute_accuracy_gaps(split_outputs, reference_split_outputs)
    if gaps is None:
        return missing("a split has no records")
    return Estimate(value=float(np.prod(1 - np.abs(gaps))), n=sum(len(split_outputs[name]) for name in SPLITS_OF_GAPS))
