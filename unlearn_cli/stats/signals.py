"""The signal of each record for attacks: phi of a classifier, or the prediction of a regression."""

import numpy as np
from scipy.special import entr, log_softmax, logsumexp

from unlearn_cli.stats.by_record import by_record
from unlearn_cli.stats.outputs import Outputs


def margin(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return phi = z_y - logsumexp_{k != y} z_k; from float32 probabilities, it would be infinite at a gap of 17."""
    return by_record(_margin, logits, labels)


def _margin(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    rows = np.arange(len(labels))
    others = logits.copy()  # (n, K)
    others[rows, labels] = -np.inf
    return logits[rows, labels] - logsumexp(others, axis=1)


def phi(outputs: Outputs) -> np.ndarray:
    """Return the logit margin of each record; for a regression the prediction, because y is equal in all runs."""
    if outputs.task == "regression":
        return outputs.values
    return margin(outputs.values, outputs.labels) if len(outputs) else np.empty(0)


def entropy(logits: np.ndarray) -> np.ndarray:
    """Return the entropy of the softmax of each record, in nats."""
    return by_record(lambda chunk: entr(np.exp(log_softmax(chunk, axis=1))).sum(axis=1), logits)


def loss(outputs: Outputs) -> np.ndarray:
    """Return the cross-entropy of each record, or |prediction - y|."""
    if outputs.task == "regression":
        return np.abs(outputs.values - outputs.labels)
    return np.logaddexp(0, -phi(outputs))  # -log p_y; computed from phi, it is accurate where p_y rounds to 1
