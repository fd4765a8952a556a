"""`unlearn-cli train`: train a network from scratch or from a checkpoint, on train or on retain (the reference)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from unlearn_cli import console
from unlearn_cli.commands.claiming import claim_output
from unlearn_cli.commands.command_text import format_command_line
from unlearn_cli.commands.manifest_inputs import open_inputs, refuse_replacing
from unlearn_cli.commands.plan import plan_training
from unlearn_cli.commands.report_result import to_result
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation import budgets, targets
from unlearn_cli.evaluation.budgets import Budget
from unlearn_cli.evaluation.reported_half import as_lineage
from unlearn_cli.evaluation.run_inputs import (
    RunInputs,
    content_digest,
    forget_state,
    lineage_of,
    partial_folder,
    resume_key,
    settings_digest,
)
from unlearn_cli.plugins import plugin
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.plugins.run_options import RunOptions, SettingSources
from unlearn_cli.reporting.timestamps import format_now
from unlearn_cli.schema.network_sections import Target
from unlearn_cli.storage.version import VERSION

if TYPE_CHECKING:
    from torch import nn

    from unlearn_cli.checkpoints.checkpoint import Checkpoint
    from unlearn_cli.evaluation.session import Session


@dataclass(frozen=True)
class TrainOptions:
    """The arguments of `train`, in addition to the `RunOptions`."""

    manifest: Path
    out: Path
    split: str = "train"
    start: Path | None = None
    like: Path | None = None
    settings: SettingSources = field(default_factory=SettingSources)
    dry_run: bool = False


def run(options: TrainOptions, run_options: RunOptions) -> Result:
    """Train a network, measure it, and write checkpoint and report together."""
    outputs = () if options.dry_run else (options.out,)
    with claim_output(run_options.overwrite, *outputs):
        return run_with_claim(options, run_options)


def run_with_claim(options: TrainOptions, run_options: RunOptions) -> Result:
    """Run `train` while this process holds the claim on its output."""
    recipe = plugin.inspect("training", "fit", "unlearn_cli.learning.training")
    budget = read_like(options)
    settings = complete_like(recipe, options.settings, budget)
    opened = open_training_data(options, choose_batch_size(run_options, budget))
    if budget:
        console.say(f"train: like {options.like}: {describe_like(budget, settings, opened.common.batch_size)}")
    console.say(f"train: {opened.network.model.public_name} on {options.split}; loading torch")
    if options.dry_run:
        check_with_torch(options, opened)
        return plan_training(opened, options.split, settings)
    return carry_out(options, opened, recipe, settings)


def open_training_data(options: TrainOptions, run_options: RunOptions) -> RunInputs:
    """Open manifest and data; refuse a manifest that lacks the records to train on."""
    opened = open_inputs(
        options.manifest, run_options, (options.start,), options.out, decode=options.dry_run, like=options.like
    )
    if not opened.dataset.splits:
        raise UserError(f"{options.manifest}: has no 'data' section; there is nothing to train on")
    if options.split == "retain" and opened.forget is None:
        raise UserError(
            f"{options.manifest}: has no 'forget' section, so there is no 'retain'; add one, or train on 'train'"
        )
    return opened


def carry_out(options: TrainOptions, opened: RunInputs, recipe: Plugin, settings: BaseModel) -> Result:
    """Train and measure the network, and write checkpoint and report together."""
    from unlearn_cli.checkpoints import checkpoint  # imports torch: seconds, after all other checks
    from unlearn_cli.commands.network_check import make_mapping
    from unlearn_cli.evaluation import session
    from unlearn_cli.evaluation.measuring import measure_network
    from unlearn_cli.reporting import composing, writing
    from unlearn_cli.reporting.terminal import format_report
    from unlearn_cli.runtime.output import output_folder

    started, common = format_now(), opened.common
    weights = load_start(options, opened)
    key = resume_key(opened, settings, split=options.split, start=weights.tensor_digest if weights else None)
    partial = partial_folder(options.out, key)
    scale = targets.choose_training_target(opened, weights.metadata if weights else None, options.start)
    with (
        session.start(opened, partial, scale) as current,
        output_folder(options.out, overwrite=common.overwrite) as folder,
    ):
        model = train_network(current, options.split, recipe, settings, weights)
        measurements = measure_network(current, model, "trained")
        lineage = describe_lineage(current, options.split, settings, weights, scale)
        with current.run.measure_time("files"):
            path = checkpoint.save(folder, model.state_dict(), lineage, weights)
            current.write_companions(folder, model, weights)
        document = composing.compose_report(
            current,
            "train",
            started,
            command_line=format_command_line("train", options, common),
            inputs=[options.split],
            **measurements,
            settings=settings.model_dump(mode="json"),
            subject=composing.describe_checkpoint(checkpoint.load(path, make_mapping(opened)), "trained"),
            caveats=[*opened.reported.describe(), *current.run.notes],
        )
        writing.write_report(document, folder, pages=common.pages)
        writing.write_card(document, folder, opened.network.model.public_name, opened.network.input.shape)
    forget_state(partial)
    console.show(format_report(document, options.out, pages=common.pages))
    return to_result(document, str(options.out), options.out)


def train_network(
    current: "Session", split: str, recipe: Plugin, settings: BaseModel, weights: "Checkpoint | None"
) -> "nn.Module":
    """Return a network that was trained on a split, from a checkpoint's weights or from new ones."""
    from unlearn_cli.learning.training import explain_single_values

    model = build_network(current, weights)
    current.note_auxiliary_heads(model)
    train = current.batches(split, augmented=True)
    inputs = {"model": model, "train": train, "task_loss": current.task_loss()}
    current.run.prepare_optimizers()
    measured = current.run.measure_time("train"), current.run.count_samples(model=model)
    with measured[0], measured[1], current.run.autocast(), explain_single_values():
        model = recipe.call(inputs, settings)
    current.settle(model, weights)
    return model


def describe_lineage(
    current: "Session", split: str, settings: BaseModel, weights: "Checkpoint | None", scale: Target
) -> dict[str, str]:
    """Return the metadata of the trained checkpoint: what it was trained on, how, and from which checkpoint."""
    from unlearn_cli.evaluation import recipes

    opened = current.opened
    return {
        "method": "train",
        "split": split,
        **lineage_of(opened),
        "trained_on": content_digest(opened.dataset.split(split)),
        "settings": settings_digest(settings),
        **recipes.as_lineage(settings, current.run.batch_size),
        "seed": str(current.run.seed),
        "version": VERSION,
        **targets.as_lineage(opened.dataset.task, scale),
        **({"parent": weights.tensor_digest, **as_lineage(weights.metadata)} if weights else {}),
    }


def read_like(options: TrainOptions) -> Budget | None:
    """Return the recipe and the epochs of the checkpoint of --like, which the output must not replace."""
    if options.like is None:
        return None
    refuse_replacing(options.out, [options.like])
    return budgets.read_budget(options.like)


def complete_like(recipe: Plugin, sources: SettingSources, budget: Budget | None) -> BaseModel:
    """Return the settings; those of the recipe of --like are the defaults, with all epochs of its checkpoint."""
    defaults = {}
    if budget and budget.recipe:
        recorded = budget.recipe.model_dump(include=set(recipe.settings.model_fields))
        defaults = {**recorded, "epochs": round(budget.recipe.epochs + budget.extra)}
    return plugin.complete_settings(recipe, sources.config, sources.assignments, defaults)


def choose_batch_size(run_options: RunOptions, budget: Budget | None) -> RunOptions:
    """Return the options with the batch size of the recipe of --like, unless --batch-size names another one."""
    if budget is None or budget.recipe is None or "batch_size" in run_options.model_fields_set:
        return run_options
    return run_options.model_copy(update={"batch_size": budget.recipe.batch_size})


def describe_like(budget: Budget, settings: BaseModel, batch_size: int) -> str:
    """Return the settings that are used, and which epochs of methods are among the epochs."""
    values = {**settings.model_dump(), "batch_size": batch_size}
    text = ", ".join(f"{name}={value}" for name, value in values.items())
    if not budget.recipe or not budget.extra or values["epochs"] != round(budget.recipe.epochs + budget.extra):
        return text
    return f"{text}; epochs are the original's {budget.recipe.epochs} and {budget.extra:.3g} of unlearning"


def check_with_torch(options: TrainOptions, opened: RunInputs) -> None:
    """Check the network, the checkpoint of --from and the device, which needs torch."""
    from unlearn_cli.evaluation import session

    weights = load_start(options, opened)
    scale = targets.choose_training_target(opened, weights.metadata if weights else None, options.start)
    with session.start(opened, target=scale) as current:
        build_network(current, weights)


def load_start(options: TrainOptions, opened: RunInputs) -> "Checkpoint | None":
    """Load the checkpoint of --from; it must fit the manifest's network."""
    from unlearn_cli.commands.network_check import load_checkpoints

    return load_checkpoints(opened, {"start": options.start} if options.start else {}).get("start")


def build_network(current: "Session", weights: "Checkpoint | None") -> "nn.Module":
    """Build the network to train, with a checkpoint's weights or with new ones."""
    model = current.load(weights, frozen=False) if weights else current.fresh("fresh")
    from unlearn_cli.evaluation.fit_checks import check_logits

    check_logits(current, model)
    return model
