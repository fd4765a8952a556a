"""What networks say of records: the one thing that metrics, attacks and verdicts read. No torch."""

from dataclasses import dataclass

import numpy as np

from unlearn_cli.report import Task


@dataclass(frozen=True)
class Outputs:
    """What a model says of the records of one split, on the host.

    `values`: logits (n, K) for classification, predictions (n,) in the label's own unit for regression; float64.
    `labels`: class numbers (n,) int64, or numbers (n,) float64.
    """

    values: np.ndarray
    labels: np.ndarray
    task: Task

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "Outputs":
        """Return the outputs of some of the records."""
        return Outputs(self.values[rows], self.labels[rows], self.task)


def join(parts: list[Outputs]) -> Outputs:
    """Put the outputs of disjoint splits together."""
    values = np.concatenate([part.values for part in parts])
    return Outputs(values, np.concatenate([part.labels for part in parts]), parts[0].task)
