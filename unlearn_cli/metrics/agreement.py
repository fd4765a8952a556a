"""Agreement (completeness): the share of records for which the network and a reference name the same class.

Source: Cao & Yang 2015 (completeness); attacks.md section 2. Needs a reference; two references agree on fewer than all.
Warning: it reads the largest output only.
"""

from unlearn_cli.stats.intervals import missing, share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "share of records named as by the reference"
TASK = "classification"


def agreement(outputs: Outputs, reference_outputs: Outputs) -> Estimate:
    """Return the share of equal largest outputs, with its Wilson interval."""
    if not len(outputs):
        return missing("no records")
    same = outputs.values.argmax(axis=1) == reference_outputs.values.argmax(axis=1)
    return share(same, outputs.groups)
