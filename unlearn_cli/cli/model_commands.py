"""The commands that run a network: parse, one call into `commands`, print. No torch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from unlearn_cli.cli import options
from unlearn_cli.cli.command import RUN_OPTIONS, add_command
from unlearn_cli.commands.result import Result
from unlearn_cli.plugins.run_options import RunOptions, SettingSources
from unlearn_cli.stats.margins import AUC_MARGIN

model_app = typer.Typer()


@add_command(
    model_app,
    run_options=RUN_OPTIONS,
    several_processes=True,
    kind="methods",
    examples=(
        "unlearn-cli unlearn model.safetensors -m data.yaml --method unsir --out unlearned",
        "unlearn-cli unlearn model.safetensors -m data.yaml --method finetune --set epochs=3 --out unlearned",
        "unlearn-cli unlearn model.safetensors -m data.yaml --out unlearned --dry-run",
    ),
)
def unlearn(
    checkpoint: options.Checkpoint,
    manifest: options.Manifest,
    out: options.Out,
    method: options.Method = "unsir",
    config: options.Config = None,
    settings: options.Settings = None,
    noise: Annotated[
        Path | None, typer.Option(metavar="NOISE.safetensors", help="Noise that 'unlearn-cli noise' wrote.")
    ] = None,
    reference: options.References = None,
    evaluate: Annotated[bool, typer.Option(help="Measure before and after.")] = True,
    summary: options.Summary = None,
    log_to: options.LogTo = None,
    dry_run: options.DryRun = False,
    *,
    run_options: RunOptions,
) -> Result:
    """Make a checkpoint forget; write the new one and a report."""
    from unlearn_cli.commands.unlearn import UnlearnOptions, run

    unlearn_options = UnlearnOptions(
        checkpoint,
        manifest,
        method,
        out,
        settings=SettingSources(config, tuple(settings or ())),
        noise=noise,
        references=tuple(reference or ()),
        evaluate=evaluate,
        summary=summary,
        log_to=tuple(log_to or ()),
        dry_run=dry_run,
    )
    return run(unlearn_options, run_options)


@add_command(
    model_app,
    run_options=RUN_OPTIONS,
    several_processes=True,
    kind="metrics",
    examples=(
        "unlearn-cli evaluate unlearned -m data.yaml --original model.safetensors",
        "unlearn-cli evaluate unlearned -m data.yaml --require 'test_forget.accuracy <= 0.02' --junit gates.xml",
    ),
)
def evaluate(
    checkpoint: options.Checkpoint,
    manifest: options.Manifest,
    original: options.Original = None,
    reference: options.References = None,
    metric: options.Metrics = None,
    settings: options.Settings = None,
    require: options.Requirements = None,
    out: options.OptionalOut = None,
    junit: options.Junit = None,
    summary: options.Summary = None,
    log_to: options.LogTo = None,
    dry_run: options.DryRun = False,
    *,
    run_options: RunOptions,
) -> Result:
    """Measure a checkpoint on every split; check gates."""
    from unlearn_cli.commands.evaluate import EvaluateOptions, run

    evaluate_options = EvaluateOptions(
        checkpoint,
        manifest,
        original=original,
        references=tuple(reference or ()),
        metrics=tuple(metric or ()),
        settings=tuple(settings or ()),
        require=tuple(require or ()),
        out=out,
        junit=junit,
        summary=summary,
        log_to=tuple(log_to or ()),
        dry_run=dry_run,
    )
    return run(evaluate_options, run_options)


@add_command(
    model_app,
    run_options=RUN_OPTIONS,
    several_processes=True,
    kind="attacks",
    examples=(
        "unlearn-cli attack unlearned -m data.yaml --original model.safetensors --out attack",
        "unlearn-cli attack unlearned -m data.yaml --tier standard --reference reference-1 --reference reference-2",
        "unlearn-cli attack unlearned -m data.yaml --tier standard --reference reference-1 --plan",
        "unlearn-cli attack unlearned -m data.yaml --attack population --set statistic=loss",
    ),
)
def attack(
    checkpoint: options.Checkpoint,
    manifest: options.Manifest,
    tier: options.Tier = None,
    name: options.Attacks = None,
    config: options.Config = None,
    settings: options.Settings = None,
    original: options.Original = None,
    reference: options.References = None,
    attempts: options.Attempts = 1,
    margin: options.Margin = AUC_MARGIN,
    require_tier: options.RequireTier = None,
    inconclusive: options.Inconclusive = "fail",
    shadows: options.Shadows = None,
    out: options.OptionalOut = None,
    junit: options.Junit = None,
    summary: options.Summary = None,
    log_to: options.LogTo = None,
    pictures: options.Pictures = False,
    dry_run: options.DryRun = False,
    plan: options.Plan = False,
    *,
    run_options: RunOptions,
) -> Result:
    """Try to distinguish forgotten records from never-seen ones."""
    from unlearn_cli.commands.attack import AttackOptions, run

    attack_options = AttackOptions(
        checkpoint,
        manifest,
        tier=tier,
        attacks=tuple(name or ()),
        settings=SettingSources(config, tuple(settings or ())),
        original=original,
        references=tuple(reference or ()),
        shadows=shadows,
        out=out,
        attempts=attempts,
        margin=margin,
        require_tier=require_tier,
        inconclusive=inconclusive,
        junit=junit,
        summary=summary,
        log_to=tuple(log_to or ()),
        pictures=pictures,
        dry_run=dry_run,
        plan=plan,
    )
    return run(attack_options, run_options)


@add_command(
    model_app,
    run_options=RUN_OPTIONS,
    without=("half", "force", "shard", "compiled", "profile", "overwrite"),
    examples=(
        "unlearn-cli shadow -m data.yaml --method finetune --shadows shadows --cells 0-31",
        "unlearn-cli attack unlearned -m data.yaml --tier audit --shadows shadows --reference reference",
    ),
)
def shadow(
    manifest: options.Manifest,
    folder: Annotated[
        Path, typer.Option("--shadows", metavar="DIR", help="Folder of the runs; may be shared and added to.")
    ],
    method: options.Method = "unsir",
    cells: Annotated[str, typer.Option(metavar="NUMBERS", help="Which runs: 0-31, 7, or 0-3,8.")] = "0-31",
    canaries: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="Share of forget with a random wrong label.")
    ] = 0.0,
    retained: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="Records of retain that are also audited; default: 200, at most a tenth."
        ),
    ] = None,
    config: options.Config = None,
    settings: options.Settings = None,
    training: Annotated[
        list[str] | None,
        typer.Option("--train-set", metavar="NAME=VALUE", help="One setting of 'train'; can be repeated."),
    ] = None,
    dry_run: options.DryRun = False,
    *,
    run_options: RunOptions,
) -> Result:
    """Train and unlearn shadow networks for the audit tier."""
    from unlearn_cli.commands.shadow import ShadowOptions, run

    shadow_options = ShadowOptions(
        manifest,
        method,
        folder,
        cells,
        canaries=canaries,
        retained=retained,
        settings=SettingSources(config, tuple(settings or ())),
        training=tuple(training or ()),
        dry_run=dry_run,
    )
    return run(shadow_options, run_options)


@add_command(
    model_app,
    run_options=("device", "precision", "seed", "allow_code", "cache", "overwrite"),
    examples=(
        "unlearn-cli noise model.safetensors -m data.yaml --out noise.safetensors",
        "unlearn-cli noise model.safetensors -m data.yaml --class cat --kind minimize --out cat.safetensors",
    ),
)
def noise(
    checkpoint: options.Checkpoint,
    manifest: options.Manifest,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="NOISE.safetensors", help="File to write; its picture is saved next to it as .png."
        ),
    ],
    kind: Annotated[
        Literal["maximize", "minimize"] | None,
        typer.Option(help="Maximize or minimize the network's error on the noise; default: maximize."),
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="CLASS", help="Class name or number; can be repeated.")
    ] = None,
    init: Annotated[
        Literal["normal", "uniform"] | None,
        typer.Option(help="Distribution of the initial noise; default: normal."),
    ] = None,
    config: options.Config = None,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
    *,
    run_options: RunOptions,
) -> Result:
    """Learn error-maximizing or error-minimizing noise, without data."""
    from unlearn_cli.commands.noise import NoiseOptions, run

    # An option that is not given must not replace the value in the file of --config.
    assignments = [f"{name}={value}" for name, value in (("kind", kind), ("init", init)) if value]
    noise_settings = SettingSources(config, (*assignments, *(settings or ())))
    noise_options = NoiseOptions(checkpoint, manifest, out, tuple(classes or ()), noise_settings, dry_run)
    return run(noise_options, run_options)


@add_command(
    model_app,
    run_options=RUN_OPTIONS,
    without=("half", "force"),
    several_processes=True,
    examples=(
        "unlearn-cli train -m data.yaml --out original",
        "unlearn-cli train -m data.yaml --split retain --like unlearned --out reference",
        "unlearn-cli train -m data.yaml --from original --set epochs=5 --set lr=0.001 --out tuned",
    ),
)
def train(
    manifest: options.Manifest,
    out: options.Out,
    split: Annotated[
        Literal["train", "retain"], typer.Option(help="Split to train on; retain makes a retrained reference.")
    ] = "train",
    start: Annotated[
        Path | None, typer.Option("--from", metavar="MODEL", help="Checkpoint to continue training.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Checkpoint whose recorded settings are the defaults; an unlearned one adds its epochs.",
        ),
    ] = None,
    config: options.Config = None,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
    *,
    run_options: RunOptions,
) -> Result:
    """Train a network: an original, or a retrained reference."""
    from unlearn_cli.commands.train import TrainOptions, run

    train_settings = SettingSources(config, tuple(settings or ()))
    return run(TrainOptions(manifest, out, split, start, like, train_settings, dry_run), run_options)
