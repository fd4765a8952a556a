"""Sanity: whether the outputs are those of a working network; constant or broken outputs pass every attack.

Idea: a network with equal outputs for all records cannot leak, but it was destroyed instead of unlearned. Measures: the
share of test with the most frequent prediction; the share of test with the output of the first record. Only test
records of retained classes count: if one of two classes is forgotten, always predicting the other one is correct.
Source: this project. Needs outputs on test. Warning: it detects only broken networks; the gates on utility detect bad
ones.
"""

import numpy as np

from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import share
from unlearn_cli.stats.outputs import Outputs

SUMMARY = "whether the outputs are constant or broken"
TASK = ("classification", "regression", "multilabel")
TIER = "quick"
ORDER = 1  # within the tier, cheapest first

EQUAL = 1e-5  # relative to the range of the labels, or of a logit: smaller differences are ignored
CONSTANT = 0.99  # share of test with one prediction, or with one output, above which a network is broken


def sanity(split_outputs: dict[str, Outputs]) -> Findings:
    """Return both shares; `informative` is false for a broken network."""
    test = _remaining(split_outputs["test"], split_outputs.get("retain"))
    n = len(test)
    # relative to the range of the labels, so that neither a large offset nor a small unit makes outputs equal
    scale = float(np.ptp(test.labels)) if test.task == "regression" and n else 1.0
    close = np.asarray(np.isclose(test.values, test.values[:1], rtol=0, atol=EQUAL * scale))  # (n, K) or (n,)
    same = close.all(axis=tuple(range(1, close.ndim)))
    quantities = {"equal_outputs": share(np.asarray(same), test.groups)}
    several = len(np.unique(test.labels, axis=0)) > 1
    suspect = [quantities["equal_outputs"]]
    if test.task == "classification":
        named = test.values.argmax(axis=1)
        quantities["most_named_class"] = share(named == np.bincount(named, minlength=1).argmax(), test.groups)
        # if one class has nearly all records, a good network predicts it as often
        suspect += [quantities["most_named_class"]] * (_largest_share(test) <= CONSTANT)
    broken = several and n > 1 and max(estimate.value or 0.0 for estimate in suspect) > CONSTANT
    warnings = ["the outputs hardly differ between records: this network is broken, and other attacks are meaningless"]
    return Findings(quantities, informative=not broken, warnings=warnings if broken else [])


def _remaining(test: Outputs, retain: Outputs | None) -> Outputs:
    """Return the outputs on test records of the retained classes."""
    if retain is None or test.task != "classification":
        return test
    return test.take(np.flatnonzero(np.isin(test.labels, retain.labels)))


def _largest_share(test: Outputs) -> float:
    """Return the share of the most frequent label."""
    return float(np.unique(test.labels, return_counts=True)[1].max()) / len(test) if len(test) else 1.0
