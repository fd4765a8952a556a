"""Kullback-Leibler divergence KL(reference || model), in nats: the cost of coding the reference with the model.

Source: Kullback & Leibler 1951. Needs a reference. Warning: it is not symmetric and has no upper bound: a few records
with confident disagreement can dominate it.
"""

from unlearn_cli.stats.divergences import kl
from unlearn_cli.stats.intervals import mean
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "KL(reference || model), in nats"
TASK = "classification"
DISTANCE = True  # from a reference, so that a noise floor exists


def kl_divergence(outputs: Outputs, reference_outputs: Outputs) -> Estimate:
    """Return the mean over the records of KL(softmax of the reference || softmax) in nats, with a t interval."""
    return mean(kl(reference_outputs.values, outputs.values), at_least=0.0, groups=outputs.groups)
