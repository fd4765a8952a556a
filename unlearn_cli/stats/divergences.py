"""Distances between the output distributions of two networks, per record.

All are computed from logits (n, K) in float64, so that a saturated softmax stays finite.
"""

import math

import numpy as np
from scipy.special import log_softmax, rel_entr

from unlearn_cli.stats.by_record import by_record


def js(logits: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence of each record in bits: KL(p||m)/2 + KL(q||m)/2, m = (p + q)/2; in [0, 1].

    Lin 1991. It is symmetric and at most one bit; its square root is the Jensen-Shannon distance.
    """
    return by_record(_js, logits, others)


def _js(logits: np.ndarray, others: np.ndarray) -> np.ndarray:
    p, q = np.exp(log_softmax(logits, axis=1)), np.exp(log_softmax(others, axis=1))
    m = (p + q) / 2
    nats = (rel_entr(p, m) + rel_entr(q, m)).sum(axis=1) / 2
    return np.clip(nats / math.log(2), 0.0, 1.0)  # rounding gives -1e-17 for equal distributions


def kl(logits: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return KL(softmax(logits) || softmax(others)) of each record in nats; unbounded, and not symmetric."""
    return by_record(_kl, logits, others)


def _kl(logits: np.ndarray, others: np.ndarray) -> np.ndarray:
    log_p, log_q = log_softmax(logits, axis=1), log_softmax(others, axis=1)
    return np.maximum((np.exp(log_p) * (log_p - log_q)).sum(axis=1), 0.0)


def l2(logits: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance of the two softmax vectors of each record; in [0, sqrt 2]."""
    return by_record(_l2, logits, others)


def _l2(logits: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.exp(log_softmax(logits, axis=1)) - np.exp(log_softmax(others, axis=1)), axis=1)


def published_js(logits: np.ndarray, others: np.ndarray) -> float:
    """Return the quantity named JS in the authors' code: (KL(m||p) + KL(m||q)) / 2 in nats, divided by n K, not n.

    This is not the Jensen-Shannon divergence: the arguments are swapped, it is infinite if an output underflows, and it
    decreases with the number of classes. Use it only for comparison with printed tables.
    """
    p, q = np.exp(log_softmax(logits, axis=1)), np.exp(log_softmax(others, axis=1))
    m = (p + q) / 2
    return float((rel_entr(m, p) + rel_entr(m, q)).sum() / 2 / p.size)
