"""Distances between networks' distributions over the retained classes, on records of forgotten and retained classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.relative import LogRatio, variance_of_log_mean


@dataclass(frozen=True)
class Distances:
    """Total variations on the same records: of a network, and of each reference, from the other references' mean."""

    ours: np.ndarray  # (n,): the mean over the left-out references
    floors: np.ndarray  # (K, n)
    groups: np.ndarray | None

    @property
    def log_floors(self) -> np.ndarray:
        """The logarithm (K,) of each reference's mean distance."""
        return np.log(self.floors.mean(axis=1))


def measure_distances(outputs: Outputs, references: Sequence[Outputs], retained: np.ndarray) -> Distances:
    """Compare the softmax over the `retained` classes with the mean of K - 1 of K >= 2 references, for each left out.

    Both networks are compared with the same means, so that a network like the references has the references' distance.
    """
    ours = softmax(outputs.values[:, retained], axis=1)  # (n, retained classes)
    theirs = np.stack([softmax(reference.values[:, retained], axis=1) for reference in references])
    others = (theirs.sum(axis=0) - theirs) / (len(theirs) - 1)
    distances = np.stack([measure_total_variation(ours, mean) for mean in others])
    floors = np.stack([measure_total_variation(p, mean) for p, mean in zip(theirs, others, strict=True)])
    return Distances(distances.mean(axis=0), floors, outputs.groups)


def measure_total_variation(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return 1/2 sum_c |p_c - q_c| of each record; p and q are (n, K)."""
    return np.abs(p - q).sum(axis=1) / 2


def contrast_distances(forgotten: Distances, retained: Distances) -> LogRatio | None:
    """Return the distance on forgotten classes relative to the references', divided by the same on retained classes.

    None if the networks do not differ at all on one of the sides.
    """
    sides = (forgotten, retained)
    if not all(side.ours.any() and side.floors.any(axis=1).all() for side in sides):
        return None
    of_references = forgotten.log_floors - retained.log_floors  # (K,)
    ours = math.log(forgotten.ours.mean() / retained.ours.mean())
    variances = [variance_of_log_mean(side.ours, side.groups) for side in sides]
    return LogRatio(
        value=ours - float(of_references.mean()),
        n=len(forgotten.ours),
        runs=len(of_references),
        of_records=sum(variance for variance, _ in variances),
        of_references=float(of_references.var(ddof=1)),
        freedom=min(freedom for _, freedom in variances),
    )
