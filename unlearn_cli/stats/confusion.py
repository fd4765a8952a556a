"""Predicted classes of a split; if all records have the same prediction, it reveals the forgotten class."""

import numpy as np

from unlearn_cli.stats.intervals import share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Confusion


def confusion(outputs: Outputs, names: list[str], split: str, role: str) -> Confusion:
    """Count the predicted classes of a split, and return the share of the largest with its interval."""
    counts = np.bincount(outputs.values.argmax(axis=1), minlength=len(names))
    counts_by_name = {name: int(count) for name, count in zip(names, counts, strict=True)}
    largest = share(outputs.values.argmax(axis=1) == counts.argmax(), outputs.groups)
    return Confusion(split=split, role=role, n=len(outputs), counts=counts_by_name, largest_share=largest)
