"""`unlearn-cli attack`: try to distinguish forgotten records from never-seen ones by the network's outputs."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from unlearn_cli import console, ranks
from unlearn_cli.commands.attack_options import AttackOptions, check_options
from unlearn_cli.commands.attack_plan import format_plan, plan_attack
from unlearn_cli.commands.claiming import claim_output
from unlearn_cli.commands.command_text import format_command_line
from unlearn_cli.commands.manifest_inputs import open_manifest
from unlearn_cli.commands.plan import split_counts
from unlearn_cli.commands.report_result import append_summary, check_destinations, check_summary, export_report
from unlearn_cli.commands.result import Result
from unlearn_cli.commands.shadow import describe_data
from unlearn_cli.data.notices import describe_notices
from unlearn_cli.errors import SelectionError
from unlearn_cli.evaluation.holdout import Holdout, choose_holdout
from unlearn_cli.evaluation.lineage import check_references, name_reference, refuse_same_weights
from unlearn_cli.evaluation.planned_attacks import PlannedAttack, choose, divide_applicable
from unlearn_cli.evaluation.run_inputs import RunInputs, find_copies, records_equal
from unlearn_cli.learning.shadows import ShadowRuns, load_runs
from unlearn_cli.plugins import plugin, suitability
from unlearn_cli.plugins.names import read_manifest
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.reporting import tables
from unlearn_cli.reporting.timestamps import format_now
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.stats.results import Skipped
from unlearn_cli.storage import atomic_files
from unlearn_cli.verdict.exit_codes import exit_code
from unlearn_cli.verdict.planning import Plan, describe_plan, list_needs

if TYPE_CHECKING:
    from unlearn_cli.checkpoints.checkpoint import Checkpoint
    from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
    from unlearn_cli.evaluation.pictures import Picture
    from unlearn_cli.reporting.report import Report

CAPS = {"quick": {"forget": 1000, "retain": 1000}}  # records per split: forward passes take seconds
OTHER_CAPS = {"retain": 2000}
CAVEATS = ["An attack that finds nothing shows that this attack finds nothing; a stronger one may find more."]


@dataclass(frozen=True)
class AttackPlan:
    """The attacks to run, the skipped ones, and the hold-out to compare with."""

    wanted: list[PlannedAttack]
    skipped: list[Skipped]
    holdout: Holdout
    caveats: list[str]
    shadows: ShadowRuns | None = None
    advice: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)  # the part of the advice on gates that may stay undecided


def run(options: AttackOptions, run_options: RunOptions) -> Result:
    """Attack the checkpoint, the original and the references, compute the verdict, and write the report to `out`."""
    outputs = () if options.dry_run or options.plan else (options.out, options.junit)
    with claim_output(run_options.overwrite, *outputs):
        return run_with_claim(options, run_options)


def run_with_claim(options: AttackOptions, run_options: RunOptions) -> Result:
    """Run `attack` while this process holds the claim on its outputs."""
    tier = options.tier or (None if options.attacks else "quick")
    wanted = choose(tier, options.attacks, options.settings, allow_code=run_options.allow_code)
    check_options(options, tier)
    check_summary(options.summary)
    check_destinations(options.log_to)
    manifest = read_manifest(options.manifest, run_options.manifest_folder)
    opened = open_attacked(options, run_options, manifest)
    planned = plan_attacks(options, opened, manifest.sections, wanted)
    tier_plan = plan_tier(options, opened, planned, tier) if tier else None
    if tier_plan is not None and options.plan:
        return Result(format_plan(tier_plan), tier_plan.model_dump(mode="json"))
    if tier_plan is not None:
        planned = replace(planned, advice=describe_plan(tier_plan), needs=list_needs(tier_plan))
    for line in planned.advice:
        console.say(line)
    console.say(f"attack: {options.checkpoint.name}; loading torch")
    if options.dry_run:
        return describe_dry_run(options, opened, planned, tier_plan)
    return carry_out(options, opened, planned, tier)


def open_attacked(options: AttackOptions, run_options: RunOptions, manifest: Manifest) -> RunInputs:
    """Open the data, of which attacks read the verdict half, and check the outputs that the options name."""
    opened = open_manifest(
        manifest,
        options.manifest,
        run_options,
        (options.checkpoint, options.original, *options.references),
        options.out,
        decode=options.dry_run,
        default_half="verdict",
    )
    if options.junit:
        atomic_files.check_output(options.junit, run_options.overwrite, "file")
    return opened


def plan_attacks(
    options: AttackOptions, opened: RunInputs, sections: set[str], wanted: list[PlannedAttack]
) -> AttackPlan:
    """Return which attacks can run on these data, and on which hold-out; warn of those that cannot."""
    runs = load_runs(options.shadows, describe_data(opened)) if options.shadows else None
    given = {"original": options.original, "reference": options.references, "shadows": runs}
    present = sections | {name for name, value in given.items() if value}
    suitability.check(plugin.load("attacks", "population"), present, opened.dataset.task, options.manifest)
    refuse_copies(opened)
    holdout = choose_holdout(opened)
    runnable, skipped = divide_applicable(wanted, opened, present, holdout.reason)
    if holdout.reason:
        console.warn(f"{holdout.reason}; attacks that compare with such records are not run")
    return AttackPlan(runnable, skipped, holdout, check_references(options.references, opened), runs)


def plan_tier(options: AttackOptions, opened: RunInputs, planned: AttackPlan, tier: str) -> Plan:
    """Return what the tier can decide with these data and checkpoints."""
    return plan_attack(
        opened,
        planned.holdout,
        tier,
        caps=CAPS.get(tier, OTHER_CAPS),
        original=options.original,
        references=options.references,
        num_shadow_runs=len(planned.shadows.members) if planned.shadows else 0,
        attempts=options.attempts,
        auc_margin=options.margin,
    )


def describe_dry_run(options: AttackOptions, opened: RunInputs, planned: AttackPlan, tier_plan: Plan | None) -> Result:
    """Check the checkpoints against the network, and describe the run."""
    from unlearn_cli.commands.network_check import start_checked

    with start_checked(opened, load_by_role(options, opened)):
        pass
    text, document = split_counts(opened)
    names = [attack.label for attack in planned.wanted]
    lines = [
        text,
        f"attacks: {', '.join(names)}",
        *(f"not run: {attack.name}: {attack.reason}" for attack in planned.skipped),
        *([format_plan(tier_plan)] if tier_plan else []),
    ]
    return Result(
        "\n".join(lines),
        {
            "splits": document,
            "attacks": names,
            "advice": planned.advice,
            "plan": tier_plan.model_dump(mode="json") if tier_plan else None,
            "skipped": [attack.model_dump() for attack in planned.skipped],
            "holdout": len(planned.holdout.positions),
            "notices": describe_notices(opened.dataset.notices),
            "images_decoded": opened.dataset.images_decoded,
        },
    )


def refuse_copies(opened: RunInputs) -> None:
    """Refuse a test split that contains copies of forgotten records: they would count as never-seen.

    Raises:
        SelectionError: with their number; `--force` excludes them from the hold-out instead.
    """
    copies = find_copies(opened).in_test
    if copies and not opened.common.force:
        raise SelectionError(
            f"{records_equal(copies, 'test')} a forgotten one byte for byte, and can therefore not stand for "
            "never-seen records; remove such records from data.test, or exclude them from the hold-out with --force"
        )


def load_by_role(options: AttackOptions, opened: RunInputs) -> "dict[str, Checkpoint]":
    """Load the checkpoints by role; each must fit the manifest's network, and no two may have equal weights."""
    from unlearn_cli.commands.network_check import load_checkpoints  # imports torch: seconds

    original = {"original": options.original} if options.original else {}
    references = {name_reference(number): path for number, path in enumerate(options.references)}
    checkpoints = load_checkpoints(opened, {"subject": options.checkpoint, **original, **references})
    refuse_same_weights(checkpoints)
    return checkpoints


def carry_out(options: AttackOptions, opened: RunInputs, planned: AttackPlan, tier: str | None) -> Result:
    """Run the attacks on all checkpoints, and write the report."""
    from unlearn_cli.commands.network_check import start_checked
    from unlearn_cli.evaluation import attacking
    from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
    from unlearn_cli.evaluation.mask import add_mask

    started = format_now()
    weights = load_by_role(options, opened)
    with start_checked(opened, weights, options.out) as current:
        positions = None if planned.holdout.reason else planned.holdout.positions
        checkpoints = CheckpointOutputs(current, weights, CAPS.get(tier or "", OTHER_CAPS), positions, planned.shadows)
        no_mask = add_mask(checkpoints) if tier in ("standard", "audit") else None
        ran = attacking.run_all(checkpoints, planned.wanted, options.margin)
        document = compose_report(options, planned, checkpoints, ran, started, no_mask)
        if tier:
            add_verdict(document, checkpoints, ran, options, tier, planned)
    return publish(document, options, opened, ran.pictures, tier)


def compose_report(
    options: AttackOptions,
    planned: AttackPlan,
    checkpoints: "CheckpointOutputs",
    ran: Any,
    started: str,
    no_mask: str | None,
) -> "Report":
    """Return the report without a verdict; `no_mask` says why the control `mask` is missing."""
    from unlearn_cli.evaluation import budgets, measuring
    from unlearn_cli.reporting import composing

    current, weights = checkpoints.session, checkpoints.weights
    references = [weights[role] for role in checkpoints.references()]
    attacks = [planned_attack.attack for planned_attack in planned.wanted]
    return composing.compose_report(
        current,
        "attack",
        started,
        command_line=format_command_line("attack", options, current.opened.common),
        attacks=ran.blocks,
        findings=ran.findings,
        skipped=[*planned.skipped, *ran.skipped],
        confusions=measuring.count_confusions(checkpoints),
        labels=measuring.score_labels(checkpoints, weights),
        code=composing.describe_code(attacks),
        subject=composing.describe_checkpoint(weights["subject"], "subject"),
        original=composing.describe_checkpoint(weights["original"], "original") if options.original else None,
        references=composing.describe_references(references),
        inputs=sorted({name for attack in attacks for name in attack.needs}),
        caveats=[
            *composing.list_caveats(current.opened, bool(options.references), None),
            *planned.holdout.caveats,
            *planned.caveats,
            *budgets.describe_excess(weights["subject"].metadata, [reference.metadata for reference in references]),
            *CAVEATS,
            *([no_mask] if no_mask else []),
            *current.run.notes,
        ],
    )


def publish(
    document: "Report", options: AttackOptions, opened: RunInputs, pictures: "dict[str, Picture]", tier: str | None
) -> Result:
    """Write and show the report, and return it with the exit code of its verdict."""
    from unlearn_cli.reporting.terminal import format_report

    write(document, options, opened, pictures)
    append_summary(document, options.summary)
    export_report(document, options.log_to)
    code = exit_code(document.verdict, inconclusive=options.inconclusive, tier=tier, require_tier=options.require_tier)
    if code:
        tables.warn_about_gates(document)
    text = format_report(document, options.out, pages=opened.common.pages)
    return Result(text, document.model_dump(mode="json"), code, options.out)


def add_verdict(
    document: "Report",
    checkpoints: "CheckpointOutputs",
    ran: Any,
    options: AttackOptions,
    tier: str,
    planned: AttackPlan,
) -> None:
    """Add the gates, the verdict and its reasons to the report."""
    from unlearn_cli.evaluation import attacking
    from unlearn_cli.verdict.judging import judge

    candidates = {
        role: attacking.collect_candidate(checkpoints, ran, role, holdout_is_matched=planned.holdout.is_matched)
        for role in checkpoints.weights
    }
    controls = [candidates[role] for role in candidates if role != "subject"]
    half = checkpoints.session.opened.reported.half
    document.gates, document.verdict, judgement = judge(
        candidates["subject"], controls, tier, attempts=options.attempts, half=half, auc_margin=options.margin
    )
    changes = {"training_seeds": count_training_seeds(document), "advice": planned.needs}
    document.judgement = judgement.model_copy(update=changes)


def count_training_seeds(document: "Report") -> int | None:
    """Return the number of different seeds of the references; None without references, or if a seed is unknown."""
    seeds = {reference.lineage.get("seed") for reference in document.references}
    return len(seeds) if seeds and None not in seeds else None


def write(document: "Report", options: AttackOptions, opened: RunInputs, pictures: "dict[str, Picture]") -> None:
    """Write the report's folder and the JUnit file, if the options name them."""
    from unlearn_cli.reporting import junit, writing

    if not ranks.is_first():
        return
    if options.out is not None:
        with atomic_files.output_folder(options.out, overwrite=opened.common.overwrite) as folder:
            writing.write_report(document, folder, pages=opened.common.pages)
            if options.pictures:
                writing.write_pictures(document, folder, pictures)
    if options.junit is not None:
        with atomic_files.output_file(options.junit, replace=opened.common.overwrite) as path:
            path.write_text(junit.format_junit(document), encoding="utf-8")
