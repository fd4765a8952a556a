"""Sample efficiency: samples that unlearning sent forward and backward, as a share of those of retraining.

Source: attacks.md section 2 (a cost that does not depend on the machine). Needs the reports next to the checkpoints.
Warning: a sample forward counts like one backward, which costs about twice as much.
"""

from unlearn_cli.stats.efficiency import TrainingCost, cost_ratio
from unlearn_cli.stats.results import Estimate

SUMMARY = "samples of unlearning as a share of retraining"


def sample_efficiency(cost: TrainingCost, reference_cost: TrainingCost) -> Estimate:
    """Return samples of unlearning / samples of retraining."""
    return cost_ratio(cost.samples, reference_cost.samples)
