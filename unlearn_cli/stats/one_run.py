"""Lower bound on epsilon from one training run with many records, each included with probability 1/2.

Steinke, Nasr, Jagielski 2023, arXiv 2305.08846, theorem 5.2: under an epsilon-DP mechanism, the number of correct ones
among r guesses is at most binomial with success probability q = 1 / (1 + e^-epsilon); delta adds a term.
"""

import math
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from unlearn_cli.stats.margins import CONFIDENCE

MAX_EPSILON = 20.0  # limit of the search


def p_value(records: int, guesses: int, right: int, epsilon: float, delta: float = 0.0) -> float:
    """Return the largest probability of at least `right` correct guesses under an (epsilon, delta)-DP mechanism."""
    q = 1 / (1 + math.exp(-epsilon))
    plain = float(binom.sf(right - 1, guesses, q))
    if delta == 0 or right == 0:
        return min(1.0, plain)
    steps = np.arange(1, right + 1)
    within = binom.sf(right - steps - 1, guesses, q) - binom.sf(right - 1, guesses, q)  # right > Bin >= right - i
    return min(1.0, plain + 2 * records * delta * float((within / steps).max()))


def epsilon_one_run(
    records: int, guesses: int, right: int, *, delta: float = 0.0, confidence: float = CONFIDENCE
) -> float:
    """Return the largest epsilon that `right` correct guesses refute; 0 if they refute none.

    The number of guesses must be fixed beforehand: the best of several numbers would find a bound in noise in 28 % of
    cases.
    """
    level = 1 - confidence

    def excess(epsilon: float) -> float:
        return p_value(records, guesses, right, epsilon, delta) - level

    if not guesses or excess(0.0) >= 0:
        return 0.0
    if excess(MAX_EPSILON) < 0:
        return MAX_EPSILON
    root: Any = brentq(excess, 0.0, MAX_EPSILON, xtol=1e-9)
    return float(root)


def count_guesses(scores: np.ndarray, members: np.ndarray, share: float) -> tuple[int, int]:
    """Guess 'in' for the top share of one run's records and 'out' for the bottom; count guesses and correct ones."""
    num_each = int(share * len(scores))
    order = np.argsort(scores, kind="stable")
    right = int((~members[order[:num_each]]).sum() + members[order[len(order) - num_each :]].sum())
    return 2 * num_each, right
