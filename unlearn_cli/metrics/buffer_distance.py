"""Distance of the buffers (statistics of batch norm) from the original's; they have another unit than the weights.

Source: attacks.md section 2. Needs the original. Warning: as `weight_distance`; and a forward pass in train mode
changes buffers without a single training step.
"""

from unlearn_cli.learning.weight_distances import Weights, norm_of_difference
from unlearn_cli.stats.results import Estimate

SUMMARY = "how far batch-norm statistics moved from the original's"


def buffer_distance(weights: Weights, original_weights: Weights) -> Estimate:
    """Return the distance over all floating-point buffers; null where there are none."""
    ours = {name: tensor for name, tensor in weights.buffers.items() if tensor.is_floating_point()}
    return norm_of_difference(ours, original_weights.buffers)  # a difference of batch counters is not a distance
