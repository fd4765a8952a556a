"""Finds windows that share stored rows: their samples differ, but most of their content is the same."""

import numpy as np

from unlearn_cli.data.records import Inputs, Subset
from unlearn_cli.data.transforms.standardise import StandardisedInputs
from unlearn_cli.data.transforms.windows import WindowInputs


def mask_overlapping(inputs: Inputs, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the mask (n,) of `rows` whose windows share a stored row with those of `others`.

    A window is the stored rows that it consists of, without the row of its label. All are false without windows.
    """
    while isinstance(inputs, StandardisedInputs | Subset):
        if isinstance(inputs, Subset):
            rows, others = inputs.rows[rows], inputs.rows[others]
        inputs = inputs.inputs
    if not isinstance(inputs, WindowInputs) or not len(others):
        return np.zeros(len(rows), dtype=bool)
    starts, length = np.sort(inputs.starts[others]), inputs.length
    following = np.searchsorted(starts, inputs.starts[rows])  # the first other window that starts no earlier
    after = np.append(starts, np.iinfo(np.int64).max)[following]
    before = np.concatenate([[np.iinfo(np.int64).min // 2], starts])[following]
    return (after - inputs.starts[rows] < length) | (inputs.starts[rows] - before < length)
