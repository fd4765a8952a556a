"""Average gap: mean absolute difference from a reference, over three accuracies and the AUC of an attack.

    gap = mean of |d_forget|, |d_retain|, |d_test|, |d_attack|,   as shares; the attack is `population`

Source: Jia et al. 2023 (sparsity), Fan et al. 2024 (SalUn), in per cent there. Needs a reference. Warning: it averages
different kinds of quantities, and a small mean can contain one large gap; read each quantity, too.
"""

import numpy as np

from unlearn_cli.stats.comparisons import compute_accuracy_gaps
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import auc
from unlearn_cli.stats.signals import phi

SUMMARY = "mean gap of accuracies and attack AUC to the reference"
TASK = "classification"
DISTANCE = True  # from a reference, so that a noise floor exists


def average_gap(split_outputs: dict[str, Outputs], reference_split_outputs: dict[str, Outputs]) -> Estimate:
    """Return the mean absolute gap; without a hold-out to attack, over the three accuracies."""
    gaps = compute_accuracy_gaps(split_outputs, reference_split_outputs)
    if gaps is None:
        return missing("a split has no records")
    if len(split_outputs.get("holdout", ())):
        gaps = np.append(gaps, _area(split_outputs) - _area(reference_split_outputs))
    return Estimate(value=float(np.abs(gaps).mean()), n=sum(len(split_outputs[name]) for name in ("forget", "retain")))


def _area(outputs: dict[str, Outputs]) -> float:
    return auc(phi(outputs["forget"]), phi(outputs["holdout"])).value or 0.0
