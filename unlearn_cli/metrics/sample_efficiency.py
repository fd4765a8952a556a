"""Sample efficiency: forward and backward passes of samples in unlearning, as a share of those in retraining.

Source: the ratio of `run_time_efficiency`, of a cost that does not depend on the machine. Needs the reports that
`unlearn` and `train` wrote next to the checkpoints. Warning: a forward pass counts like a backward pass, which takes
about twice as long.
"""

from unlearn_cli.stats.costs import TrainingCost
from unlearn_cli.stats.efficiency import cost_ratio
from unlearn_cli.stats.results import Estimate

SUMMARY = "samples of unlearning as a share of retraining"
TASK = ("classification", "regression", "multilabel")


def sample_efficiency(cost: TrainingCost, reference_cost: TrainingCost) -> Estimate:
    """Return samples of unlearning / samples of retraining."""
    return cost_ratio(cost.samples, reference_cost.samples)
