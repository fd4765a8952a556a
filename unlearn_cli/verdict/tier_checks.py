"""The checks of each tier, and the inputs that they need of a candidate.

Weight distance, ZRF, the legacy SVCs, `difference`, `retrain_z`, `learned_loss`, `rmia`, `quantile` and a single
relearn time are only reported; no check uses them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unlearn_cli.stats.findings import Scores
from unlearn_cli.stats.intervals import share
from unlearn_cli.stats.margins import (
    AUC_MARGIN,
    LOW_FPR,
    RECOGNISED_LIMIT,
    TPR_LIMIT,
    UTILITY_ERROR_MARGIN,
    UTILITY_MARGIN,
)
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import AttackResult, Estimate, Finding
from unlearn_cli.stats.roc import above, allowed_false_positives, tpr_at_fpr
from unlearn_cli.stats.signals import hits
from unlearn_cli.verdict.audit_checks import check_audit
from unlearn_cli.verdict.checks import Check, check_auc_near_half, check_hits_at_most, check_not_worse
from unlearn_cli.verdict.class_checks import check_class_knowledge
from unlearn_cli.verdict.reference_checks import check_contrast, check_forget_accuracy, check_relative_distance
from unlearn_cli.verdict.regression_checks import check_regression

UNMATCHED = (
    "the hold-out differs from the forgotten records not only in training: add never-seen records of the same period "
    "or condition to data.test, or give references and --tier standard"
)


@dataclass(frozen=True)
class Candidate:
    """One checkpoint with its outputs, those of its comparators, and the results of the attacks."""

    role: str
    outputs: dict[str, Outputs]
    comparators: list[dict[str, Outputs]]  # the other references; without any, the original
    comparator_kind: str | None
    attack_results: dict[str, AttackResult]
    findings: dict[str, Finding]
    scores: dict[str, Scores]
    whole_classes: bool
    task: str
    control: Finding | None = None  # U-LiRA on the retrained shadow networks
    auc_margin: float = AUC_MARGIN  # largest distance from 1/2 that counts as equal
    comparator_findings: Sequence[dict[str, Finding]] = ()
    holdout_is_matched: bool = True  # false: forget differs from the hold-out not only in having been trained on


def list_checks(candidate: Candidate, tier: str) -> list[Check]:
    """Return the checks of a tier; a check that cannot be made has a reason instead of p-values."""
    utility = [replace(check, of_utility=True) for check in (*check_sanity(candidate), *check_utility(candidate))]
    checks = [*utility, *_check_against_holdout(candidate, tier)]
    if candidate.task == "classification" and candidate.whole_classes:
        checks += check_class_forgotten(candidate)
    if candidate.comparator_kind == "reference":
        checks += _check_like_quick_references(candidate) if tier == "quick" else _check_like_references(candidate)
    if tier == "audit" and not candidate.role.startswith(("reference_", "mask")):
        if "ulira" in candidate.findings:
            checks += check_audit(candidate.findings, candidate.control, candidate.auc_margin)
        else:
            checks.append(make_undecided_check("U-LiRA", "ulira"))
    return checks


def _check_against_holdout(candidate: Candidate, tier: str) -> list[Check]:
    """Return the checks that compare forget directly with the hold-out, which must match it."""
    if candidate.holdout_is_matched:
        return check_population(candidate)
    if tier == "quick" or candidate.comparator_kind != "reference":
        return [Check(claim_population(candidate), Estimate(value=None, n=0, reason=UNMATCHED), reason=UNMATCHED)]
    return []  # the contrast with references replaces them


def _check_like_quick_references(candidate: Candidate) -> list[Check]:
    """Return the checks of the quick tier with references; the other tiers' contrast needs fewer records."""
    if candidate.task == "regression":
        return _check_regression(candidate, with_residuals=False)
    if "holdout" in candidate.outputs and len(candidate.comparators) > 1:
        return check_forget_accuracy(candidate.outputs, candidate.comparators)
    return []


def _check_like_references(candidate: Candidate) -> list[Check]:
    """Return the checks of the standard and audit tiers that compare forget with the references."""
    distance = candidate.findings.get("relative_distance")
    checks = [*_check_contrast(candidate), *(check_relative_distance(distance) if distance else [])]
    if candidate.task == "regression":
        return [*checks, *_check_regression(candidate, with_residuals=True)]
    if not candidate.holdout_is_matched and "holdout" in candidate.outputs:
        checks += check_forget_accuracy(candidate.outputs, candidate.comparators)
    if candidate.whole_classes:
        checks += check_class_knowledge(
            candidate.outputs, candidate.comparators, candidate.findings, candidate.comparator_findings
        )
    return checks


def _check_contrast(candidate: Candidate) -> list[Check]:
    """Return the contrast's checks; a hold-out that does not match forget is not a control."""
    if not candidate.holdout_is_matched:
        return []
    scores = candidate.scores.get("retrain_contrast")
    if scores:
        return check_contrast(scores, candidate.auc_margin)
    return [make_undecided_check("forgotten against never-seen records", "retrain_contrast")]


def _check_regression(candidate: Candidate, *, with_residuals: bool) -> list[Check]:
    return check_regression(
        candidate.outputs,
        candidate.comparators,
        is_matched=candidate.holdout_is_matched,
        with_residuals=with_residuals,
        auc_margin=candidate.auc_margin,
    )


def make_undecided_check(claim: str, attack: str) -> Check:
    """Return a check of the tier that cannot be made; if it were omitted, the tier could pass without it."""
    reason = f"the attack '{attack}' with its default settings was not run, or gave no scores"
    return Check(claim, Estimate(value=None, n=0, reason=reason), reason=reason)


def check_sanity(candidate: Candidate) -> list[Check]:
    """Return the check that the outputs are not constant, without which no other number is meaningful."""
    finding = candidate.findings.get("sanity")
    if finding is None:
        return [make_undecided_check("the outputs differ between records and classes", "sanity")]
    value = finding.quantities["equal_outputs"]
    broken = float(finding.informative is False)
    return [Check("the outputs differ between records and classes", value, None, None, broken, 1 - broken)]


def claim_population(candidate: Candidate) -> str:
    return f"population AUC within {candidate.auc_margin:g} of 1/2"


def check_population(candidate: Candidate) -> list[Check]:
    """Return the checks on the threshold attack on phi; the best of its six statistics would fit noise."""
    scores, claim = candidate.scores.get("population"), claim_population(candidate)
    if scores is None:
        return [make_undecided_check(claim, "population")]
    area = check_auc_near_half(claim, scores.members, scores.non_members, candidate.auc_margin, scores.groups)
    return [area, *check_low_rates(scores)]


def check_low_rates(scores: Scores) -> list[Check]:
    """Return the checks that few forgotten records are called members at a low false-positive rate, at either end."""
    scores = scores.sort()
    groups, allowed = scores.groups, allowed_false_positives(LOW_FPR, len(scores.non_members))
    rates = tpr_at_fpr(scores.members, scores.non_members, LOW_FPR, groups)
    checks = []
    for name, value, sign in (("", rates.tpr, 1), (" from the low end", rates.tpr_mirrored, -1)):
        claim = f"TPR at FPR {LOW_FPR:.0%}{name} at most {TPR_LIMIT:.0%}"
        if value.value is None:
            needed = f"needs {math.ceil(1 / LOW_FPR)} records of the hold-out, which has {len(scores.non_members)}"
            checks.append(Check(claim, value, TPR_LIMIT, reason=needed))
        else:
            hits = above(sign * scores.members, sign * scores.non_members, allowed)
            checks.append(check_hits_at_most(claim, hits, TPR_LIMIT, scores.member_groups, value))
    return checks


def check_utility(candidate: Candidate) -> list[Check]:
    """Return the checks that test and retained records are not predicted worse than by the comparators.

    Retained records are compared with the comparators' level on test: how far a network fits its training records
    beyond that depends on its recipe (epochs, learning rate), and is of no use.

    With one reference, the variation between trainings is unknown, and a lucky one would fail networks that are as
    good as most: such a check can pass but not fail.
    """
    test = "test_retain" if "test_retain" in candidate.outputs else "test"
    if not candidate.comparators or not len(candidate.outputs[test]):
        return []
    scored = {split: _score_hits(candidate.outputs[split], candidate.task) for split in (test, "retain")}
    theirs = np.stack([_score_hits(outputs[test], candidate.task) for outputs in candidate.comparators])
    levels = np.repeat(theirs.mean(axis=1, keepdims=True), len(scored["retain"]), axis=1)
    checks = [_check_utility_on(candidate, test, scored[test], theirs)]
    if len(scored["retain"]):
        checks.append(_check_utility_on(candidate, "retain", scored["retain"], levels))
    is_single = candidate.comparator_kind == "reference" and len(candidate.comparators) == 1
    return [_forbid_failing(check) for check in checks] if is_single else checks


def _forbid_failing(check: Check) -> Check:
    return check if check.p_failed is None else replace(check, p_failed=1.0)


def _score_hits(outputs: Outputs, task: str) -> np.ndarray:
    """Return 1 or 0 for each record, and minus the absolute error of a regression."""
    return -np.abs(outputs.values - outputs.labels) if task == "regression" else hits(outputs)


def _check_utility_on(candidate: Candidate, split: str, ours: np.ndarray, theirs: np.ndarray) -> Check:
    """Return the check that the mean score (n,) is at most the margin below that of the comparators (K, n)."""
    whose = "references'" if candidate.comparator_kind == "reference" else "original's"
    where = " on test" if split == "retain" else ""
    groups = candidate.outputs[split].groups
    if candidate.task != "regression":
        measure = "subset accuracy" if candidate.task == "multilabel" else "accuracy"
        claim = f"{split} {measure} at most {UTILITY_MARGIN:g} below the {whose}{where}"
        return check_not_worse(claim, ours, theirs, UTILITY_MARGIN, unit=1.0, groups=groups)
    claim = f"{split} mean error at most {UTILITY_ERROR_MARGIN:.0%} above the {whose}{where}"
    return check_not_worse(claim, ours, theirs, -UTILITY_ERROR_MARGIN * float(theirs.mean()), groups=groups)


def check_class_forgotten(candidate: Candidate) -> list[Check]:
    """Return the checks that a forgotten class is hardly predicted any more; the original fails them."""
    checks = []
    for split in ("forget", "test_forget"):
        outputs = candidate.outputs.get(split)
        if outputs is not None and len(outputs):
            right, claim = hits(outputs), f"{split} accuracy at most {RECOGNISED_LIMIT:g}"
            value = share(right, outputs.groups)
            checks.append(check_hits_at_most(claim, right, RECOGNISED_LIMIT, outputs.groups, value))
    return checks
