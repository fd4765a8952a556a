"""The share of records whose label is the largest output."""

import numpy as np

from unlearn_cli.outputs import Outputs
from unlearn_cli.report import Estimate
from unlearn_cli.stats import missing, proportion


def accuracy(outputs: Outputs) -> Estimate:
    """Return mean 1[argmax z = y] with its Wilson interval; of equal largest outputs the first one counts."""
    if outputs.task != "classification":
        return missing(f"not defined for {outputs.task}", len(outputs))
    if not np.isfinite(outputs.values).all():
        return missing("not finite: the outputs hold NaN or infinity", len(outputs))
    hits = (outputs.values.argmax(axis=1) == outputs.labels).sum() if len(outputs) else 0
    return proportion(int(hits), len(outputs))
