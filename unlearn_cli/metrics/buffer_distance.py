"""Distance of the buffers (statistics of batch norm) from the original's; their unit is not that of the weights.

    d = sqrt(sum_b ||b - b(original)||^2)     over all floating-point buffers

Source: `weight_distance`, applied to buffers. Needs the original. Warning: as for `weight_distance`; in addition, a
forward pass in train mode changes buffers without any training step.
"""

from unlearn_cli.learning.weight_distances import Weights, norm_of_difference
from unlearn_cli.stats.results import Estimate

SUMMARY = "distance of batch-norm statistics from the original's"
TASK = ("classification", "regression", "multilabel")


def buffer_distance(weights: Weights, original_weights: Weights) -> Estimate:
    """Return the distance over all floating-point buffers; null where there are none."""
    ours = {name: tensor for name, tensor in weights.buffers.items() if tensor.is_floating_point()}
    return norm_of_difference(ours, original_weights.buffers)  # without integers: they count batches
