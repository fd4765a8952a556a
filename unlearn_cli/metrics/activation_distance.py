"""Activation distance: mean Euclidean distance between the softmax outputs and a reference's; in [0, sqrt 2].

Source: Golatkar et al. 2021; Chundawat et al., arXiv 2205.08096, section 4. Needs a reference. Warning: despite its
name it reads outputs, not hidden activations; other code takes L1, or a root of mean squares.
"""

from unlearn_cli.stats.divergences import l2
from unlearn_cli.stats.intervals import mean
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "mean L2 between softmax and the reference's"
TASK = "classification"
DISTANCE = True  # from a reference, so that a noise floor exists


def activation_distance(outputs: Outputs, reference_outputs: Outputs) -> Estimate:
    """Return mean ||softmax(z) - softmax(z_ref)||_2 over the records, with a t interval."""
    return mean(l2(outputs.values, reference_outputs.values), at_least=0.0, groups=outputs.groups)
