"""Class geometry: whether the probabilities over the retained classes reveal the records of the forgotten class.

Idea: the head no longer predicts the class, but its records may have a pattern of probabilities over the other classes
(one neighbour has nearly all, or all are unusually even) that no retained class has. The softmax is computed over only
the retained classes, so that a suppressed output reveals nothing. A logistic regression on these log-probabilities is
fitted on half of the test records, and separates forgotten from retained ones in the other half. Source: this project,
after attacks on class unlearning by the probabilities of neighbouring classes. Needs outputs on test; whole classes.
Warning: a retrained network has such a pattern, too: compare with the reference's.
"""

import numpy as np
from scipy.special import entr, log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unlearn_cli.stats.clusters import halves
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import missing, share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.roc import auc

SUMMARY = "probabilities of the forgotten class over the others"
TIER = "standard"
ORDER = 6  # within the tier, cheapest first

MIN_RECORDS = 10  # per side


def class_geometry(split_outputs: dict[str, Outputs], forget_classes: list[int], seed: int) -> Findings:
    """Return the AUC of the regression and of the entropy, and the share of the class that is predicted most often."""
    test = split_outputs["test"]
    forgotten = np.isin(test.labels, forget_classes)
    retained = np.setdiff1d(np.arange(test.values.shape[1]), forget_classes)
    if min(forgotten.sum(), (~forgotten).sum()) < MIN_RECORDS or len(retained) < 2:
        return Findings(
            {"auc": missing(f"at least {MIN_RECORDS} records per side and two retained classes are needed", len(test))}
        )
    log_p = log_softmax(test.values[:, retained], axis=1)  # (n, retained classes)
    uncertainty = entr(np.exp(log_p)).sum(axis=1)
    half = _half(test, forgotten, seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced"))
    scores = model.fit(log_p[half], forgotten[half]).decision_function(log_p)
    nearest = log_p[forgotten].argmax(axis=1)
    parts = [(forgotten & ~half, ~forgotten & ~half), (forgotten, ~forgotten)]
    held, whole = (
        None if test.groups is None else (test.groups[mask], test.groups[other_mask]) for mask, other_mask in parts
    )
    return Findings(
        {
            "auc": auc(scores[forgotten & ~half], scores[~forgotten & ~half], held),
            "auc_entropy": auc(uncertainty[forgotten], uncertainty[~forgotten], whole),
            "nearest_class_share": share(nearest == np.bincount(nearest).argmax(), test.take(forgotten).groups),
        }
    )


def _half(test: Outputs, forgotten: np.ndarray, seed: int) -> np.ndarray:
    """Return the mask of the records for fitting: half of the forgotten and of the other ones, or of their clusters."""
    half = np.zeros(len(test), dtype=bool)
    if test.groups is not None:
        half[forgotten], half[~forgotten] = halves(
            test.groups[forgotten], test.groups[~forgotten], np.random.default_rng(seed)
        )
        return half
    for side in (forgotten, ~forgotten):
        half[np.random.default_rng(seed).permutation(np.flatnonzero(side))[::2]] = True
    return half
