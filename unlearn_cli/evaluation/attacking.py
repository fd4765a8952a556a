"""Runs attacks on every checkpoint, and collects the inputs of the verdict."""

from dataclasses import dataclass, field

from unlearn_cli import console
from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
from unlearn_cli.evaluation.pictures import Picture, take_picture
from unlearn_cli.evaluation.planned_attacks import PlannedAttack
from unlearn_cli.evaluation.plugin_inputs import MeasuringContext, make_measuring_inputs
from unlearn_cli.schema.literals import name_role
from unlearn_cli.stats.attack_results import summarize_scores
from unlearn_cli.stats.findings import Findings, Scores
from unlearn_cli.stats.margins import AUC_MARGIN
from unlearn_cli.stats.results import AttackResult, Finding, Skipped
from unlearn_cli.verdict.tier_checks import Candidate

SHADOW_FACTS = {  # for attacks on the recipe, whose scores belong to pairs of run and record with drawn membership
    "members": "records trained on, in shadow runs",
    "non_members": "records never seen, in shadow runs",
    "epsilon_kind": "pipeline_unlearning",
}
RETRAINED_RUNS = "retrained_shadow_runs"  # the role of results on the shadow runs' retrained networks


@dataclass
class AttackResults:
    """The results of the attacks on all checkpoints."""

    blocks: list[AttackResult] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)  # role -> reconstructions
    scores: dict[str, dict[str, Scores]] = field(default_factory=dict)  # role -> attack

    def findings_of(self, role: str) -> dict[str, Finding]:
        """Return attack -> finding; the first reference is also judged by those on the retrained shadow runs."""
        roles = (role, RETRAINED_RUNS) if role == "reference" else (role,)
        return {finding.name: finding for finding in self.findings if finding.role in roles}


def run_all(
    checkpoints: CheckpointOutputs, wanted: list[PlannedAttack], auc_margin: float = AUC_MARGIN
) -> AttackResults:
    """Run every attack on every checkpoint for which it is defined; `auc_margin` is that of the gates, for warnings."""
    results = AttackResults()
    run = checkpoints.session.run
    for role in checkpoints.weights:
        console.say(f"attack: {name_role(role)}")
        for planned in wanted:
            if planned.suits(role, len(checkpoints.references())):
                with run.measure_time(f"attack {planned.attack.name}"):
                    run_one(checkpoints, planned, role, results, auc_margin)
            elif role == "subject":
                results.skipped.append(
                    Skipped(name=planned.label, reason="it needs other references than the judged one")
                )
        picture = take_picture(checkpoints.session, "inversion")
        if picture:
            results.pictures[role] = picture
    return results


def run_one(
    checkpoints: CheckpointOutputs,
    planned: PlannedAttack,
    role: str,
    results: AttackResults,
    auc_margin: float = AUC_MARGIN,
) -> None:
    """Run one attack on one checkpoint, and store its block, its finding, or both."""
    result = planned.attack.call(
        make_measuring_inputs(MeasuringContext(checkpoints, role)), planned.settings, (Scores, Findings)
    )
    findings = Findings({}, scores=result) if isinstance(result, Scores) else result
    shown_role = RETRAINED_RUNS if planned.is_on_shadow_runs and role == "reference" else role
    settings, seed = planned.settings.model_dump(mode="json"), checkpoints.session.run.seed
    if findings.scores is not None:
        block = summarize_scores(
            findings.scores,
            name=planned.label,
            tier=planned.tier,
            settings=settings,
            seed=seed,
            auc_margin=auc_margin,
        )
        facts = SHADOW_FACTS if "shadow_runs" in planned.attack.needs else {}
        changes = {"role": shown_role, "warnings": [*block.warnings, *findings.warnings], **facts}
        results.blocks.append(block.model_copy(update=changes))
        results.scores.setdefault(role, {})[planned.label] = findings.scores
    if findings.quantities or findings.curves:
        results.findings.append(
            Finding(
                name=planned.label,
                role=shown_role,
                tier=planned.tier,
                quantities=findings.quantities,
                informative=findings.informative,
                curves=findings.curves,
                distributions=findings.distributions,
                settings=settings,
                seed=seed,
                warnings=findings.warnings,
            )
        )


def collect_candidate(
    checkpoints: CheckpointOutputs, results: AttackResults, role: str, *, holdout_is_matched: bool = True
) -> Candidate:
    """Collect the inputs of the gates for one checkpoint; a reference is compared with the other references."""
    others = checkpoints.references(but=role)
    kind = "reference" if others else "original" if "original" in checkpoints.weights and role != "original" else None
    compared = others or (["original"] if kind else [])
    dataset = checkpoints.session.opened.dataset
    return Candidate(
        role=role,
        outputs=checkpoints.outputs(role),
        comparators=[checkpoints.outputs(other) for other in compared],
        comparator_kind=kind,
        attack_results={result.name: result for result in results.blocks if result.role == role},
        findings=results.findings_of(role),
        comparator_findings=[results.findings_of(other) for other in compared],
        control=next(
            (finding for finding in results.findings if (finding.name, finding.role) == ("ulira", RETRAINED_RUNS)), None
        ),
        scores=results.scores.get(role, {}),
        whole_classes=dataset.forget_classes is not None,
        task=dataset.task,
        holdout_is_matched=holdout_is_matched,
    )
