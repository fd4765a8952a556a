"""Jensen-Shannon divergence between the outputs and a reference's, in bits: 0 as the reference, 1 nothing in common.

Source: Lin 1991; attacks.md section 2. Needs a reference; two references differ as well, so 0 is not the aim but the
distance between references. Warning: what the authors' code calls JS is something else (stats/divergences.py).
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
