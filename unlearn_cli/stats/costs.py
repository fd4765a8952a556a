"""The cost of making a checkpoint. No SciPy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingCost:
    """The cost of making a checkpoint: seconds of training only, and samples forward and backward."""

    seconds: float | None
    samples: int | None
