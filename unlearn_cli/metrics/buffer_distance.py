"""Distance of the buffers (statistics of batch norm) from the original's; apart from the weights, with another unit.

Source: attacks.md section 2. Needs the original. Warning: as `weight_distance`; and a forward pass in train mode moves
buffers without a single step of training.
"""

from unlearn_cli.metrics.weight_distance import Weights, norm_of_difference
from unlearn_cli.stats.results import Estimate

SUMMARY = "how far batch-norm statistics moved from the original's"


def buffer_distance(weights: Weights, original_weights: Weights) -> Estimate:
    """Return the distance over all floating-point buffers; null where there are none."""
    ours = {name: tensor for name, tensor in weights.buffers.items() if tensor.is_floating_point()}
    return norm_of_difference(ours, original_weights.buffers)  # counters of batches are no distance
