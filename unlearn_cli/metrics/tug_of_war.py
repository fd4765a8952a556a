"""Tug-of-war: how near accuracy on forget, retain and test lies to a reference's, all at once; 1 is like it.

    ToW = (1 - |d_forget|) (1 - |d_retain|) (1 - |d_test|),   d_S = accuracy on S minus the reference's

Source: Zhao et al. 2024 (RUM). Needs a reference. Warning: a product hides which factor is bad; read the accuracies.
"""

import numpy as np

from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "closeness of three accuracies to the reference's; 1: same"
TASK = "classification"
SPLITS = ("forget", "retain", "test")


def tug_of_war(split_outputs: dict[str, Outputs], reference_split_outputs: dict[str, Outputs]) -> Estimate:
    """Return the product over forget, retain and test; n is that of all three, without an interval of its own."""
    gaps = accuracy_gaps(split_outputs, reference_split_outputs)
    if gaps is None:
        return missing("a split has no records")
    return Estimate(value=float(np.prod(1 - np.abs(gaps))), n=sum(len(split_outputs[name]) for name in SPLITS))


def accuracy_gaps(ours: dict[str, Outputs], theirs: dict[str, Outputs]) -> np.ndarray | None:
    """Return accuracy minus the reference's on forget, retain and test; None where one of them is empty."""
    if any(not len(ours[name]) for name in SPLITS):
        return None
    return np.array([_accuracy(ours[name]) - _accuracy(theirs[name]) for name in SPLITS])


def _accuracy(outputs: Outputs) -> float:
    return float((outputs.values.argmax(axis=1) == outputs.labels).mean())
