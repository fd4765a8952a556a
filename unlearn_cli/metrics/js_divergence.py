"""Jensen-Shannon divergence of the outputs from a reference's, in bits: 0 if equal, 1 if they have nothing in common.

Source: Lin 1991; Chundawat et al., arXiv 2205.08096, section 4. Needs a reference. Two references differ as well: the
aim is not 0 but the divergence between references. Warning: the code of the paper computes something else under the
name JS (stats/divergences.py).
"""

from unlearn_cli.stats.divergences import js
from unlearn_cli.stats.intervals import mean
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "Jensen-Shannon divergence from the reference, in bits"
TASK = "classification"
DISTANCE = True  # from a reference, so that a noise floor exists


def js_divergence(outputs: Outputs, reference_outputs: Outputs) -> Estimate:
    """Return the mean over the records of JS(softmax, softmax of the reference) in bits, with a t interval."""
    return mean(js(outputs.values, reference_outputs.values), at_least=0.0, groups=outputs.groups)
