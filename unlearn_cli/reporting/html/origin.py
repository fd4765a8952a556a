"""The commands that led to a result: those in the metadata of the checkpoints, then the run's own."""

import shlex
from dataclasses import dataclass

from unlearn_cli.reporting.report import Checkpoint, Report


@dataclass(frozen=True)
class Command:
    """A command line with its result, and what the line does not show."""

    title: str
    line: str
    notes: list[str]


def list_commands(report: Report) -> list[Command]:
    """Return the commands in their order; a checkpoint without metadata has none."""
    given = [report.original, *report.references]
    if report.command not in ("train", "unlearn"):  # those wrote the subject
        given.append(report.subject)
    commands = [rebuild_command(checkpoint, number, report) for number, checkpoint in enumerate(given) if checkpoint]
    own = [Command("This report", report.run.command_line, [])] if report.run.command_line else []
    return [*filter(None, commands), *own]


def rebuild_command(checkpoint: Checkpoint, number: int, report: Report) -> Command | None:
    """Return the command that wrote a checkpoint, as far as its metadata shows it."""
    lineage = checkpoint.lineage
    if "method" not in lineage:
        return None
    title = title_checkpoint(checkpoint, number, report)
    start = ["--from", "PARENT"] if "parent" in lineage else []
    words = (
        ["train", "--manifest", "MANIFEST", "--split", lineage.get("split", "train"), *start]
        if lineage["method"] == "train"
        else ["unlearn", name_parent(checkpoint, report), "--manifest", "MANIFEST", "--method", lineage["method"]]
    )
    seed = ["--seed", lineage["seed"]] if lineage.get("seed", "0") != "0" else []
    line = shlex.join(["unlearn-cli", *words, *seed, "--out", title.upper().replace(" ", "-")])
    return Command(title, line, list_notes(checkpoint, report))


def title_checkpoint(checkpoint: Checkpoint, number: int, report: Report) -> str:
    if checkpoint.role == "subject":
        return "Unlearned" if checkpoint.lineage.get("method") != "train" else "Network"
    return (
        f"Reference {number}"
        if checkpoint.role == "reference" and len(report.references) > 1
        else checkpoint.role.capitalize()
    )


def name_parent(checkpoint: Checkpoint, report: Report) -> str:
    """Return ORIGINAL if the checkpoint was made from the report's original, else PARENT."""
    is_original = report.original is not None and report.original.tensor_digest == checkpoint.lineage.get("parent")
    return "ORIGINAL" if is_original else "PARENT"


def list_notes(checkpoint: Checkpoint, report: Report) -> list[str]:
    """Return what the command leaves open: settings, and another manifest."""
    lineage, notes = checkpoint.lineage, []
    if "settings" in lineage:
        notes.append(f"settings: digest {lineage['settings'][:12]}; the report.json next to the checkpoint lists them")
    if "held_out" in lineage:
        notes.append(f"held-out records that methods have read: {lineage['held_out']}")
    if "manifest_digest" in lineage and lineage["manifest_digest"] != report.manifest.manifest_digest:
        notes.append("with another manifest")
    return notes
