"""The outputs of networks on records, from which metrics, attacks and verdicts are computed. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unlearn_cli.schema.literals import Task


@dataclass(frozen=True)
class Outputs:
    """The outputs of a network on the records of one split, as NumPy arrays.

    `values`: logits (n, K) for classification and multilabel (of K independent labels), predictions (n,) in the unit of
        the labels for regression; float64.
    `labels`: class numbers (n,) int64; numbers (n,) float64 for regression; 1 for each label that a record has, else 0,
        (n, K) uint8 for multilabel.
    `groups`: the person or recording of each record (n,), comparable between splits; None: independent records.
    """

    values: np.ndarray
    labels: np.ndarray
    task: Task
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "Outputs":
        """Return the outputs of some of the records."""
        groups = None if self.groups is None else self.groups[rows]
        return Outputs(self.values[rows], self.labels[rows], self.task, groups)


def join(parts: list[Outputs]) -> Outputs:
    """Concatenate the outputs of disjoint splits."""
    values = np.concatenate([part.values for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    return Outputs(values, labels, parts[0].task, join_groups([part.groups for part in parts]))


def join_groups(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Concatenate the groups of disjoint splits; None unless all splits have groups."""
    groups = [part for part in parts if part is not None]
    return np.concatenate(groups) if len(groups) == len(parts) else None
