"""`unlearn-cli train`: train a network from scratch or a checkpoint, on train or on retain alone (the reference)."""

from dataclasses import dataclass, field
from pathlib import Path

from unlearn_cli import console
from unlearn_cli.commands.claiming import output_of
from unlearn_cli.commands.result import Result, to_result
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation import targets
from unlearn_cli.evaluation.inputs import (
    content_digest,
    forget_state,
    lineage_of,
    open_inputs,
    partial_folder,
    resume_key,
    settings_digest,
)
from unlearn_cli.plugins import plugin
from unlearn_cli.plugins.run_options import RunOptions, SettingSources
from unlearn_cli.reporting import tables
from unlearn_cli.storage.version import VERSION


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    manifest: Path
    out: Path
    split: str = "train"
    start: Path | None = None
    chosen: SettingSources = field(default_factory=SettingSources)


def run(asked: Asked, common: RunOptions) -> Result:
    """Train, measure, and write checkpoint and report together."""
    with output_of(common.overwrite, asked.out):
        return run_claimed(asked, common)


def run_claimed(asked: Asked, common: RunOptions) -> Result:
    """Do the work, while no other run writes to the same place."""
    recipe = plugin.inspect("training", "fit", "unlearn_cli.learning.training")
    settings = plugin.settings(recipe, asked.chosen.config, asked.chosen.assignments)
    opened = open_inputs(asked.manifest, common, (asked.start,), asked.out)
    if not opened.dataset.splits:
        raise UserError(f"{asked.manifest}: has no 'data' section; there is nothing to train on")
    if asked.split == "retain" and opened.manifest.forget is None:
        raise UserError(
            f"{asked.manifest}: has no 'forget' section, so there is no 'retain'; add one, or train on 'train'"
        )

    console.say(f"train: {opened.manifest.model.architecture} on {asked.split}; loading torch")
    from unlearn_cli.checkpoints import (
        checkpoint,
    )  # torch comes with it: seconds, only after all that can be checked without
    from unlearn_cli.evaluation import session
    from unlearn_cli.evaluation.measuring import measure_network
    from unlearn_cli.reporting import composing, writing
    from unlearn_cli.runtime.output import output_folder

    started = composing.format_now()
    weights = checkpoint.load(asked.start) if asked.start else None
    key = resume_key(opened, settings, split=asked.split, start=weights.tensor_digest if weights else None)
    partial = partial_folder(asked.out, key)
    scale = targets.target_to_train_with(opened, weights.metadata if weights else None, asked.start)
    with (
        session.start(opened, partial, scale) as current,
        output_folder(asked.out, overwrite=common.overwrite) as folder,
    ):
        model = current.load(weights, frozen=False) if weights else current.fresh("fresh")
        current.check_logits(model)
        current.note_auxiliary_heads(model)
        train = current.batches(asked.split, augmented=True)
        inputs = {"model": model, "train": train, "task_loss": current.task_loss()}
        with current.run.timed("train"), current.run.counted(model), current.run.autocast():
            model = recipe.call(inputs, settings)
        current.settle(model, weights)
        measured = {"subject": measure_network(current, model, "trained")}
        lineage = {
            "method": "train",
            "split": asked.split,
            **lineage_of(opened),
            "trained_on": content_digest(opened.dataset.split(asked.split)),
            "settings": settings_digest(settings),
            "seed": str(common.seed),
            "version": VERSION,
            **targets.as_lineage(opened.manifest.task, scale),
            **({"parent": weights.tensor_digest} if weights else {}),
        }
        with current.run.timed("files"):
            path = checkpoint.save(folder, model.state_dict(), lineage, weights)
        document = composing.compose_report(
            current,
            "train",
            started,
            inputs=[asked.split],
            metrics=measured,
            settings=settings.model_dump(mode="json"),
            subject=composing.describe_checkpoint(checkpoint.load(path), "trained"),
            caveats=[*current.run.notes],
        )
        writing.write_report(document, folder, pages=common.pages)
    forget_state(partial)
    console.show(tables.metrics_table(document))
    return to_result(document, str(asked.out), asked.out)
