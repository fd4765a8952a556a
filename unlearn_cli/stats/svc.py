"""The SVC of the published attacks, fitted on some records and scored on others."""

from collections.abc import Sequence

import numpy as np
from sklearn.svm import SVC

from unlearn_cli.stats.clusters import number_clusters
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import bounded, missing, share
from unlearn_cli.stats.results import Estimate

MIN_RECORDS = 4  # per side: two to fit on and two to score


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
    """Fit SVC(C=3, RBF, gamma=1/features) on one number per record, on three quarters of members and of others.

    Returns the share of forget that is called member, and the shares of the held-out quarters: on retain, the attack's
    true-positive rate; on test, its false-positive rate, which is needed to interpret the first share. For clustered
    records (`groups` of the three), whole clusters are held out.
    """
    random = np.random.default_rng(seed)
    (members, of_members), (others, of_others) = (
        _shuffle(part, of, random, cap) for part, of in zip((members, others), groups[1:], strict=True)
    )
    if balanced:
        size = min(len(members), len(others))
        members, others = members[:size], others[:size]
    if min(len(members), len(others)) < MIN_RECORDS or not len(forget):
        return Findings({"flagged_forget": missing(f"at least {MIN_RECORDS} records per side are needed", len(forget))})
    held_out = [_count_held_out(len(part), of) for part, of in ((members, of_members), (others, of_others))]
    if any(size in (0, len(part)) for size, part in zip(held_out, (members, others), strict=True)):
        return Findings({"flagged_forget": missing("at least 4 clusters per side are needed", len(forget))})
    fit = [part[size:] for part, size in zip((members, others), held_out, strict=True)]
    attacker = SVC(C=3, gamma="auto", kernel="rbf")
    attacker.fit(np.concatenate(fit)[:, None], np.repeat([1, 0], [len(fit[0]), len(fit[1])]))
    called = [attacker.predict(part[:, None]) for part in (forget, members[: held_out[0]], others[: held_out[1]])]
    flagged, sizes = [int(part.sum()) for part in called], [len(forget), *held_out]
    clusters = (
        groups[0],
        *(None if of is None else of[:size] for of, size in zip((of_members, of_others), held_out, strict=True)),
    )
    of_forget, of_retain, of_test = (share(part, of) for part, of in zip(called, clusters, strict=True))
    accuracy = _measure_balanced_accuracy(of_retain, of_test)
    quantities = {
        "flagged_forget": of_forget,
        "flagged_retain": of_retain,
        "flagged_test": of_test,
        "balanced_accuracy": accuracy,
        "fitted_on": Estimate(value=len(fit[0]) + len(fit[1]), n=len(fit[0]) + len(fit[1])),
    }
    return _make_findings(quantities, accuracy, constant=flagged in ([0, 0, 0], sizes))


def _shuffle(
    values: np.ndarray, groups: np.ndarray | None, random: np.random.Generator, cap: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw at most `cap` records in random order; with clusters, one cluster after the other."""
    if groups is None:
        return random.permutation(np.sort(values))[:cap], None
    order = np.lexsort((values, groups))
    clusters = number_clusters(groups[order])
    rows = np.lexsort((values[order], random.permutation(clusters.count)[clusters.codes]))[:cap]
    return values[order][rows], groups[order][rows]


def _count_held_out(n: int, groups: np.ndarray | None) -> int:
    """Return the number of held-out records at the start: about a quarter, up to the end of a cluster."""
    if groups is None:
        return n // 4
    ends = np.flatnonzero(groups[1:n] != groups[: n - 1]) + 1
    return int(ends[np.abs(ends - n / 4).argmin()]) if len(ends) else 0


def _measure_balanced_accuracy(of_retain: Estimate, of_test: Estimate) -> Estimate:
    """Return (TPR + TNR) / 2 on the held-out records, with Newcombe's hybrid of the two Wilson intervals."""
    tpr, fpr = of_retain.value or 0.0, of_test.value or 0.0
    below = np.hypot(tpr - (of_retain.low or 0.0), (of_test.high or 0.0) - fpr)
    above = np.hypot((of_retain.high or 0.0) - tpr, fpr - (of_test.low or 0.0))
    value = (1 + tpr - fpr) / 2
    without_interval = next((share for share in (of_retain, of_test) if share.low is None), None)
    if without_interval is not None:
        return without_interval.model_copy(update={"value": value, "n": of_retain.n + of_test.n})
    return bounded(value, of_retain.n + of_test.n, (value - below / 2, value + above / 2), "newcombe")


def _make_findings(quantities: dict[str, Estimate], accuracy: Estimate, *, constant: bool) -> Findings:
    low, high = accuracy.low or 0.0, accuracy.high or 1.0
    informative = not constant and not low <= 0.5 <= high
    warnings = ["legacy: for comparison with printed tables; no gate uses it"]
    if not informative:
        reason = "its answer is the same for every record" if constant else "it is no better than guessing"
        warnings.append(f"the attack cannot distinguish retain from test ({reason}): its result on forget is void")
    return Findings(quantities, informative=informative, warnings=warnings)
