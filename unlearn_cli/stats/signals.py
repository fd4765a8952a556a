"""The signal of each record for attacks: phi of a classifier, or the prediction of a regression.

For multilabel records, p_y is the probability of exactly the labels of the record, the product of the probabilities of
K independent labels. Loss and phi = log p_y / (1 - p_y) are defined by it as for a class.
"""

import numpy as np
from scipy.special import entr, expit, log_softmax, logsumexp

from unlearn_cli.schema.literals import Task
from unlearn_cli.stats.by_record import by_record
from unlearn_cli.stats.outputs import Outputs

CONFIDENT = 30.0  # a logit from which the loss of a label equals exp(-logit) in double precision
SMALL_LOSS = 1e-4  # nats; below it, exp(L) - 1 is computed as a series


def margin(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return phi = z_y - logsumexp_{k != y} z_k; from float32 probabilities, it would be infinite at a gap of 17."""
    return by_record(_margin, logits, labels)


def _margin(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    rows = np.arange(len(labels))
    others = logits.copy()  # (n, K)
    others[rows, labels] = -np.inf
    return logits[rows, labels] - logsumexp(others, axis=1)


def phi(outputs: Outputs) -> np.ndarray:
    """Return log p_y / (1 - p_y) of each record; for a regression the prediction, because y is equal in all runs."""
    if outputs.task == "regression":
        return outputs.values
    if not len(outputs):
        return np.empty(0)
    if outputs.task == "multilabel":
        return by_record(_log_odds_of_all_labels, outputs.values, outputs.labels)
    return margin(outputs.values, outputs.labels)


def _log_odds_of_all_labels(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return -log(exp(L) - 1) for the loss L = -log p_y, from its logarithm, so that L may underflow."""
    margins = orient_by_label(logits, labels)
    logs = np.where(margins > CONFIDENT, -margins, np.log(np.logaddexp(0, -np.minimum(margins, CONFIDENT))))
    log_losses = np.asarray(logsumexp(logs, axis=1))
    losses = np.exp(log_losses)
    of_small = log_losses + np.log1p(losses / 2 + losses**2 / 6)
    of_large = losses + np.log(-np.expm1(-np.maximum(losses, SMALL_LOSS)))
    return -np.where(losses < SMALL_LOSS, of_small, of_large)


def orient_by_label(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the logits (n, K) of multilabel records with the sign that is positive where the network is right."""
    return np.where(labels == 1, logits, -logits)


def hits(outputs: Outputs) -> np.ndarray:
    """Return 1 for each record whose label has the largest output, else 0; multilabel: if all K labels are right.

    A label is predicted if its logit is above 0.
    """
    if outputs.task == "multilabel":
        return ((outputs.values > 0) == (outputs.labels == 1)).all(axis=1).astype(np.float64)
    return (outputs.values.argmax(axis=1) == outputs.labels).astype(np.float64)


def entropy(logits: np.ndarray, task: Task = "classification") -> np.ndarray:
    """Return the entropy of the predicted distribution of each record, in nats; multilabel: summed over the labels."""
    if task == "multilabel":
        return by_record(lambda chunk: (entr(expit(chunk)) + entr(expit(-chunk))).sum(axis=1), logits)
    return by_record(lambda chunk: entr(np.exp(log_softmax(chunk, axis=1))).sum(axis=1), logits)


def loss(outputs: Outputs) -> np.ndarray:
    """Return -log p_y of each record, or |prediction - y|."""
    if outputs.task == "regression":
        return np.abs(outputs.values - outputs.labels)
    return np.logaddexp(0, -phi(outputs))  # -log p_y; computed from phi, it is accurate where p_y rounds to 1
