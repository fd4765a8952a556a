"""Population attack: one threshold on the fit of a record separates members from non-members.

Idea: a model fits the records it was trained on better than others; forgotten records must be like the hold-out. Score:
the margin phi = z_y - logsumexp_{k != y} z_k, equal to log p_y / (1 - p_y); for a regression -|prediction - y|. For
multilabel records, p_y is the probability of the record's whole set of labels.

Source: Yeom et al. 2018 (loss); Song & Mittal 2021 (modified entropy); Carlini et al. 2022 (phi). Needs outputs on the
forget split and on never-seen records with the same mix of classes (or range of labels). Warning: it detects only
average differences. A weak attack that detects nothing does not prove that nothing leaks, and an easier or harder
hold-out looks like a leak.
"""

from typing import Annotated, Literal

import numpy as np
from scipy.special import expit, log_softmax

from unlearn_cli.errors import UserError
from unlearn_cli.plugins.types import Doc
from unlearn_cli.stats.attack_results import refuse_non_finite
from unlearn_cli.stats.findings import Scores
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.signals import entropy, hits, margin, phi

SUMMARY = "threshold on the logit margin; regression: on the residual"
TASK = ("classification", "regression", "multilabel")
TIER = "quick"
ORDER = 2  # within the tier, cheapest first
VARIANTS = (  # also run; the verdict uses only the default, because the best of six statistics would fit noise
    "statistic=correctness",
    "statistic=entropy",
    "statistic=modified_entropy",
    "statistic=confidence",
    "statistic=loss",
)

Statistic = Literal["margin", "loss", "confidence", "entropy", "modified_entropy", "correctness"]


def population(
    forget_outputs: Outputs,
    holdout_outputs: Outputs,
    *,
    statistic: Annotated[
        Literal["margin", "loss", "confidence", "entropy", "modified_entropy", "correctness"],
        Doc("number per record that is compared with a threshold"),
    ] = "margin",
) -> Scores:
    """Score the forget split (members) and the hold-out (non-members) by one statistic, higher = 'was trained on'."""
    members, others = _score(forget_outputs, statistic), _score(holdout_outputs, statistic)
    unit = _unit(others) if forget_outputs.task == "regression" else 1.0
    return Scores(members / unit, others / unit, forget_outputs.groups, holdout_outputs.groups)


def _unit(residuals: np.ndarray) -> float:
    """Return the interquartile range of the hold-out's residuals, the unit of the scores."""
    return float(np.subtract(*np.quantile(residuals, [0.75, 0.25]))) or 1.0 if len(residuals) else 1.0


def _score(outputs: Outputs, statistic: Statistic) -> np.ndarray:
    """Return the statistic of each record, with the sign that makes members score high."""
    refuse_non_finite(outputs.values, "attack 'population': the model's outputs")
    if outputs.task == "regression":
        return _closeness(outputs, statistic)
    if len(outputs) == 0:
        return np.empty(0)
    if statistic == "entropy":
        return -entropy(outputs.values, outputs.task)
    if statistic == "modified_entropy":
        if outputs.task == "multilabel":
            raise UserError(
                "attack 'population': statistic 'modified_entropy' is not defined for multilabel; use 'loss'"
            )
        return -modified_entropy(outputs.values, outputs.labels)
    if statistic == "correctness":
        return hits(outputs)
    margins = phi(outputs)
    if statistic == "loss":
        return -np.logaddexp(0, -margins)  # log p_y; computed from phi, it is accurate where p_y rounds to 1
    return expit(margins) if statistic == "confidence" else margins


def _closeness(outputs: Outputs, statistic: Statistic) -> np.ndarray:
    """Return -|prediction - y|; a regression has neither confidence nor entropy."""
    if statistic not in ("margin", "loss"):
        raise UserError(f"attack 'population': statistic '{statistic}' is not defined for regression; use 'loss'")
    return -np.abs(outputs.values - outputs.labels)


def modified_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return -(1 - p_y) log p_y - sum_{k != y} p_k log(1 - p_k), in nats (Song & Mittal 2021, eq. 6).

    Computed from logarithms throughout, so that it is finite (though large) for a confident wrong answer.
    """
    rows = np.arange(len(labels))
    log_p = log_softmax(logits, axis=1)  # (n, K)
    log_rest = _log_complement(logits, log_p)
    terms = np.exp(log_p) * log_rest
    terms[rows, labels] = np.exp(log_rest[rows, labels]) * log_p[rows, labels]
    return -terms.sum(axis=1)


def _log_complement(logits: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """Return log(1 - p_k) for all k; only the largest p can be above 1/2, where log1p would lose accuracy."""
    rows, largest = np.arange(len(logits)), logits.argmax(axis=1)
    log_rest = np.log1p(-np.minimum(np.exp(log_p), 0.5))
    log_rest[rows, largest] = -np.logaddexp(0, margin(logits, largest))
    return log_rest
