"""The share of records whose label is the largest output."""

import numpy as np

from unlearn_cli.stats.by_record import all_finite
from unlearn_cli.stats.intervals import missing, share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "share of records whose label is the largest output"
TASK = "classification"


def accuracy(outputs: Outputs) -> Estimate:
    """Return mean 1[argmax z = y] with its Wilson interval; of equal largest outputs the first one counts."""
    if not all_finite(outputs.values):
        return missing("not finite: the outputs contain NaN or infinity", len(outputs))
    hits = outputs.values.argmax(axis=1) == outputs.labels if len(outputs) else np.zeros(0)
    return share(hits, outputs.groups)
