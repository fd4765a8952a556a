"""The mean loss: cross-entropy in nats for classification, the squared error for regression.

Multilabel: the binary cross-entropy in nats, mean over records and labels, as in training.
"""

import numpy as np
from scipy.special import logsumexp

from unlearn_cli.stats.by_record import by_record
from unlearn_cli.stats.intervals import mean
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.signals import orient_by_label

SUMMARY = "mean cross-entropy in nats; regression: mean squared error"
TASK = ("classification", "regression", "multilabel")


def loss(outputs: Outputs) -> Estimate:
    """Return mean (logsumexp z - z_y) in nats, mean log(1 + exp(-+z)) or mean (prediction - y)^2, with a t interval."""
    return mean(_losses(outputs), at_least=0.0, groups=outputs.groups)


def _losses(outputs: Outputs) -> np.ndarray:
    """Return the loss of each record."""
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged model becomes a null with a reason, in `mean`
        if outputs.task == "regression":
            return (outputs.values - outputs.labels) ** 2
        if outputs.task == "multilabel":
            return by_record(_binary_cross_entropy, outputs.values, outputs.labels)
        return by_record(_cross_entropy, outputs.values, outputs.labels)


def _binary_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, -orient_by_label(logits, labels)).mean(axis=1)


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]
