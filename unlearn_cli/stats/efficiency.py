"""The ratio of the cost of making a checkpoint to that of a reference."""

from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.results import Estimate


def cost_ratio(ours: float | None, theirs: float | None) -> Estimate:
    """Return the ratio, or a null with the reason."""
    if ours is None:
        return missing("no report next to the checkpoint records its cost")
    if not theirs:
        return missing("no report next to the reference records its cost")
    return Estimate(value=ours / theirs, n=1)
