"""The commands about files and about what there is to choose from, and the demo: parse, one call, print. No torch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from unlearn_cli import console
from unlearn_cli.cli import options
from unlearn_cli.cli.command import add_command, set_up_console
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import UserError
from unlearn_cli.plugins.run_options import RunOptions

other_app = typer.Typer()


@add_command(
    other_app,
    run_options=("device", "overwrite", "allow_code"),
    examples=(
        "unlearn-cli init model.safetensors images --out data.yaml",
        "unlearn-cli init model.safetensors records.csv --label outcome --out data.yaml",
    ),
)
def init(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="Checkpoint: .safetensors, a format that 'convert' reads, a folder with one, or a URL.",
        ),
    ],
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", show_default=False, help="Folder of images or files, or a file of records."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="data.yaml", help="Manifest to write; must not exist.")
    ] = Path("data.yaml"),
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Column or array of labels; repeat it for one column per label. Default: guessed."
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Architecture, as in the manifest. Default: one that the tensors fit."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take guesses without questions.")] = False,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="Other formats: the set of weights, as of convert.")
    ] = None,
    ema: Annotated[bool, typer.Option("--ema", help="Other formats: take the averaged weights.")] = False,
    *,
    run_options: RunOptions,
) -> Result:
    """Draft a manifest for your checkpoint and your data, and check it."""
    from unlearn_cli.commands.init import InitOptions, run

    return run(InitOptions(checkpoint, data, out, tuple(label or ()), architecture, yes, key, ema), run_options)


@add_command(other_app, run_options=("device", "seed", "overwrite"), examples=("unlearn-cli demo --out unlearn-demo",))
def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for all files of the demo.")] = Path(
        "unlearn-demo"
    ),
    *,
    run_options: RunOptions,
) -> Result:
    """Run every step on handwritten digits, in a minute."""
    from unlearn_cli.commands import demo as command

    console_options = console.settings.json, console.settings.quiet, console.settings.log_format

    def execute(arguments: list[str]) -> int:
        return context.find_root().command(arguments, standalone_mode=False) or 0

    result = command.run(out, run_options, execute)
    set_up_console(*console_options)  # the commands of the demo have set up their own
    return result


@add_command(
    other_app,
    run_options=("allow_code", "cache", "overwrite"),
    examples=(
        "unlearn-cli convert checkpoint.pth model.safetensors",
        "unlearn-cli convert last.ckpt --list",
        "unlearn-cli convert last.ckpt model.safetensors --key state_dict_ema --prefix model. --rename linear=fc",
    ),
)
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="Checkpoint: .pth, .pt, .ckpt, .bin, .tar, .safetensors, an index of shards, a folder of Hugging Face "
            "or torch.distributed.checkpoint, or a URL.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Argument(metavar="MODEL.safetensors", show_default=False, help="Checkpoint to write.")
    ] = None,
    list_contents: Annotated[
        bool, typer.Option("--list", help="Only list what the file contains: sets of weights, and other things.")
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="KEY",
            help="The set of weights to take: keys in the file joined with dots; . for all sets as one.",
        ),
    ] = None,
    ema: Annotated[bool, typer.Option("--ema", help="Take the averaged weights.")] = False,
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix", metavar="PREFIX", help="Take only names that start with it, such as model., without it."
        ),
    ] = "",
    rename: Annotated[
        list[str] | None,
        typer.Option(
            "--rename", metavar="OLD=NEW", help="Replace a part of all names; can be repeated, in this order."
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest", "-m", metavar="data.yaml", help="Check that the result fits this manifest's network."
        ),
    ] = None,
    *,
    run_options: RunOptions,
) -> Result:
    """Convert a checkpoint to safetensors, without running code from it."""
    from unlearn_cli.commands import convert as command

    if list_contents == (out is not None):
        raise UserError("convert: name the checkpoint to write, or use --list to see what the file contains")
    options = command.ConvertOptions(source, out, key, ema, prefix, tuple(rename or ()), manifest)
    return command.run(options, run_options)


@add_command(
    other_app,
    run_options=("allow_code",),
    examples=(
        "unlearn-cli inspect last.ckpt",
        "unlearn-cli inspect images",
        "unlearn-cli inspect data.yaml --json",
    ),
)
def inspect(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", show_default=False, help="Checkpoint, manifest, or folder or file of data."),
    ],
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Data: column or array of labels; can be repeated. Default: guessed."),
    ] = None,
    library: Annotated[
        Literal["timm"] | None,
        typer.Option(
            "--try", help="Checkpoint: also compare the networks of this library, which must be installed (a minute)."
        ),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show long tables in full.")] = False,
    *,
    run_options: RunOptions,
) -> Result:
    """Describe a checkpoint, data or a manifest: contents, problems, and whether they fit."""
    from unlearn_cli.commands import inspect as command
    from unlearn_cli.commands.inspect_options import InspectOptions

    labels, others = tuple(label or ()), (library,) if library else ()
    return command.run(InspectOptions(path, show_all, labels, others, run_options.allow_code))


@add_command(other_app, examples=("unlearn-cli clean results", "unlearn-cli clean results --remove"))
def clean(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that runs have written in.")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove what is listed, unless a run is using it.")] = False,
) -> Result:
    """List what runs have left: saved states, half-written files, predictions, facts about images."""
    from unlearn_cli.commands import clean as command

    return command.run(folder, remove=remove)


@add_command(other_app, examples=("unlearn-cli schema report > report.schema.json",))
def schema(
    of: Annotated[
        Literal["manifest", "report", "deletion", "request"],
        typer.Argument(metavar="FILE", help="manifest, report, deletion or request."),
    ] = "manifest",
) -> Result:
    """Print the JSON Schema of the manifest, the report, deletion.yaml or a deletion request."""
    from unlearn_cli.cli import schema as command

    return command.run(of)


@add_command(other_app, name="list", examples=("unlearn-cli list methods", "unlearn-cli list attacks --json"))
def list_names(
    kind: Annotated[
        Literal["methods", "metrics", "attacks", "models"],
        typer.Argument(metavar="KIND", help="methods, metrics, attacks or models."),
    ],
) -> Result:
    """List the methods, metrics, attacks or bundled models."""
    from unlearn_cli.commands import catalogue

    return catalogue.list_names(kind)


@add_command(
    other_app,
    run_options=("allow_code",),
    examples=(
        "unlearn-cli show unsir",
        "unlearn-cli show train",
        "unlearn-cli show population --json",
        "unlearn-cli show mine.py:my_method --allow-code",
    ),
)
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A method, metric, attack or bundled model, or file.py:function. 'train' and 'noise' show the "
            "settings of these commands.",
            autocompletion=options.list_all_summaries,
        ),
    ],
    *,
    run_options: RunOptions,
) -> Result:
    """Describe a method, metric or attack: idea, formula, source, inputs and all settings."""
    from unlearn_cli.commands import catalogue

    return catalogue.show(name, allow_code=run_options.allow_code)
