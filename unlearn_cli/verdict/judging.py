"""Derives the verdict from the checks of a candidate and of its controls.

To pass, all checks must pass, each at the level. This is an intersection-union test: the probability that a network
beyond one of the margins passes is at most the level, so no correction is needed. To fail, one check is sufficient, so
these p-values are adjusted by Holm. Methods or settings that were tried before are additional chances to pass; their
number divides the level for passing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from unlearn_cli.schema.literals import Half
from unlearn_cli.stats.margins import AUC_MARGIN, LEVEL
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.verdict.checks import Check
from unlearn_cli.verdict.judgement import Gate, Judgement, Verdict
from unlearn_cli.verdict.tier_checks import Candidate, list_checks

ONE_ROW = (
    "only a screen: these gates read the outputs on a whole class, and an edit of one row of the last layer, without "
    "any unlearning, passes them, too"
)

WIDE_MARGIN = "only a screen: the AUC may differ from 1/2 by {margin:g}, more than the default margin of {default:g}"


def judge(
    subject: Candidate,
    controls: Sequence[Candidate],
    tier: str,
    *,
    attempts: int = 1,
    half: Half = "all",
    level: float = LEVEL,
    auc_margin: float = AUC_MARGIN,
) -> tuple[list[Gate], Verdict, Judgement]:
    """Judge the subject and, by the same checks, the controls; return all gates, the verdict and its judgement.

    With a larger margin than the default, a pass is at most a screen.
    """
    subject, *controls = (replace(candidate, auc_margin=auc_margin) for candidate in (subject, *controls))
    gates = judge_checks(subject, tier, level=level, attempts=attempts)
    calibration: dict[str, Verdict] = {}
    num_references = sum(control.role != "original" for control in controls)
    for control in controls:
        # each additional reference is another chance of a false alarm
        num_chances = num_references if control.role != "original" else 1
        control_gates = judge_checks(control, tier, level=level / num_chances, attempts=1)
        calibration[control.role] = find_worst(control_gates)
        gates += control_gates
    worst = find_worst([gate for gate in gates if gate.role == subject.role])
    verdict, reasons = conclude(worst, calibration, tier, whole_classes=subject.whole_classes)
    if verdict == "passed" and auc_margin > AUC_MARGIN:
        verdict, reasons = "passed_screen", [WIDE_MARGIN.format(margin=auc_margin, default=AUC_MARGIN)]
    reasons = [
        *reasons,
        *(f"{gate.condition}: {gate.reason}" for gate in gates if gate.role == subject.role and gate.reason),
    ]
    population = subject.attack_results.get("population")
    judgement = Judgement(
        tier=tier,
        level=level,
        attempts=attempts,
        auc_margin=auc_margin,
        references=num_references,
        holdout_half=half,
        calibration=calibration,
        reasons=reasons,
        clusters=count_clusters(subject.outputs),
        design_effect=population.auc.design_effect if population else None,
    )
    return gates, verdict, judgement


def count_clusters(outputs: Mapping[str, Outputs]) -> dict[str, int] | None:
    """Return the number of persons or recordings in each split; None if records are independent."""
    groups = {name: of_split.groups for name, of_split in outputs.items()}
    counts = {name: len(np.unique(of)) for name, of in groups.items() if of is not None}
    return counts or None


def judge_checks(candidate: Candidate, tier: str, *, level: float, attempts: int) -> list[Gate]:
    """Judge every check of a candidate."""
    checks = list_checks(candidate, tier)
    adjusted = holm([1.0 if check.p_failed is None else check.p_failed for check in checks])
    return [_judge_check(check, p, candidate.role, level, attempts) for check, p in zip(checks, adjusted, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down procedure (1979), which controls the family-wise error rate."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _judge_check(check: Check, adjusted: float, role: str, level: float, attempts: int) -> Gate:
    verdict: Verdict = "inconclusive"
    if check.p_passed is not None and check.p_passed <= level / attempts:
        verdict = "passed"
    elif check.p_failed is not None and adjusted <= level:
        verdict = "failed"
    return Gate(
        condition=check.claim,
        verdict=verdict,
        value=check.value,
        limit=check.limit,
        reason=check.reason,
        role=role,
        margin=check.margin,
        p_passed=check.p_passed,
        p_failed=None if check.p_failed is None else adjusted,
    )


def find_worst(gates: Sequence[Gate]) -> Verdict:
    """Return failed if one failed, passed if all passed, inconclusive otherwise."""
    verdicts = {gate.verdict for gate in gates}
    if "failed" in verdicts:
        return "failed"
    return "passed" if verdicts == {"passed"} else "inconclusive"


def conclude(
    worst_gate: Verdict, calibration: dict[str, Verdict], tier: str, *, whole_classes: bool = False
) -> tuple[Verdict, list[str]]:
    """Return the verdict for the subject's worst gate, given the verdicts on the controls, with the reasons."""
    failed_references = [role for role, verdict in calibration.items() if role != "original" and verdict == "failed"]
    if failed_references:
        roles = ", ".join(failed_references)
        return "error", [f"the audit is not informative: a retrained network fails the same gates ({roles})"]
    if worst_gate == "failed":
        return "failed", []
    original = calibration.get("original")
    if original == "passed":
        return "nothing_to_forget", ["the original passes all gates, too: no trace of these records is detectable"]
    if original == "inconclusive":
        return "inconclusive", ["the original is not shown to fail, so passing the same gates would not be meaningful"]
    if worst_gate == "inconclusive":
        return "inconclusive", ["some gates are not decided: use more records or more references"]
    controls = {"original": original is not None, "references": bool(set(calibration) - {"original"})}
    missing = [name for name, is_given in controls.items() if not is_given]
    if tier == "quick" or missing:
        reason = (
            "the quick tier's attacks are weak" if tier == "quick" else f"no control: no {' and no '.join(missing)}"
        )
        return "passed_screen", [f"only a screen: {reason}"]
    if whole_classes and tier != "audit":
        return "passed_screen", [ONE_ROW]
    return "passed", []
