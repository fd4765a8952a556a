"""Sanity: are the outputs those of a working network? Constant or broken ones pass every attack.

Idea: a network with the same output for every record cannot leak, but it was destroyed, not made to forget. Measures:
the share of test that goes to the class named most often; the share of its records whose output equals that of the
first one. Of test only the classes that retain has: of two classes one may be forgotten, and naming the other always is
right then. Source: attacks.md section 0 (5). Needs outputs on test. Warning: it detects only broken networks; a network
that is merely bad is for the gates on utility.
"""

import numpy as np

from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import share
from unlearn_cli.stats.outputs import Outputs

SUMMARY = "are the outputs constant or broken?"
TIER = "quick"
ORDER = 1  # within the tier, cheapest first

EQUAL = 1e-5  # of the labels' range, or of a logit: less is no difference
CONSTANT = 0.99  # share of test in one class, or with one output, from which on a network counts as broken


def sanity(split_outputs: dict[str, Outputs]) -> Findings:
    """Return both shares; `informative` is false for a broken network."""
    test = _remaining(split_outputs["test"], split_outputs.get("retain"))
    n = len(test)
    # relative to the spread of the labels: neither a large offset nor a small unit makes outputs equal
    scale = float(np.ptp(test.labels)) if test.task == "regression" and n else 1.0
    close = np.asarray(np.isclose(test.values, test.values[:1], rtol=0, atol=EQUAL * scale))  # (n, K) or (n,)
    same = close.all(axis=tuple(range(1, close.ndim)))
    quantities = {"equal_outputs": share(np.asarray(same), test.groups)}
    several = len(np.unique(test.labels)) > 1
    suspect = [quantities["equal_outputs"]]
    if test.task == "classification":
        named = test.values.argmax(axis=1)
        quantities["most_named_class"] = share(named == np.bincount(named, minlength=1).argmax(), test.groups)
        # where one class holds nearly all records, a good network names it as often
        suspect += [quantities["most_named_class"]] * (_largest_share(test) <= CONSTANT)
    broken = several and n > 1 and max(estimate.value or 0.0 for estimate in suspect) > CONSTANT
    warnings = ["the outputs hardly differ between records: this network is broken, whatever the attacks report"]
    return Findings(quantities, informative=not broken, warnings=warnings if broken else [])


def _remaining(test: Outputs, retain: Outputs | None) -> Outputs:
    """Return the outputs on test of the classes that retain has."""
    if retain is None or test.task == "regression":
        return test
    return test.take(np.flatnonzero(np.isin(test.labels, retain.labels)))


def _largest_share(test: Outputs) -> float:
    """Return the share of the most frequent label."""
    return float(np.unique(test.labels, return_counts=True)[1].max()) / len(test) if len(test) else 1.0
