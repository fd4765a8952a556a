"""The mean loss: cross-entropy in nats for classification, the squared error for regression."""

import numpy as np
from scipy.special import logsumexp

from unlearn_cli.stats.by_record import by_record
from unlearn_cli.stats.intervals import mean
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "mean cross-entropy in nats; regression: mean squared error"


def loss(outputs: Outputs) -> Estimate:
    """Return mean (logsumexp z - z_y) in nats, or mean (prediction - y)^2, with a t interval."""
    return mean(_losses(outputs), at_least=0.0, groups=outputs.groups)


def _losses(outputs: Outputs) -> np.ndarray:
    """Return the loss of each record."""
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged model becomes a null with a reason, in `mean`
        if outputs.task == "regression":
            return (outputs.values - outputs.labels) ** 2
        return by_record(_cross_entropy, outputs.values, outputs.labels)


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]
