"""`unlearn-cli attack`: can somebody who sees the outputs tell the forgotten records from records never seen?"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from unlearn_cli import attacks, console, ranks
from unlearn_cli.commands.claiming import output_of
from unlearn_cli.commands.plan import split_counts
from unlearn_cli.commands.result import Result
from unlearn_cli.commands.shadow import facts
from unlearn_cli.data.notices import as_data
from unlearn_cli.errors import SelectionError, UserError
from unlearn_cli.evaluation import targets
from unlearn_cli.evaluation.chosen_attacks import Wanted, applicable, choose
from unlearn_cli.evaluation.holdout import Holdout, class_matched_holdout
from unlearn_cli.evaluation.inputs import Opened, find_copies, open_inputs, records_equal
from unlearn_cli.evaluation.lineage import check_references, reference_role, refuse_same_weights
from unlearn_cli.learning.shadows import ShadowRuns, load_runs
from unlearn_cli.plugins import plugin, suitability
from unlearn_cli.plugins.run_options import RunOptions, SettingSources
from unlearn_cli.reporting import tables
from unlearn_cli.reporting.attack_text import attack_text
from unlearn_cli.stats.results import Skipped
from unlearn_cli.storage import files
from unlearn_cli.verdict.advice import advice
from unlearn_cli.verdict.codes import exit_code

if TYPE_CHECKING:
    from unlearn_cli.evaluation.evidence import Evidence
    from unlearn_cli.evaluation.pictures import Picture
    from unlearn_cli.reporting.report import Report

CAPS = {"quick": {"forget": 1000, "retain": 1000}}  # records that forward passes take no more than seconds for
OTHER_CAPS = {"retain": 2000}
CAVEATS = ["An attack that finds nothing shows that this attack finds nothing; a stronger one may find more."]


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    checkpoint: Path
    manifest: Path
    tier: str | None = None
    attacks: tuple[str, ...] = ()
    chosen: SettingSources = field(default_factory=SettingSources)
    original: Path | None = None
    references: tuple[Path, ...] = ()
    shadows: Path | None = None
    out: Path | None = None
    attempts: int = 1
    require_tier: str | None = None
    inconclusive: Literal["fail", "pass"] = "fail"
    junit: Path | None = None
    pictures: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Plan:
    """What is going to be run."""

    wanted: list[Wanted]
    skipped: list[Skipped]
    holdout: Holdout
    caveats: list[str]
    shadows: ShadowRuns | None = None


def run(asked: Asked, common: RunOptions) -> Result:
    """Attack the checkpoint, and the original and references beside it, judge, and write the report if asked for."""
    if asked.dry_run:
        return run_claimed(asked, common)
    with output_of(common.overwrite, asked.out, asked.junit):
        return run_claimed(asked, common)


def run_claimed(asked: Asked, common: RunOptions) -> Result:
    """Do the work, while no other run writes to the same place."""
    tier = asked.tier or (None if asked.attacks else "quick")
    wanted = choose(tier, asked.attacks, asked.chosen)
    check_options(asked, tier)
    checkpoints = (asked.checkpoint, asked.original, *asked.references)
    opened = open_inputs(asked.manifest, common, checkpoints, asked.out, decode=asked.dry_run)
    if asked.junit:
        files.check_output(asked.junit, common.overwrite, "file")
    present = opened.manifest.sections | ({"original"} if asked.original else set())
    present |= {"reference"} if asked.references else set()
    runs = load_runs(asked.shadows, facts(opened)) if asked.shadows else None
    present |= {"shadows"} if runs else set()
    base = plugin.load("attacks", "population")
    suitability.check(base, present, opened.manifest.task, asked.manifest)
    refuse_copies(opened)
    holdout = class_matched_holdout(opened)
    runnable, skipped = applicable(wanted, opened, present, holdout.reason)
    if holdout.reason:
        console.warn(f"{holdout.reason}; attacks that compare with such records are not run")
    caveats = check_references(asked.references, opened)
    planned = Plan(runnable, skipped, holdout, caveats, runs)
    sizes = sizes_of(opened, planned.holdout) if tier else []
    for line in sizes:
        console.say(line)
    if asked.dry_run:
        text, document = split_counts(opened)
        names = [one.label for one in runnable]
        lines = [
            text,
            f"attacks: {', '.join(names)}",
            *(f"not run: {one.name}: {one.reason}" for one in skipped),
            *sizes,
        ]
        return Result(
            "\n".join(lines),
            {
                "splits": document,
                "attacks": names,
                "advice": sizes,
                "skipped": [one.model_dump() for one in skipped],
                "holdout": len(holdout.positions),
                "notices": as_data(opened.dataset.notices),
                "images_decoded": opened.dataset.images_decoded,
            },
        )
    return carry_out(asked, opened, planned, tier)


def sizes_of(opened: Opened, holdout: Holdout) -> list[str]:
    """Return what so many records, and clusters of them, can decide."""
    forget, test = opened.dataset.split("forget"), opened.dataset.split("test")
    of, others = forget.groups, test.groups
    clusters = None
    if of is not None and others is not None:
        clusters = len(np.unique(of)), len(np.unique(others[holdout.positions]))
    return advice(len(forget), len(holdout.positions), clusters=clusters)


def check_options(asked: Asked, tier: str | None) -> None:
    """Refuse options that contradict each other.

    Raises:
        UserError: says which.
    """
    if asked.require_tier and asked.require_tier not in attacks.TIERS:
        raise UserError(f"--require-tier {asked.require_tier}: expected one of {', '.join(attacks.TIERS)}")
    if asked.require_tier and tier is None:
        raise UserError("--require-tier: attacks by name give no verdict; ask for a --tier")
    if tier == "audit" and asked.shadows is None:
        raise UserError("--tier audit: needs --shadows, a folder that 'unlearn-cli shadow' has filled")
    if asked.pictures and asked.out is None:
        raise UserError("--pictures: pictures go into the report's folder; give --out")
    if len(asked.references) != len({path.resolve() for path in asked.references}):
        raise UserError("--reference: a checkpoint is given twice; each must come from a training of its own")


def refuse_copies(opened: Opened) -> None:
    """Refuse a test split that holds a forgotten record: it would be attacked as one never seen.

    Raises:
        SelectionError: says how many; `--force` leaves them out instead.
    """
    copies = find_copies(opened).in_test
    if copies and not opened.common.force:
        raise SelectionError(
            f"{records_equal(copies, 'test')} a forgotten one byte for byte, so it is not never-seen; take such "
            "records out of data.test, or leave them out of the hold-out with --force"
        )


def carry_out(asked: Asked, opened: Opened, planned: Plan, tier: str | None) -> Result:
    console.say(f"attack: {asked.checkpoint.name}; loading torch")
    from unlearn_cli.checkpoints import (
        checkpoint,
    )  # torch comes with it: seconds, only after all that can be checked without
    from unlearn_cli.evaluation import attacking, measuring, session
    from unlearn_cli.evaluation.evidence import Evidence
    from unlearn_cli.reporting import composing

    started = composing.format_now()
    weights = {"subject": checkpoint.load(asked.checkpoint)}
    if asked.original:
        weights["original"] = checkpoint.load(asked.original)
    weights |= {reference_role(i): checkpoint.load(path) for i, path in enumerate(asked.references)}
    refuse_same_weights(weights)
    scale = targets.target_of_checkpoint(opened, weights["subject"].metadata, asked.checkpoint)
    with session.start(opened, target=scale) as current:
        # The subject alone may have forgotten, so it is judged by what it should still know.
        known, path = ("train", asked.original) if asked.original else ("retain", asked.checkpoint)
        first = weights.get("original", weights["subject"])
        current.check_fits(current.load(first), first, path, known)
        positions = None if planned.holdout.reason else planned.holdout.positions
        evidence = Evidence(current, weights, CAPS.get(tier or "", OTHER_CAPS), positions, planned.shadows)
        ran = attacking.run_all(evidence, planned.wanted)
        document = composing.compose_report(
            current,
            "attack",
            started,
            attacks=ran.blocks,
            findings=ran.findings,
            skipped=[*planned.skipped, *ran.skipped],
            confusions=measuring.confusions(evidence),
            subject=composing.describe_checkpoint(weights["subject"], "subject"),
            original=composing.describe_checkpoint(weights["original"], "original") if asked.original else None,
            references=composing.describe_references([weights[role] for role in evidence.references()]),
            inputs=sorted({name for one in planned.wanted for name in one.attack.needs}),
            caveats=[
                *composing.list_caveats(opened, bool(asked.references), None),
                *planned.holdout.caveats,
                *planned.caveats,
                *CAVEATS,
                *current.run.notes,
            ],
        )
        if tier:
            judge_all(document, evidence, ran, asked, tier)
    write(document, asked, opened, ran.pictures)
    code = exit_code(document.verdict, inconclusive=asked.inconclusive, tier=tier, require_tier=asked.require_tier)
    if code:
        tables.warn_of_gates(document)
    return Result(attack_text(document), document.model_dump(mode="json"), code, asked.out)


def judge_all(document: "Report", evidence: "Evidence", ran: Any, asked: Asked, tier: str) -> None:
    """Add gates, verdict and how it came about."""
    from unlearn_cli.evaluation import attacking
    from unlearn_cli.verdict.control import judge

    candidates = {role: attacking.candidate(evidence, ran, role) for role in evidence.weights}
    controls = [candidates[role] for role in candidates if role != "subject"]
    half = evidence.session.opened.common.half
    document.gates, document.verdict, document.judgement = judge(
        candidates["subject"], controls, tier, attempts=asked.attempts, half=half
    )


def write(document: "Report", asked: Asked, opened: Opened, pictures: "dict[str, Picture]") -> None:
    """Write the report's folder and the file for CI, if they are asked for."""
    from unlearn_cli.reporting import junit, writing

    if not ranks.is_first():
        return
    if asked.out is not None:
        with files.output_folder(asked.out, overwrite=opened.common.overwrite) as folder:
            writing.write_report(document, folder, pages=opened.common.pages)
            if asked.pictures:
                writing.write_pictures(document, folder, pictures)
    if asked.junit is not None:
        with files.output_file(asked.junit, replace=opened.common.overwrite) as path:
            path.write_text(junit.junit(document), encoding="utf-8")
