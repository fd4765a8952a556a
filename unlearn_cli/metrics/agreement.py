"""Agreement (completeness): the share of records for which the network and a reference predict the same class.

Source: Cao & Yang 2015 (completeness). Needs a reference; two references do not agree on all records either. Warning:
only the predicted class counts, not its probability.
"""

from unlearn_cli.stats.intervals import missing, share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "share of records with the reference's predicted class"
TASK = "classification"


def agreement(outputs: Outputs, reference_outputs: Outputs) -> Estimate:
    """Return the share of equal largest outputs, with its Wilson interval."""
    if not len(outputs):
        return missing("no records")
    same = outputs.values.argmax(axis=1) == reference_outputs.values.argmax(axis=1)
    return share(same, outputs.groups)
