"""Rows in the order of time as series: what a record sees are the rows before its own. Cut on demand, never stored."""

from dataclasses import dataclass, replace

import numpy as np

from unlearn_cli.data.digests import digests_of
from unlearn_cli.data.records import Inputs, Records, choose
from unlearn_cli.errors import UserError
from unlearn_cli.transforms import Window


@dataclass(frozen=True)
class WindowInputs:
    """`length` consecutive rows of other inputs a sample."""

    inputs: Inputs
    starts: np.ndarray  # (n,): the first row of each window
    length: int

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: np.ndarray) -> np.ndarray:
        seen = self.rows_of(rows)
        stored = self.inputs.take(seen.reshape(-1))
        return stored.reshape(*seen.shape, *stored.shape[1:])

    def rows_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the numbers (n, length) of the rows that windows are made of."""
        return self.starts[rows][:, None] + np.arange(self.length)

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        if not len(rows):
            return digests_of((), 0)
        starts = self.starts[rows]
        first = int(starts.min())
        digests = self.inputs.fingerprints(np.arange(first, int(starts.max()) + self.length))
        parts = (digests[start : start + self.length].tobytes() for start in (starts - first).tolist())
        return digests_of(parts, len(rows))


def make_windows(records: Records, window: Window) -> Records:
    """Return the records whose window does not begin before the first row; each keeps its own label, id and columns.

    Raises:
        UserError: there are too few rows for one.
    """
    first = window.length + window.ahead - 1
    own = np.arange(first, len(records), window.every)
    if not len(own):
        raise UserError(
            f"{records.name}: {len(records)} rows are too few for a window of {window.length} rows that ends "
            f"{window.ahead} rows before its record; take a shorter one"
        )
    return replace(choose(records, own), inputs=WindowInputs(records.inputs, own - first, window.length))
