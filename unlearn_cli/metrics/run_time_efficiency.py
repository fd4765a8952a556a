"""Run-time efficiency: the time of unlearning as a share of the time of retraining; below 1 is a gain.

Source: Jia et al. 2023; attacks.md section 2. Needs the reports that `unlearn` and `train` wrote beside the
checkpoints. Warning: wall times of two runs, on machines that may have been busy: `sample_efficiency` does not depend
on them.
"""

from dataclasses import dataclass

from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.results import Estimate

SUMMARY = "time of unlearning as a share of retraining"


@dataclass(frozen=True)
class Cost:
    """What making a checkpoint took: seconds of work alone, and samples forward and backward."""

    seconds: float | None
    samples: int | None


def run_time_efficiency(cost: Cost, reference_cost: Cost) -> Estimate:
    """Return seconds of unlearning / seconds of retraining."""
    return share(cost.seconds, reference_cost.seconds)


def share(ours: float | None, theirs: float | None) -> Estimate:
    """Return the ratio, or why there is none."""
    if ours is None:
        return missing("no report beside the checkpoint says what making it cost")
    if not theirs:
        return missing("no report beside the reference says what training it cost")
    return Estimate(value=ours / theirs, n=1)
