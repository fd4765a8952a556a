"""`unlearn-cli init`: draft a manifest from a checkpoint and data, and check it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_cli import console
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.commands.claiming import claim_output
from unlearn_cli.commands.manifest_draft import ManifestDraft, Value
from unlearn_cli.commands.manifest_inputs import refuse_replacing
from unlearn_cli.commands.result import Result
from unlearn_cli.data.layouts.layout import DataLayout
from unlearn_cli.data.layouts.recognise import recognise
from unlearn_cli.errors import UserError
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.schema.literals import Task
from unlearn_cli.storage import atomic_files
from unlearn_cli.storage.atomic_files import output_file

if TYPE_CHECKING:
    from unlearn_cli.checkpoints.checkpoint import Checkpoint
    from unlearn_cli.commands.model_draft import ModelDraft
    from unlearn_cli.evaluation.normalisations import Trial

SUFFIXES = (".yaml", ".yml")
MEASURES: dict[Task, str] = {"classification": "accuracy", "multilabel": "accuracy per label", "regression": "R2"}


@dataclass(frozen=True)
class InitOptions:
    """The arguments of `init`; `yes`: guesses are taken without questions."""

    checkpoint: Path
    data: Path
    out: Path
    labels: Sequence[str] = ()
    architecture: str | None = None
    yes: bool = False


def run(options: InitOptions, run_options: RunOptions) -> Result:
    """Write the manifest.

    Raises:
        UserError: the checkpoint or the data cannot be read, or no layout of the data is recognised.
    """
    if options.out.suffix.lower() not in SUFFIXES:
        raise UserError(f"{options.out}: the output is a manifest; use the suffix .yaml")
    with claim_output(run_options.overwrite, options.out):
        refuse_replacing(options.out, (options.checkpoint, options.data))
        atomic_files.check_output(options.out, run_options.overwrite, "file")
        layout = confirm_label(recognise(options.data, options.labels), options)
        options = convert_foreign(options, run_options)  # after the data: a wrong input must write nothing
        read_header(options.checkpoint)
        return write_draft(options, run_options, layout)


def convert_foreign(options: InitOptions, run_options: RunOptions) -> InitOptions:
    """Return the options with a safetensors file next to the manifest, if the checkpoint is of another format."""
    path = options.checkpoint
    is_ours = path.suffix in (".safetensors", ".json") or (path.is_dir() and any(path.glob("*.safetensors")))
    if is_ours or not path.exists():
        return options
    from unlearn_cli.commands import convert

    out = options.out.parent / f"{path.name.partition('.')[0]}.safetensors"
    convert.run(convert.ConvertOptions(path, out), run_options)
    console.say(f"init: {path.name} was converted to {out.name}, next to the manifest")
    return replace(options, checkpoint=out)


def confirm_label(layout: DataLayout, options: InitOptions) -> DataLayout:
    """On a terminal, ask for the column of labels if it was guessed."""
    if (
        options.yes
        or layout.guesses.keys().isdisjoint(("label", "task"))
        or not (sys.stdin.isatty() and sys.stderr.isatty())
    ):
        return layout
    import typer

    label = next(iter(layout.sources.values()))["table"]["label"]
    guessed = label if isinstance(label, str) else ", ".join(label)
    chosen = typer.prompt("Column with the labels, or one column per label", default=guessed, err=True)
    return layout if chosen == guessed else recognise(options.data, [name.strip() for name in chosen.split(",")])


def write_draft(options: InitOptions, run_options: RunOptions, layout: DataLayout) -> Result:
    """Draft the manifest, try normalisations, and write the text."""
    from unlearn_cli.checkpoints import checkpoint  # torch
    from unlearn_cli.commands.model_draft import draft_model

    console.say(f"init: {options.checkpoint.name} and {options.data.name}; comparing with known networks")
    weights, folder = checkpoint.load(options.checkpoint), options.out.parent
    model = draft_model(options.checkpoint, weights, layout, folder, options.architecture)
    layout = fit_task(layout, model)
    drafts = list_variants(combine(options, layout, model))
    trials = [(trial, each) for each in drafts if (trial := try_draft(each, model, weights, options, run_options))]
    trial, draft = min(trials, key=lambda pair: pair[0].loss, default=(None, drafts[0]))
    draft = add_trial(draft, trial) if trial else draft
    with output_file(options.out, replace=run_options.overwrite) as new:
        new.write_text(draft.format(folder), encoding="utf-8")
    return make_result(options, draft, trial)


def fit_task(layout: DataLayout, model: "ModelDraft") -> DataLayout:
    """Return the layout with the task that the outputs of the network decide, where numbers may be classes or not."""
    if layout.task == "regression" and model.num_outputs > 1:
        raise UserError(
            f"the network has {model.num_outputs} outputs, but the labels are quantities; name the column of classes "
            "with --label"
        )
    are_numbers = all(name.lstrip("-").isdecimal() for name in layout.classes)
    if model.num_outputs == 1 and layout.task == "classification" and are_numbers and len(layout.classes) > 2:
        return replace(layout, task="regression", classes=[])
    return layout


def combine(options: InitOptions, layout: DataLayout, model: "ModelDraft") -> ManifestDraft:
    """Return the draft of both parts."""
    shape = Value(list(model.shape or layout.shape))
    return ManifestDraft(
        f"Drafted by 'unlearn-cli init' from {options.checkpoint.name} and {options.data.name}.",
        layout,
        model.model,
        {"shape": shape, **draft_input(layout, model)},
        draft_classes(layout, model),
        model.transform,
    )


def list_variants(draft: ManifestDraft) -> list[ManifestDraft]:
    """Return the draft, and for columns of numbers also with standardised columns, which no file states."""
    if draft.layout.kind != "numbers" or draft.transform:
        return [draft]
    return [draft, replace(draft, transform=[{"standardise": {}}])]


def draft_input(layout: DataLayout, model: "ModelDraft") -> dict[str, Value]:
    """Return the keys of `input` except the shape: those that files state, and a resize where sizes differ."""
    keys = dict(model.input)
    if layout.depth:
        keys["scale"] = Value(layout.depth, "pixels of more than 8 bits")
    shape = list(model.shape or layout.shape)
    differs = layout.kind == "images" and (not layout.same_size or shape[1:] != list(layout.shape[1:]))
    if differs and "resize" not in keys:
        keys["resize"] = Value(shape[1:], "images have other sizes", guessed=True)
    return keys


def draft_classes(layout: DataLayout, model: "ModelDraft") -> Value | None:
    """Return the order of the outputs: from the model's files, or the sorted names."""
    if layout.task == "regression":
        return None
    if model.names and set(layout.classes) <= set(model.names):
        return Value(list(model.names), f"the order of the outputs, {model.origin}")
    reason = "the order of the network's outputs; here the sorted names"
    if model.num_outputs not in (1, len(layout.classes)):
        reason = f"the network has {model.num_outputs} outputs: list all of them in their order"
    return Value(list(layout.classes), reason, guessed=True)


def try_draft(
    draft: ManifestDraft, model: "ModelDraft", weights: "Checkpoint", options: InitOptions, run_options: RunOptions
) -> "Trial | None":
    """Return the best of the usual normalisations on a sample of train; None if nothing can be tried.

    Problems of the draft, such as another number of outputs, are warnings: they are what is left to edit.
    """
    from unlearn_cli.commands.draft_check import find_trial

    try:
        return find_trial(draft, "mean" in model.input, weights.path, options.out.parent, run_options)
    except UserError as error:
        console.warn(f"the draft cannot be used yet: {error}")
        return None


def add_trial(draft: ManifestDraft, trial: "Trial") -> ManifestDraft:
    """Return the draft with the numbers and the order of classes of a trial."""
    chosen = trial.normalisation
    reason = f"{MEASURES[draft.layout.task]} {trial.score:.2f} on {trial.n} training records; {chosen.name}"
    changes: dict[str, Value] = {}
    if chosen.changes:
        is_guessed = not trial.is_better_than_chance
        reason = f"{reason}, no better than chance" if is_guessed else reason
        reasons = {"mean": reason}
        changes = {key: Value(value, reasons.get(key, ""), is_guessed) for key, value in chosen.changes.items()}
    classes = draft.classes
    if classes and trial.is_better_than_chance:
        classes = Value(classes.value, "the order of the network's outputs; predictions agree with it")
    if trial.order and draft.classes:
        names = [draft.layout.classes[label] for label in trial.order]
        classes = Value(names, "another order than the sorted names: predictions agree with it", guessed=True)
    return replace(draft, input={**draft.input, **changes}, classes=classes)


def make_result(options: InitOptions, draft: ManifestDraft, trial: "Trial | None") -> Result:
    """Return the path, and what is left to do."""
    guesses = draft.list_guesses()
    lines = [f"{options.out}: {len(guesses)} guessed: {', '.join(guesses)}" if guesses else f"{options.out}"]
    if trial:
        quality = "better than" if trial.is_better_than_chance else "no better than"
        lines.append(
            f"The checkpoint is {quality} chance: {MEASURES[draft.layout.task]} {trial.score:.2f} on {trial.n} "
            f"training records ({trial.normalisation.name})."
        )
    command = f"unlearn-cli unlearn {options.checkpoint} -m {options.out} --out unlearned --dry-run"
    lines.append(f"Next: fill in 'forget', then: {command}")
    document: dict[str, Any] = {"manifest": str(options.out), "checkpoint": str(options.checkpoint), "guessed": guesses}
    if trial:
        document["trial"] = {
            "normalisation": trial.normalisation.name, "score": trial.score, "chance": trial.chance, "n": trial.n
        }  # fmt: skip
    return Result("\n".join(lines), document)
