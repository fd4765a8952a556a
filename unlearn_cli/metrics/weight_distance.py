"""Distance of the weights from the original's.

    d = sqrt(sum_l ||W_l - W_l(original)||_F^2)     over all parameters

Source: Chundawat et al., arXiv 2205.08096, section 4 (layer by layer). Needs the original. Warning: it measures change,
not forgetting: two retrained networks are as far from each other as from the original.
"""

from unlearn_cli.learning.weight_distances import Weights, norm_of_difference
from unlearn_cli.stats.results import Estimate

SUMMARY = "distance of the weights from the original's"
TASK = ("classification", "regression", "multilabel")


def weight_distance(weights: Weights, original_weights: Weights) -> Estimate:
    """Return the distance over all parameters; n is their number. It is exact, so there is no interval."""
    return norm_of_difference(weights.parameters, original_weights.parameters)
