"""The arguments and options that several commands share, except those of `RunOptions`. No torch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from unlearn_cli.plugins import discovery
from unlearn_cli.stats.margins import LEAST_AUC_MARGIN, MOST_AUC_MARGIN


def list_summaries(kind: str) -> list[tuple[str, str]]:
    return list(discovery.summaries(kind).items())


def list_all_summaries() -> list[tuple[str, str]]:
    return [pair for kind in discovery.KINDS for pair in list_summaries(kind)]


def complete_setting(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Complete the names of settings after `--set`, for the plug-ins on the command line so far."""
    from unlearn_cli.commands.catalogue import list_settings

    command, given = ctx.command.name, ctx.params
    if command in ("train", "noise"):
        names = list_settings("command", command)
    elif command == "evaluate":
        requested = given.get("metric") or discovery.entries("metrics")
        names = sorted({pair for metric in requested for pair in list_settings("metrics", metric)})
    elif command == "attack":
        requested = given.get("name") or discovery.entries("attacks")
        names = sorted({pair for attack in requested for pair in list_settings("attacks", attack)})
    else:
        names = list_settings("methods", given.get("method") or "unsir")
    return [(f"{name}=", text) for name, text in names if name.startswith(incomplete)]


Checkpoint = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        show_default=False,
        help="Checkpoint to read: .safetensors, .index.json, a folder with one, or a URL.",
    ),
]
Manifest = Annotated[
    Path,
    typer.Option("--manifest", "-m", metavar="data.yaml", help="Manifest: architecture, data, what to forget."),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write; must not exist.")]
OptionalOut = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for report.json and report.html.")
]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE.yaml", help="YAML file of settings.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="One setting; can be repeated. 'unlearn-cli show NAME' lists them.",
        autocompletion=complete_setting,
    ),
]
Original = Annotated[Path | None, typer.Option("--original", metavar="MODEL", help="The checkpoint before unlearning.")]
References = Annotated[
    list[Path] | None,
    typer.Option(
        "--reference",
        metavar="MODEL",
        help="Checkpoint that was retrained without the forget split; can be repeated.",
    ),
]
Method = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="NAME",
        help="Name of a method, or your own file.py:function.",
        autocompletion=lambda: list_summaries("methods"),
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="Metric to compute, or file.py:function; can be repeated.",
        autocompletion=lambda: list_summaries("metrics"),
    ),
]
Attacks = Annotated[
    list[str] | None,
    typer.Option(
        "--attack",
        metavar="NAME",
        help="Attack to run, or file.py:function; can be repeated.",
        autocompletion=lambda: list_summaries("attacks"),
    ),
]
Attempts = Annotated[
    int,
    typer.Option(
        metavar="N", min=1, help="Number of methods or settings judged so far, including this one; lowers the level."
    ),
]
Margin = Annotated[
    float,
    typer.Option(
        metavar="X",
        min=LEAST_AUC_MARGIN,
        max=MOST_AUC_MARGIN,
        help="Largest distance of an AUC from 1/2 that counts as equal; a pass with more than 0.05 is only a screen.",
    ),
]
Tier = Annotated[
    str | None,
    typer.Option(
        metavar="TIER",
        help="quick: forward passes; standard: also references; audit: also shadow runs. Default: quick.",
        autocompletion=lambda: list(discovery.TIERS),
    ),
]
Shadows = Annotated[
    Path | None, typer.Option("--shadows", metavar="DIR", help="Folder of shadow runs, for the audit tier.")
]
RequireTier = Annotated[
    str | None, typer.Option(metavar="TIER", help="Exit with code 4 when the verdict is of a lower tier.")
]
Inconclusive = Annotated[
    Literal["fail", "pass"], typer.Option(help="fail: an undecided verdict exits with code 4; pass: with 0.")
]
Requirements = Annotated[
    list[str] | None,
    typer.Option(
        "--require", metavar="CONDITION", help="Gate, such as 'test_forget.accuracy <= 0.02'; can be repeated."
    ),
]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE.xml", help="JUnit XML of the gates, for CI.")]
Summary = Annotated[
    Path | None,
    typer.Option("--summary", metavar="FILE.md", help="Append a summary in Markdown, such as $GITHUB_STEP_SUMMARY."),
]
LogTo = Annotated[
    list[str] | None,
    typer.Option(
        "--log-to",
        metavar="TRACKER:PLACE",
        help="Also export the numbers: tensorboard:DIR, mlflow:URI or wandb:PROJECT; can be repeated.",
    ),
]
Pictures = Annotated[
    bool, typer.Option("--pictures", help="Write reconstructed images to pictures.html; they may show persons.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, show what would be done, and stop.")]
Plan = Annotated[bool, typer.Option("--plan", help="Show which gates the records and references can decide, and stop.")]
Nproc = Annotated[
    int, typer.Option(metavar="N", min=1, help="Processes on this machine: one per GPU.", rich_help_panel="Runtime")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.", rich_help_panel="Output")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.", rich_help_panel="Output")]
LogFormat = Annotated[
    Literal["text", "json", "github"],
    typer.Option(
        "--log-format",
        "--format",
        help="Format of the notes on stderr; github: warnings and errors are annotations of the job.",
        rich_help_panel="Output",
    ),
]
