"""The options that commands share, each said once. No torch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from unlearn_cli import attacks, methods, metrics

CheckpointArgument = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="Checkpoint to read: .safetensors, .index.json, a folder with one, or a URL."),
]
ManifestOption = Annotated[Path, typer.Option("--manifest", "-m", help="Manifest: architecture, data, what to forget.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder to write; must not exist.")]
OptionalOutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for report.json and report.html.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file of settings.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One setting; repeatable.")]
OriginalOption = Annotated[Path | None, typer.Option("--original", help="The checkpoint before unlearning.")]
ReferenceOption = Annotated[
    list[Path] | None, typer.Option("--reference", help="A checkpoint retrained without forget; repeatable.")
]
MethodOption = Annotated[
    str, typer.Option("--method", help="How to unlearn.", autocompletion=lambda: list(methods.TABLE.items()))
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", help="Metrics to compute; repeatable.", autocompletion=lambda: list(metrics.TABLE.items())
    ),
]
AttackOption = Annotated[
    list[str] | None,
    typer.Option("--attack", help="Attacks by name; repeatable.", autocompletion=lambda: list(attacks.TABLE.items())),
]
HalfOption = Annotated[
    Literal["selection", "verdict", "all"],
    typer.Option(help="Half of the hold-out: one to choose methods and settings by, one to judge with."),
]
AttemptsOption = Annotated[
    int,
    typer.Option(min=1, help="How many methods or settings were judged before, this one counted; lowers the level."),
]
TierOption = Annotated[
    str | None,
    typer.Option(help="quick: forward passes; standard: beside references; audit: shadow runs. Default: quick."),
]
ShadowsOption = Annotated[Path | None, typer.Option("--shadows", help="Folder of shadow runs, for the audit tier.")]
RequireTierOption = Annotated[str | None, typer.Option(help="Exit 4 when the verdict is of a lower tier.")]
InconclusiveOption = Annotated[
    Literal["fail", "pass"], typer.Option(help="What a verdict that is not decided is for the exit code.")
]
JunitOption = Annotated[Path | None, typer.Option("--junit", help="JUnit XML of the gates, for CI.")]
PicturesOption = Annotated[
    bool, typer.Option("--pictures", help="Write reconstructions into pictures.html: evidence about people.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Go on with an original that is no better than chance; accept over-forgetting.")
]
DuplicatesOption = Annotated[
    bool, typer.Option("--forget-duplicates", help="Forget records of retain that equal a forgotten one, too.")
]

AllowCodeOption = Annotated[
    bool, typer.Option("--allow-code", help="Let the manifest name code of your own.", rich_help_panel="Runtime")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel="Runtime")]
PrecisionOption = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(
        help="Of training: auto is what the device is fast in. bf16: of predictions, too.", rich_help_panel="Runtime"
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Root of all randomness.", rich_help_panel="Runtime")]
BatchSizeOption = Annotated[int, typer.Option(min=2, help="Records a training step.", rich_help_panel="Runtime")]
NprocOption = Annotated[
    int, typer.Option(min=1, help="Processes on this machine: one a GPU.", rich_help_panel="Runtime")
]
CompileOption = Annotated[
    bool, typer.Option("--compile", help="torch.compile: pays from some minutes on.", rich_help_panel="Runtime")
]
ProfileOption = Annotated[
    bool,
    typer.Option(
        "--profile", help="Measure where the time goes; the report has the shares.", rich_help_panel="Runtime"
    ),
]
ShardOption = Annotated[
    bool, typer.Option("--shard", help="Divide the weights among the processes, too.", rich_help_panel="Runtime")
]
MemoryOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="MiB of records to keep on the device, of all splits together; more are streamed.",
        rich_help_panel="Runtime",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON document.", rich_help_panel="Output")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No notes, no bars.", rich_help_panel="Output")]
LogFormatOption = Annotated[
    Literal["text", "json"], typer.Option(help="How notes are written to stderr.", rich_help_panel="Output")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the output.", rich_help_panel="Output")]
