"""The SVC of the published attacks: fitted on some records, always judged on others (attacks.md A3)."""

from collections.abc import Sequence

import numpy as np
from sklearn.svm import SVC

from unlearn_cli.stats.cluster_variance import clusters_of
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import bounded, missing, share
from unlearn_cli.stats.results import Estimate

LEAST = 4  # records of a side: two to fit on and two to judge by


def svc_findings(
    forget: np.ndarray,
    members: np.ndarray,
    others: np.ndarray,
    *,
    cap: int,
    balanced: bool,
    seed: int,
    groups: Sequence[np.ndarray | None] = (None, None, None),
) -> Findings:
    """Fit SVC(C=3, RBF, gamma=1/features) on one number a record, on three quarters of members and of others.

    Returns the share of forget that is called member, beside that of the quarters kept apart: on retain it is the
    attack's true-positive rate, on test its false-positive rate, without which the first says nothing. Of records in
    clusters (`groups` of the three), whole clusters are kept apart.
    """
    random = np.random.default_rng(seed)
    (members, of_members), (others, of_others) = (
        _shuffled(part, of, random, cap) for part, of in zip((members, others), groups[1:], strict=True)
    )
    if balanced:
        size = min(len(members), len(others))
        members, others = members[:size], others[:size]
    if min(len(members), len(others)) < LEAST or not len(forget):
        return Findings({"flagged_forget": missing(f"{LEAST} records of each side are the least", len(forget))})
    kept = [_kept_apart(len(part), of) for part, of in ((members, of_members), (others, of_others))]
    if any(size in (0, len(part)) for size, part in zip(kept, (members, others), strict=True)):
        return Findings({"flagged_forget": missing("4 clusters of each side are the least", len(forget))})
    fit = [part[size:] for part, size in zip((members, others), kept, strict=True)]
    attacker = SVC(C=3, gamma="auto", kernel="rbf")
    attacker.fit(np.concatenate(fit)[:, None], np.repeat([1, 0], [len(fit[0]), len(fit[1])]))
    called = [attacker.predict(part[:, None]) for part in (forget, members[: kept[0]], others[: kept[1]])]
    flagged, sizes = [int(part.sum()) for part in called], [len(forget), *kept]
    clusters = (
        groups[0],
        *(None if of is None else of[:size] for of, size in zip((of_members, of_others), kept, strict=True)),
    )
    of_forget, of_retain, of_test = (share(part, of) for part, of in zip(called, clusters, strict=True))
    accuracy = _balanced_accuracy(of_retain, of_test)
    quantities = {
        "flagged_forget": of_forget,
        "flagged_retain": of_retain,
        "flagged_test": of_test,
        "balanced_accuracy": accuracy,
        "fitted_on": Estimate(value=len(fit[0]) + len(fit[1]), n=len(fit[0]) + len(fit[1])),
    }
    return _told(quantities, accuracy, constant=flagged in ([0, 0, 0], sizes))


def _shuffled(
    values: np.ndarray, groups: np.ndarray | None, random: np.random.Generator, cap: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw at most `cap` records; of clusters, whole ones one after the other."""
    if groups is None:
        return random.permutation(np.sort(values))[:cap], None
    order = np.lexsort((values, groups))
    clusters = clusters_of(groups[order])
    rows = np.lexsort((values[order], random.permutation(clusters.count)[clusters.codes]))[:cap]
    return values[order][rows], groups[order][rows]


def _kept_apart(n: int, groups: np.ndarray | None) -> int:
    """Return how many of the first records are kept apart: a quarter, up to the end of a cluster."""
    if groups is None:
        return n // 4
    ends = np.flatnonzero(groups[1:n] != groups[: n - 1]) + 1
    return int(ends[np.abs(ends - n / 4).argmin()]) if len(ends) else 0


def _balanced_accuracy(of_retain: Estimate, of_test: Estimate) -> Estimate:
    """Return (TPR + TNR) / 2 on the records kept apart, with Newcombe's hybrid of the two Wilson intervals."""
    tpr, fpr = of_retain.value or 0.0, of_test.value or 0.0
    below = np.hypot(tpr - (of_retain.low or 0.0), (of_test.high or 0.0) - fpr)
    above = np.hypot((of_retain.high or 0.0) - tpr, fpr - (of_test.low or 0.0))
    value = (1 + tpr - fpr) / 2
    unsure = next((one for one in (of_retain, of_test) if one.low is None), None)
    if unsure is not None:
        return unsure.model_copy(update={"value": value, "n": of_retain.n + of_test.n})
    return bounded(value, of_retain.n + of_test.n, (value - below / 2, value + above / 2), "newcombe")


def _told(quantities: dict[str, Estimate], accuracy: Estimate, *, constant: bool) -> Findings:
    low, high = accuracy.low or 0.0, accuracy.high or 1.0
    informative = not constant and not low <= 0.5 <= high
    warnings = ["legacy: for comparison with printed tables; nothing is judged by it"]
    if not informative:
        reason = "it says the same of every record" if constant else "it is no better than guessing"
        warnings.append(f"the attack cannot tell retain from test itself ({reason}): what it says of forget is void")
    return Findings(quantities, informative=informative, warnings=warnings)
