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
from unlearn_cli.stats.margins import AUC_MARGIN, LEVEL, NEARER_LIMIT
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.verdict.checks import Check
from unlearn_cli.verdict.judgement import UNDECIDED, Gate, Judgement, Verdict
from unlearn_cli.verdict.reference_checks import NEARER
from unlearn_cli.verdict.tier_checks import Candidate, list_checks

MASK = "mask"
NO_MASK = "only a screen: no control 'mask' (an edit of one row of the last layer) shows what these gates can detect"
NEARER_ONLY = (
    "only a screen: some gates are not decided, but the outputs on forget are nearer to retraining than to the original"
)
ONE_ROW = (
    "only a screen: an edit of one row of the last layer, without any unlearning (the control 'mask'), is not shown to "
    "fail these gates"
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
    num_references = sum(is_reference(control.role) for control in controls)
    for control in controls:
        # each additional reference is another chance to fail falsely
        num_chances = num_references if is_reference(control.role) else 1
        control_gates = judge_checks(control, tier, level=level, attempts=1, num_chances=num_chances)
        calibration[control.role] = find_worst(_select_decisive(control_gates))
        gates += control_gates
    if MASK in calibration:
        gates = _mark_passed_by_mask(gates)
    own = [gate for gate in gates if gate.role == subject.role]
    verdict, reasons = conclude(
        find_worst(own), calibration, tier, whole_classes=subject.whole_classes, is_nearer=_is_nearer(own)
    )
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


def is_reference(role: str) -> bool:
    return role.startswith("reference")


def _mark_passed_by_mask(gates: Sequence[Gate]) -> list[Gate]:
    """Mark every gate with whether the control `mask` passes the same gate."""
    passed = {gate.condition for gate in gates if gate.role == MASK and gate.verdict == "passed"}
    return [gate.model_copy(update={"passed_by_mask": gate.condition in passed}) for gate in gates]


def count_clusters(outputs: Mapping[str, Outputs]) -> dict[str, int] | None:
    """Return the number of persons or recordings in each split; None if records are independent."""
    groups = {name: of_split.groups for name, of_split in outputs.items()}
    counts = {name: len(np.unique(of)) for name, of in groups.items() if of is not None}
    return counts or None


def judge_checks(candidate: Candidate, tier: str, *, level: float, attempts: int, num_chances: int = 1) -> list[Gate]:
    """Judge every check of a candidate; the level to pass is divided by `attempts`, that to fail by `num_chances`."""
    checks = list_checks(candidate, tier)
    if candidate.role == MASK:
        checks = [_judge_only_this_network(check) for check in checks]
    adjusted = holm([1.0 if check.p_failed is None else check.p_failed for check in checks])
    levels = level / attempts, level / num_chances
    return [_judge_check(check, p, candidate.role, *levels) for check, p in zip(checks, adjusted, strict=True)]


def _judge_only_this_network(check: Check) -> Check:
    """Return the check without the variation of one more reference: the mask is known not to be a retrained network."""
    if check.p_passed is None or check.p_failed is None or not check.required:
        return check
    return replace(check, p_failed=min(check.p_failed, 1 - check.p_passed))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down procedure (1979), which controls the family-wise error rate."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _judge_check(check: Check, adjusted: float, role: str, pass_level: float, fail_level: float) -> Gate:
    verdict: Verdict = "inconclusive"
    if check.p_passed is not None and check.p_passed <= pass_level:
        verdict = "passed"
    elif check.p_failed is not None and adjusted <= fail_level:
        verdict = "failed"
    return Gate(
        condition=check.claim,
        verdict=verdict,
        value=check.value,
        limit=check.limit,
        reason=check.reason,
        role=role,
        margin=check.margin,
        required=check.required,
        of_utility=check.of_utility,
        p_passed=check.p_passed,
        p_failed=None if check.p_failed is None else adjusted,
    )


def _select_decisive(gates: Sequence[Gate]) -> Sequence[Gate]:
    """Return the gates that a control's verdict depends on.

    The original and the mask must fail a gate on forgetting: if they predict kept records worse than the references,
    that does not show that the gates detect remaining knowledge.
    """
    return [gate for gate in gates if is_reference(gate.role) or not gate.of_utility]


def _is_nearer(gates: Sequence[Gate]) -> bool:
    """Return whether the whole interval of the relative distance is nearer to retraining than the limit."""
    gate = next((gate for gate in gates if gate.condition == NEARER), None)
    return gate is not None and gate.verdict == "passed" and (gate.value.high or 0.0) <= NEARER_LIMIT


def find_worst(gates: Sequence[Gate]) -> Verdict:
    """Return failed if one failed, passed if all that are required passed, inconclusive otherwise."""
    verdicts = {gate.verdict for gate in gates if gate.required or gate.verdict == "failed"}
    if "failed" in verdicts:
        return "failed"
    return "passed" if verdicts == {"passed"} else "inconclusive"


def conclude(
    worst_gate: Verdict,
    calibration: dict[str, Verdict],
    tier: str,
    *,
    whole_classes: bool = False,
    is_nearer: bool = False,
) -> tuple[Verdict, list[str]]:
    """Return the verdict for the subject's worst gate, given the verdicts on the controls, with the reasons.

    `is_nearer`: the outputs on forget are shown to be much nearer to those of retraining than to the original's.
    """
    failed_references = [role for role, verdict in calibration.items() if is_reference(role) and verdict == "failed"]
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
        if is_nearer and original == "failed" and not (whole_classes and calibration.get(MASK) != "failed"):
            return "passed_screen", [NEARER_ONLY]
        return "inconclusive", [f"{UNDECIDED}: use more records or more references"]
    controls = {"original": original is not None, "references": any(map(is_reference, calibration))}
    missing = [name for name, is_given in controls.items() if not is_given]
    if tier == "quick" or missing:
        reason = (
            "the quick tier's attacks are weak" if tier == "quick" else f"no control: no {' and no '.join(missing)}"
        )
        return "passed_screen", [f"only a screen: {reason}"]
    if whole_classes and calibration.get(MASK) != "failed":
        return "passed_screen", [ONE_ROW if MASK in calibration else NO_MASK]
    return "passed", []
