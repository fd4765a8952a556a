"""Run-time efficiency: the time of unlearning as a share of the time of retraining; below 1 is a gain.

Source: Jia et al. 2023. Needs the reports that `unlearn` and `train` wrote next to the checkpoints. Warning: wall times
depend on the machine and on its load; `sample_efficiency` does not.
"""

from unlearn_cli.stats.costs import TrainingCost
from unlearn_cli.stats.efficiency import cost_ratio
from unlearn_cli.stats.results import Estimate

SUMMARY = "time of unlearning as a share of retraining"
TASK = ("classification", "regression", "multilabel")


def run_time_efficiency(cost: TrainingCost, reference_cost: TrainingCost) -> Estimate:
    """Return seconds of unlearning / seconds of retraining."""
    return cost_ratio(cost.seconds, reference_cost.seconds)
