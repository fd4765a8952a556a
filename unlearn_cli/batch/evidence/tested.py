"""Which gates and attacks a new checkpoint passed, and what was measured: an in-toto Test Result.

Source: https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md.
"""

from typing import Any, Literal

from unlearn_cli.batch.evidence.statement import (
    Artifact,
    Descriptor,
    Facts,
    Statement,
    attack,
    checkpoint,
    file,
    manifest,
    of_subject,
    statement,
)
from unlearn_cli.reporting.report import Report
from unlearn_cli.verdict.judgement import Gate, Verdict

PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"

# What is not decided is a warning, never a pass, and so is a pass of weak attacks alone.
OUTCOMES: dict[Verdict, Literal["passed", "warned", "failed"]] = {
    "passed": "passed",
    "passed_screen": "warned",
    "inconclusive": "warned",
    "nothing_to_forget": "warned",
    "failed": "failed",
    "error": "failed",
}


def tested(facts: Facts, unlearned: Report, attacked: Report | None) -> Statement:
    """Return the statement; its subject is the new checkpoint. Where nothing was tested, the result is WARNED."""
    outcomes = _outcomes(unlearned, attacked)
    passed, warned, failed = (
        [name for name, found in outcomes.items() if found == kind] for kind in ("passed", "warned", "failed")
    )
    reports = [_measured(facts.unlearned, unlearned)]
    if facts.attacked and attacked:
        attack_report = _measured(facts.attacked, attacked)
        attack_report["annotations"]["policy"] = facts.policy
        reports.append(attack_report)
    predicate = {
        "result": "FAILED" if failed else "WARNED" if warned or not passed else "PASSED",
        "configuration": [manifest(unlearned), *reports],
        "passedTests": passed,
        "warnedTests": warned,
        "failedTests": failed,
    }
    return statement(checkpoint(facts.after, unlearned.subject), PREDICATE_TYPE, predicate)


def _outcomes(unlearned: Report, attacked: Report | None) -> dict[str, str]:
    """Return what became of each test: the gates, those of the attacks, and the verdict that these led to."""
    found = {f"gate: {gate.condition}": OUTCOMES[gate.verdict] for gate in of_subject(unlearned)}
    if attacked:
        found |= {f"attack: {gate.condition}": OUTCOMES[gate.verdict] for gate in of_subject(attacked)}
    if attacked and attacked.verdict and attacked.judgement:
        found[f"attack: verdict of the {attacked.judgement.tier} tier"] = OUTCOMES[attacked.verdict]
    return found


def _measured(artifact: Artifact, document: Report) -> Descriptor:
    """Describe a report: how it was made, every value with its n and interval, and what they do not show."""
    annotations = {
        "command": document.command,
        "seed": document.seed,
        "attack": attack(document),
        "verdict": document.verdict,
        "measured": [_judged(gate) for gate in of_subject(document)],
        "caveats": document.caveats,
    }
    return file(artifact) | {"annotations": annotations}


def _judged(gate: Gate) -> dict[str, Any]:
    judged = {"condition": gate.condition, "verdict": gate.verdict, "value": gate.value.value, "limit": gate.limit}
    return gate.value.model_dump(mode="json", exclude_none=True) | judged
