"""The statement about the gates and attacks that a new checkpoint passed, and the values measured: a Test Result.

Source: https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md.
"""

from typing import Any, Literal

from unlearn_cli.batch.evidence.statement import (
    Artifact,
    Descriptor,
    Facts,
    Statement,
    build_statement,
    describe_attack,
    describe_checkpoint,
    describe_file,
    describe_manifest,
    select_subject_gates,
)
from unlearn_cli.reporting.report import Report
from unlearn_cli.verdict.judgement import Gate, Verdict

PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"

# An undecided verdict is a warning, never a pass; so is a pass of only weak attacks.
OUTCOMES: dict[Verdict, Literal["passed", "warned", "failed"]] = {
    "passed": "passed",
    "passed_screen": "warned",
    "inconclusive": "warned",
    "nothing_to_forget": "warned",
    "failed": "failed",
    "error": "failed",
}


def build_test_result(facts: Facts, unlearned: Report, attacked: Report | None) -> Statement:
    """Return the statement, whose subject is the new checkpoint. If nothing was tested, the result is WARNED."""
    outcomes = _collect_outcomes(unlearned, attacked)
    passed, warned, failed = (
        [name for name, outcome in outcomes.items() if outcome == kind] for kind in ("passed", "warned", "failed")
    )
    reports = [_describe_report(facts.unlearned, unlearned)]
    if facts.attacked and attacked:
        attack_report = _describe_report(facts.attacked, attacked)
        attack_report["annotations"]["policy"] = facts.policy
        reports.append(attack_report)
    predicate = {
        "result": "FAILED" if failed else "WARNED" if warned or not passed else "PASSED",
        "configuration": [describe_manifest(unlearned), *reports],
        "passedTests": passed,
        "warnedTests": warned,
        "failedTests": failed,
    }
    return build_statement(describe_checkpoint(facts.after, unlearned.subject), PREDICATE_TYPE, predicate)


def _collect_outcomes(unlearned: Report, attacked: Report | None) -> dict[str, str]:
    """Return the outcome of each test: of the gates, of the attacks' gates, and of the attacks' verdict."""
    outcomes = {f"gate: {gate.condition}": OUTCOMES[gate.verdict] for gate in select_subject_gates(unlearned)}
    if attacked:
        outcomes |= {f"attack: {gate.condition}": OUTCOMES[gate.verdict] for gate in select_subject_gates(attacked)}
    if attacked and attacked.verdict and attacked.judgement:
        outcomes[f"attack: verdict of the {attacked.judgement.tier} tier"] = OUTCOMES[attacked.verdict]
    return outcomes


def _describe_report(artifact: Artifact, document: Report) -> Descriptor:
    """Describe a report: how it was made, every value with its n and interval, and the caveats."""
    annotations = {
        "command": document.command,
        "seed": document.seed,
        "half": document.manifest.half,
        "attack": describe_attack(document),
        "verdict": document.verdict,
        "measured": [_describe_gate(gate) for gate in select_subject_gates(document)],
        "caveats": document.caveats,
    }
    return describe_file(artifact) | {"annotations": annotations}


def _describe_gate(gate: Gate) -> dict[str, Any]:
    judgement = {"condition": gate.condition, "verdict": gate.verdict, "value": gate.value.value, "limit": gate.limit}
    return gate.value.model_dump(mode="json", exclude_none=True) | judgement
