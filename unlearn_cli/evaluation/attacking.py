"""Running attacks on every checkpoint, and what the verdict is made of."""

from dataclasses import dataclass, field

from unlearn_cli import console
from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
from unlearn_cli.evaluation.pictures import Picture, take_picture
from unlearn_cli.evaluation.planned_attacks import PlannedAttack
from unlearn_cli.evaluation.plugin_inputs import MeasuringContext, make_measuring_inputs
from unlearn_cli.stats.attack_results import summarize_scores
from unlearn_cli.stats.findings import Findings, Scores
from unlearn_cli.stats.results import AttackResult, Finding, Skipped
from unlearn_cli.verdict.tier_checks import Candidate

SHADOW_FACTS = {  # of attacks on the recipe: their pairs of run and record, whose membership was drawn at random
    "members": "records trained on, in shadow runs",
    "non_members": "records never seen, in shadow runs",
    "epsilon_kind": "pipeline_unlearning",
}


@dataclass
class AttackResults:
    """What the attacks found, of all checkpoints."""

    blocks: list[AttackResult] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)  # role -> reconstructions
    scores: dict[str, dict[str, Scores]] = field(default_factory=dict)  # role -> attack


def run_all(checkpoints: CheckpointOutputs, wanted: list[PlannedAttack]) -> AttackResults:
    """Run every attack on every checkpoint that it suits."""
    ran = AttackResults()
    run = checkpoints.session.run
    for role in checkpoints.weights:
        console.say(f"attack: {role}")
        for one in wanted:
            if one.suits(role, len(checkpoints.references())):
                with run.measure_time(f"attack {one.attack.name}"):
                    _run_one(checkpoints, one, role, ran)
            elif role == "subject":
                ran.skipped.append(Skipped(name=one.label, reason="it needs references other than the one judged"))
        picture = take_picture(checkpoints.session, "inversion")
        if picture:
            ran.pictures[role] = picture
    return ran


def _run_one(checkpoints: CheckpointOutputs, one: PlannedAttack, role: str, ran: AttackResults) -> None:
    """Run one attack on one checkpoint, and keep its block, its finding, or both."""
    result = one.attack.call(
        make_measuring_inputs(MeasuringContext(checkpoints, role)), one.settings, (Scores, Findings)
    )
    found = Findings({}, scores=result) if isinstance(result, Scores) else result
    settings, seed = one.settings.model_dump(mode="json"), checkpoints.session.run.seed
    if found.scores is not None:
        block = summarize_scores(found.scores, name=one.label, tier=one.tier, settings=settings, seed=seed)
        facts = SHADOW_FACTS if "shadow_runs" in one.attack.needs else {}
        told = {"role": role, "warnings": [*block.warnings, *found.warnings], **facts}
        ran.blocks.append(block.model_copy(update=told))
        ran.scores.setdefault(role, {})[one.label] = found.scores
    if found.quantities or found.curves:
        ran.findings.append(
            Finding(
                name=one.label,
                role=role,
                tier=one.tier,
                quantities=found.quantities,
                informative=found.informative,
                curves=found.curves,
                settings=settings,
                seed=seed,
                warnings=found.warnings,
            )
        )


def candidate(checkpoints: CheckpointOutputs, ran: AttackResults, role: str) -> Candidate:
    """Collect what the gates read of one checkpoint; a reference is compared with the others."""
    others = checkpoints.references(but=role)
    kind = "reference" if others else "original" if "original" in checkpoints.weights and role != "original" else None
    compared = others or (["original"] if kind else [])
    dataset = checkpoints.session.opened.dataset
    return Candidate(
        role=role,
        outputs=checkpoints.outputs(role),
        comparators=[checkpoints.outputs(other) for other in compared],
        comparator_kind=kind,
        attack_results={result.name: result for result in ran.blocks if result.role == role},
        findings={found.name: found for found in ran.findings if found.role == role},
        control=next((one for one in ran.findings if (one.name, one.role) == ("ulira", "reference")), None),
        scores=ran.scores.get(role, {}),
        whole_classes=dataset.forget_classes is not None,
        task=dataset.task,
    )
