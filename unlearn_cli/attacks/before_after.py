"""Before and after: an attacker with both versions tells forgotten, retained and never-seen records from each other.

Idea: the outputs of the original and of the unlearned network on a record, and their differences, are the features of a
classifier with three classes. It is fitted on one half of the records and scored on the other. Forgotten records are
those that changed; retained ones are at risk as well, because two networks that were both trained on a record show more
of it than one: `gain_retained` is the AUC of retained against never-seen records with both versions, less the AUC
with the original only.

Source: Chen et al. 2021, arXiv 2005.02205 (deleted records); retained records after Hayes et al. 2024, arXiv
2403.01218. Features: phi, entropy, their differences and the distance of the softmax; random forest of scikit-learn.
Needs the original's outputs. Warning: a retrained network exposes forgotten records most, and a network that is the
original exposes them least, so this does not measure forgetting. It is the cost of giving access to both versions:
compare it with the references' own numbers; no gate uses it.
"""

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from unlearn_cli.stats.before_after import (
    CLASS_NAMES,
    CLASSES,
    NEVER_SEEN,
    RETAINED,
    Observations,
    collect_observations,
)
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import delta_method, missing, share
from unlearn_cli.stats.margins import CONFIDENCE
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import measure_auc_influence

SUMMARY = "three classes from both versions; also of retained records"
TASK = ("classification", "regression", "multilabel")
TIER = "standard"
ORDER = 4  # within the tier, cheapest first

TREES, LEAF = 100, 10  # a leaf of fewer records fits noise
MIN_RECORDS = 20  # per class: ten in each half
PERMUTATIONS = 500


def before_after(split_outputs: dict[str, Outputs], original_split_outputs: dict[str, Outputs], seed: int) -> Findings:
    """Return recall per class and macro AUC (one against the rest) on the scored half, their nulls, and the gain.

    The null of a recall is the share of all records that are assigned to the class; that of the macro AUC is its value
    with permuted classes.
    """
    random = np.random.default_rng(seed)
    observed = collect_observations(original_split_outputs, split_outputs, random)
    halves = divide(observed, seed)
    if isinstance(halves, str):
        return Findings({"macro_auc": missing(halves, len(observed.classes))})
    fitted, scored = observed.take(halves[0]), observed.take(halves[1])
    chances = _predict(fitted.both, fitted.classes, scored.both, seed)
    first_chances = _predict(fitted.before, fitted.classes, scored.before, seed)
    return Findings(
        {
            **measure_recalls(chances, scored),
            **measure_macro_auc(chances, scored, random),
            **measure_retained(chances, first_chances, scored),
        }
    )


def divide(observed: Observations, seed: int) -> tuple[np.ndarray, np.ndarray] | str:
    """Divide the records into two halves with equal shares of the classes and whole clusters, or return an obstacle."""
    counts = np.bincount(observed.classes, minlength=len(CLASSES))
    if counts.min() < MIN_RECORDS:
        name = CLASS_NAMES[int(counts.argmin())].replace("_", "-")
        return f"at least {MIN_RECORDS} records per class are needed; {counts.min()} are {name}"
    kind = StratifiedKFold if observed.groups is None else StratifiedGroupKFold
    folds = kind(2, shuffle=True, random_state=seed).split(observed.both, observed.classes, observed.groups)
    fitted, scored = next(iter(folds))
    few = min(np.bincount(observed.classes[half], minlength=len(CLASSES)).min() for half in (fitted, scored))
    return (fitted, scored) if few else "a class has too few clusters to be divided into two halves"


def _predict(features: np.ndarray, classes: np.ndarray, others: np.ndarray, seed: int) -> np.ndarray:
    """Fit on one half; return the probability of each class (n, 3) for the records of the other."""
    forest = RandomForestClassifier(TREES, min_samples_leaf=LEAF, class_weight="balanced", random_state=seed, n_jobs=1)
    return forest.fit(features, classes).predict_proba(others)


def measure_recalls(chances: np.ndarray, scored: Observations) -> dict[str, Estimate]:
    """Return the share of each class that is assigned to it, and the share of all records that are."""
    assigned, quantities = chances.argmax(axis=1), {}
    for number, name in zip(CLASSES, CLASS_NAMES, strict=True):
        rows = scored.classes == number
        groups = None if scored.groups is None else scored.groups[rows]
        quantities[f"recall_{name}"] = share(assigned[rows] == number, groups)
        quantities[f"recall_{name}_null"] = share(assigned == number, scored.groups)
    return quantities


def measure_macro_auc(chances: np.ndarray, scored: Observations, random: np.random.Generator) -> dict[str, Estimate]:
    """Return the mean over the classes of the AUC of one against the rest, and its distribution by chance."""
    parts = [measure_auc_influence(scored.classes == number, chances[:, number]) for number in CLASSES]
    value = float(np.mean([of_class for of_class, _ in parts]))
    influence = np.mean([of_records for _, of_records in parts], axis=0)
    area = _estimate_auc(value, influence, scored.groups)
    null = draw_null(chances, scored.classes, random)
    # the permuted records are independent; clusters widen the distribution by the square root of their design effect
    width = max(1.0, area.design_effect or 1.0) ** 0.5
    low, high = 0.5 + width * (np.quantile(null, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]) - 0.5)
    interval = "permuted classes" + (", design effect of the clusters" if scored.groups is not None else "")
    by_chance = Estimate(value=float(null.mean()), n=len(influence), low=low, high=high, interval=interval)
    return {"macro_auc": area, "macro_auc_null": by_chance}


def draw_null(chances: np.ndarray, classes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the macro AUC (PERMUTATIONS,) of permuted classes, from the rank sums of the probabilities (n, 3)."""
    ranks, counts = rankdata(chances, axis=0), np.bincount(classes, minlength=len(CLASSES))
    null = np.empty(PERMUTATIONS)
    for number in range(PERMUTATIONS):
        permuted = random.permutation(classes)
        sums = np.array([ranks[permuted == of_class, of_class].sum() for of_class in CLASSES])
        null[number] = np.mean((sums - counts * (counts + 1) / 2) / (counts * (len(classes) - counts)))
    return null


def measure_retained(chances: np.ndarray, first_chances: np.ndarray, scored: Observations) -> dict[str, Estimate]:
    """Return the AUC of retained against never-seen records of their kind, with both versions and with the first."""
    rows = (scored.classes == RETAINED) | ((scored.classes == NEVER_SEEN) & scored.like_retained)
    members, groups = scored.classes[rows] == RETAINED, None if scored.groups is None else scored.groups[rows]
    if members.all() or not members.any():
        return {"auc_retained": missing("no never-seen records are like the retained ones", len(members))}
    (both, of_both), (first, of_first) = (
        measure_auc_influence(members, _compare_with_never_seen(part[rows])) for part in (chances, first_chances)
    )
    return {
        "auc_retained": _estimate_auc(both, of_both, groups),
        "auc_retained_original_only": _estimate_auc(first, of_first, groups),
        "gain_retained": delta_method(both - first, of_both - of_first, interval="delong", groups=groups),
    }


def _compare_with_never_seen(chances: np.ndarray) -> np.ndarray:
    return chances[:, RETAINED] / (chances[:, RETAINED] + chances[:, NEVER_SEEN] + 1e-12)


def _estimate_auc(value: float, influence: np.ndarray, groups: np.ndarray | None) -> Estimate:
    """Return an AUC with its interval, which is unknown if no record contradicts the order."""
    estimate = delta_method(value, influence, interval="delong", at_least=0.0, groups=groups)
    if not influence.any():
        reason = "no interval: the records are separated without an error"
        return Estimate(value=value, n=estimate.n, clusters=estimate.clusters, reason=reason)
    return estimate if estimate.high is None else estimate.model_copy(update={"high": min(1.0, estimate.high)})
