"""(x - mean) / std per feature, with fixed numbers or the statistics of the retained records."""

from dataclasses import dataclass

import numpy as np

from unlearn_cli.data.records import Inputs, Subset
from unlearn_cli.data.transforms.windows import WindowInputs

CHUNK = 4096


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each feature, float64; a feature with std 0 (a constant) becomes 0."""

    mean: np.ndarray
    std: np.ndarray

    def only_of(self, features: np.ndarray) -> "Statistics":
        """Return statistics that change only these features (a mask)."""
        return Statistics(np.where(features, self.mean, 0.0), np.where(features, self.std, 1.0))


@dataclass(frozen=True)
class StandardisedInputs:
    """Other inputs, standardised along their last dimension; an empty cell (NaN) becomes 0, the mean."""

    inputs: Inputs
    statistics: Statistics

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: np.ndarray) -> np.ndarray:
        mean, std = self.statistics.mean, self.statistics.std
        samples = self.inputs.take(rows).astype(np.float64) - mean
        samples = np.where(std > 0, samples / np.where(std > 0, std, 1.0), 0.0)
        return np.nan_to_num(samples, nan=0.0).astype(np.float32)

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        return self.inputs.fingerprints(rows)


def measure_statistics(inputs: Inputs, rows: np.ndarray) -> Statistics:
    """Return the statistics of all stored rows that occur in the given samples, each counted once.

    Empty cells are ignored. The standard deviation is divided by n.
    """
    inputs, rows = _find_stored_rows(inputs, rows)
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    counts, sums, lows, highs = zip(*(_summarize(_read(inputs, chunk)) for chunk in chunks), strict=True)
    count = np.maximum(np.sum(counts, axis=0), 1)
    mean = np.sum(sums, axis=0) / count
    square = np.sum([np.nansum((_read(inputs, chunk) - mean) ** 2, axis=0) for chunk in chunks], axis=0) / count
    # The mean of equal numbers may differ from them by rounding, so a constant is detected by its extremes.
    varies = np.min(lows, axis=0) < np.max(highs, axis=0)
    return Statistics(mean, np.where(varies, np.sqrt(square), 0.0))


def _read(inputs: Inputs, rows: np.ndarray) -> np.ndarray:
    samples = inputs.take(rows)
    return samples.reshape(-1, samples.shape[-1]).astype(np.float64)


def _summarize(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the number of values of each feature, their sum, minimum and maximum."""
    empty = np.isnan(samples)
    low, high = np.where(empty, np.inf, samples).min(axis=0), np.where(empty, -np.inf, samples).max(axis=0)
    return (~empty).sum(axis=0), np.nansum(samples, axis=0), low, high


def _find_stored_rows(inputs: Inputs, rows: np.ndarray) -> tuple[Inputs, np.ndarray]:
    """Return the stored rows behind samples; windows overlap, but each row must count once."""
    if isinstance(inputs, Subset):
        return _find_stored_rows(inputs.inputs, inputs.rows[rows])
    if isinstance(inputs, WindowInputs):
        return _find_stored_rows(inputs.inputs, np.unique(inputs.rows_of(rows)))
    return inputs, rows
