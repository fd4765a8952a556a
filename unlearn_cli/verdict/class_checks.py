"""Checks of knowledge of whole classes, in the outputs and hidden in the network, relative to retrained references."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import norm

from unlearn_cli.stats.class_distributions import contrast_distances, measure_distances
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.margins import CONFIDENCE, DISTRIBUTION_LIMIT, PROBE_MARGIN, RELEARNING_LIMIT
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.relative import LogRatio, combine_errors
from unlearn_cli.stats.results import Estimate, Finding
from unlearn_cli.verdict.checks import Check

Findings = Mapping[str, Finding]
DISTRIBUTION = f"distribution over the other classes at most {DISTRIBUTION_LIMIT:g} times as far as between references"
RELEARNING = f"relearned in at least 1/{RELEARNING_LIMIT:g} of the references' steps"
PROBE = f"linear probe at most {PROBE_MARGIN:g} above the references'"


def check_class_knowledge(
    outputs: Mapping[str, Outputs],
    references: Sequence[Mapping[str, Outputs]],
    findings: Findings,
    reference_findings: Sequence[Findings],
) -> list[Check]:
    """Return the checks on the distribution over the retained classes, on relearning and on a probe of the features."""
    if len(references) < 2:
        reason = "at least two references are needed for their variation"
        return [Check(claim, missing(reason), reason=reason) for claim in (DISTRIBUTION, RELEARNING)]
    return [
        check_distribution(outputs, references),
        check_relearning(findings, reference_findings),
        *check_probe(findings, reference_findings),
    ]


def check_distribution(outputs: Mapping[str, Outputs], references: Sequence[Mapping[str, Outputs]]) -> Check:
    """Return the check on the distance between distributions, relative to that on retained classes.

    `unlearn_cli.attacks.class_distribution` explains and reports it.
    """
    test, lost = outputs["test"], np.unique(outputs["forget"].labels)
    forgotten = np.isin(test.labels, lost)
    retained = np.setdiff1d(np.arange(test.values.shape[1]), lost)
    if len(retained) < 2 or min(forgotten.sum(), (~forgotten).sum()) < 2:
        reason = "it needs two retained classes, and test records of forgotten and of retained classes"
        return Check(DISTRIBUTION, missing(reason, int(forgotten.sum())), DISTRIBUTION_LIMIT, reason=reason)
    theirs = [reference["test"] for reference in references]
    sides = [
        measure_distances(test.take(mask), [network.take(mask) for network in theirs], retained)
        for mask in (forgotten, ~forgotten)
    ]
    contrast = contrast_distances(*sides)
    if contrast is None:
        reason = "the networks do not differ"
        return Check(DISTRIBUTION, missing(reason, len(test)), DISTRIBUTION_LIMIT, reason=reason)
    return check_ratio_at_most(DISTRIBUTION, contrast, DISTRIBUTION_LIMIT)


def check_ratio_at_most(claim: str, ratio: LogRatio, limit: float) -> Check:
    """Test that a quantity relative to the references' is at most `limit`.

    To fail, two hypotheses must be rejected, so their larger p-value counts: that this network is within the limit, and
    that it is one more reference, whose quantity differs from the others' by chance.
    """
    distance = math.log(limit) - ratio.value
    within, by_chance = ratio.passing.cdf(distance), ratio.failing.cdf(-ratio.value)
    return Check(claim, ratio.estimate(), limit, None, 1 - within, max(within, by_chance))


def check_relearning(findings: Findings, references: Sequence[Findings]) -> Check:
    """Return the check that the network does not relearn the class faster than the references.

    Only faster counts: slower is no knowledge of the class. A network that does not reach the target counts as needing
    the maximum of steps.
    """
    own, *runs = (_find(network, "relearn") for network in (findings, *references))
    if own is None or None in runs:
        reason = "the attack 'relearn' was not run"
        return Check(RELEARNING, missing(reason), RELEARNING_LIMIT, reason=reason)
    theirs = [finding.quantities["interpolated_steps"] for finding in runs if finding is not None]
    late = next((estimate.reason for estimate in theirs if estimate.value is None), None)
    if late:
        reason = f"of a reference, {late}; increase relearn.max_steps"
        return Check(RELEARNING, missing(reason), RELEARNING_LIMIT, reason=reason)
    ours = own.quantities["interpolated_steps"]
    logs = np.log([estimate.value or 0.0 for estimate in theirs])
    ratio = LogRatio(
        value=float(logs.mean()) - math.log(ours.value or own.settings["max_steps"]),
        n=ours.n,
        runs=len(logs),
        of_records=0.0,
        of_references=float(logs.var(ddof=1)),
        freedom=len(logs) - 1.0,
    )
    return check_ratio_at_most(RELEARNING, ratio, RELEARNING_LIMIT)


def _find(findings: Findings, attack: str) -> Finding | None:
    """Return the finding of an attack, also with changed settings, which its name then lists: 'relearn (lr=0.01)'."""
    return next((finding for name, finding in findings.items() if name.partition(" ")[0] == attack), None)


def check_probe(findings: Findings, references: Sequence[Findings]) -> list[Check]:
    """Return the check that a linear probe finds the class no better than in the references, where it was run.

    It is not required: a probe finds a class that was never seen, so that it often cannot tell networks apart, and its
    test records are few.
    """
    probes = [_find(network, "linear_probe") for network in (findings, *references)]
    measured = [_measure_probe(probe) for probe in probes if probe is not None]
    values = [part for part in measured if part is not None]
    if len(values) < len(probes):
        return []
    (ours, of_records, n), theirs = values[0], [value for value, *_ in values[1:]]
    difference, runs = ours - float(np.mean(theirs)), len(theirs)
    passing, failing = (
        combine_errors(of_records, n - 1.0, float(np.var(theirs, ddof=1)) * share, runs)
        for share in (1 / runs, 1 + 1 / runs)
    )
    half = passing.half_width()
    value = Estimate(
        value=difference,
        n=n,
        low=difference - half,
        high=difference + half,
        interval="t, with the variation between references",
        runs=runs,
    )
    distance = PROBE_MARGIN - difference
    p_values = 1 - passing.cdf(distance), failing.cdf(distance)
    return [Check(PROBE, value, PROBE_MARGIN, PROBE_MARGIN, *p_values, required=False)]


def _measure_probe(finding: Finding) -> tuple[float, float, int] | None:
    """Return the balanced accuracy, the variance over its test records, and the number of the forgotten ones."""
    recall, alarms = finding.quantities["recall_forgotten"], finding.quantities.get("false_alarms")
    if recall.value is None or alarms is None or alarms.value is None:
        return None
    variance = sum(_variance(part) for part in (recall, alarms)) / 4
    return (recall.value + 1 - alarms.value) / 2, variance, recall.n


def _variance(estimate: Estimate) -> float:
    """Return the variance of a share from the width of its interval, which accounts for clusters."""
    if estimate.low is None or estimate.high is None:
        return 0.25
    return ((estimate.high - estimate.low) / 2 / float(norm.ppf((1 + CONFIDENCE) / 2))) ** 2
