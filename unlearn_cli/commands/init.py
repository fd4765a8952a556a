"""`unlearn-cli init`: draft a manifest from a checkpoint and data, and check it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_cli import console
from unlearn_cli.checkpoints import foreign_formats
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.commands.claiming import claim_output
from unlearn_cli.commands.feature_fit import fit_columns
from unlearn_cli.commands.manifest_draft import ManifestDraft, Value
from unlearn_cli.commands.manifest_inputs import refuse_replacing
from unlearn_cli.commands.result import Result
from unlearn_cli.console import pluralize
from unlearn_cli.data.layouts.label_columns import describe_similar
from unlearn_cli.data.layouts.layout import DataLayout
from unlearn_cli.data.layouts.recognise import recognise
from unlearn_cli.errors import UserError, prefix_field
from unlearn_cli.plugins.names import PluginNames
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.network_sections import is_own_code
from unlearn_cli.storage import atomic_files
from unlearn_cli.storage.atomic_files import output_file

if TYPE_CHECKING:
    from unlearn_cli.checkpoints.checkpoint import Checkpoint
    from unlearn_cli.commands.model_draft import ModelDraft
    from unlearn_cli.evaluation.normalisations import Trial

SUFFIXES = (".yaml", ".yml")
IMAGENETS = "ImageNet's"  # the name of the normalisation of most networks of 224 x 224 pixels
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
    key: str | None = None  # the set of weights to take from a file of another format
    ema: bool = False


def run(options: InitOptions, run_options: RunOptions) -> Result:
    """Write the manifest, and a checkpoint of another format as safetensors next to it: both or neither.

    Raises:
        UserError: the checkpoint or the data cannot be read, no layout of the data is recognised, or they do not fit.
    """
    if options.out.suffix.lower() not in SUFFIXES:
        raise UserError(f"{options.out}: the output is a manifest; use the suffix .yaml")
    if options.architecture and "/" not in options.architecture and not is_own_code(options.architecture):
        with prefix_field("--architecture"):
            PluginNames().check_architecture(options.architecture)
    with claim_output(run_options.overwrite, options.out):
        refuse_replacing(options.out, (options.checkpoint, options.data))
        atomic_files.check_output(options.out, run_options.overwrite, "file")
        foreign_formats.find_checkpoint(options.checkpoint)
        layout = confirm_label(recognise(options.data, options.labels), options)
        if layout.unreadable:
            raise UserError(
                f"{options.data}: {layout.unreadable}; 'unlearn-cli inspect' lists all; replace or remove them"
            )
        with (
            console.print_warnings_once(),
            atomic_files.create_parents(options.out),
            open_weights(options, run_options) as weights,
        ):
            read_header(weights.path)
            return write_draft(options, run_options, layout, weights)


@dataclass(frozen=True)
class WeightFiles:
    """The checkpoint as safetensors: where it is now, and where it will be (equal unless it was converted)."""

    path: Path
    final: Path

    @property
    def is_converted(self) -> bool:
        return self.path != self.final


@contextmanager
def open_weights(options: InitOptions, run_options: RunOptions) -> Iterator[WeightFiles]:
    """Yield the checkpoint as safetensors; one of another format is converted into a temporary folder.

    Raises:
        UserError: it cannot be read or converted; messages of the block name the final path.
    """
    path = foreign_formats.find_checkpoint(options.checkpoint)
    if path.suffix == ".safetensors" or path.name.endswith(".safetensors.index.json"):
        yield WeightFiles(options.checkpoint if options.checkpoint.is_file() else path, path)
        return
    from unlearn_cli.commands import convert

    final = options.out.parent / f"{options.checkpoint.name.partition('.')[0]}.safetensors"
    refuse_replacing(final, (options.checkpoint, options.data))
    atomic_files.check_output(final, run_options.overwrite, "file")
    with atomic_files.scratch_folder(options.out) as folder:
        try:
            target = folder / final.name
            convert.run(
                convert.ConvertOptions(options.checkpoint, target, options.key, ema=options.ema, omit_unprefixed=True),
                run_options,
            )
            yield WeightFiles(folder / final.name, final)
        except UserError as error:
            raise UserError(str(error).replace(str(folder / final.name), str(options.checkpoint))) from None


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


def write_draft(options: InitOptions, run_options: RunOptions, layout: DataLayout, weights: WeightFiles) -> Result:
    """Draft the manifest, try normalisations, and write the text, last after a converted checkpoint."""
    draft, trial = find_draft(options, run_options, layout, weights)
    with output_file(options.out, replace=run_options.overwrite) as new:
        new.write_text(draft.format(options.out.parent), encoding="utf-8")
        if weights.is_converted:
            atomic_files.move_file(weights.path, weights.final, replace=run_options.overwrite)
            console.say(f"init: {options.checkpoint.name} was converted to {weights.final.name}, next to the manifest")
    return make_result(replace(options, checkpoint=weights.final), draft, trial)


def find_draft(
    options: InitOptions, run_options: RunOptions, layout: DataLayout, weights: WeightFiles
) -> "tuple[ManifestDraft, Trial | None]":
    """Return the draft with which the checkpoint predicts a sample best, and the trial; None if nothing can be tried.

    Raises:
        UserError: network and data do not fit.
    """
    from unlearn_cli.checkpoints import checkpoint  # torch
    from unlearn_cli.checkpoints.network_fit import describe_foreign
    from unlearn_cli.commands.model_draft import draft_model, guess_outputs

    console.say(f"init: {options.checkpoint.name} and {options.data.absolute().name}; comparing with known networks")
    loaded = checkpoint.load(weights.path)
    if reason := describe_foreign(loaded.tensors):
        raise UserError(f"{options.checkpoint}: {reason}")
    layout = match_labels(layout, guess_outputs(loaded.tensors, layout), options)
    drafts: list[tuple[ManifestDraft, ModelDraft]] = []
    must_fit = options.architecture is None
    for columns in fit_columns(layout, loaded, options.data, must_fit=must_fit):
        model = draft_model(
            options.checkpoint,
            loaded,
            columns,
            options.out.parent,
            options.architecture,
            allow_code=run_options.allow_code,
        )
        fitted = fit_task(columns, model, options.data)
        drafts += [(each, model) for each in list_variants(combine(options, fitted, model), model, options)]
    return choose_draft(drafts, loaded, options, run_options)


def match_labels(layout: DataLayout, num_outputs: int, options: InitOptions) -> DataLayout:
    """Return the layout with a label per output, if the label was guessed and has another number of classes.

    Data sets with several labels have the columns of 0 and 1 at the end of the table.
    """
    is_guessed = "label" in layout.guesses and not options.labels
    if layout.features is None or not is_guessed or num_outputs in (1, len(layout.classes)):
        return layout
    marks = list(layout.features.marks)[-num_outputs:]
    if len(marks) < num_outputs:
        return layout
    matched = recognise(options.data, marks)
    reason = f"the last {num_outputs} columns of 0 and 1, because the network has {pluralize(num_outputs, 'output')}"
    return replace(matched, guesses={**matched.guesses, "label": reason})


def choose_draft(
    drafts: "Sequence[tuple[ManifestDraft, ModelDraft]]",
    weights: "Checkpoint",
    options: InitOptions,
    run_options: RunOptions,
) -> "tuple[ManifestDraft, Trial | None]":
    """Return the draft with which the checkpoint predicts a sample best, and the trial."""
    first, model = drafts[0]
    if not model.is_complete:
        console.warn(
            "no known architecture fits the tensors, so nothing was tried; set model.architecture to the function that "
            "builds the network, or name it with --architecture; 'inspect --try timm' compares timm's networks"
        )
        return first, None
    if lacks_tokens(first):
        console.warn(
            "nothing states how the texts become numbers, so nothing was tried; add 'tokens' with the tokenizer or the "
            "number of buckets, and the length, to data.transform, and set input.shape"
        )
        return first, None
    from unlearn_cli.commands.draft_check import DraftInputs, find_trial

    inputs = DraftInputs(weights.path, options.out.parent, run_options)
    trials: list[tuple[Trial, ManifestDraft]] = []
    for each, model in drafts:
        names = (trials[0][0].normalisation.name, IMAGENETS) if trials else ()
        if trial := find_trial(each, "mean" in model.input, inputs, names):
            trials.append((trial, each))
    better = [(trial, each) for trial, each in trials if trial.is_better_than_chance]
    trial, draft = min(better or trials[:1], key=lambda pair: pair[0].loss, default=(None, first))
    return (add_trial(draft, trial) if trial else draft), trial


def lacks_tokens(draft: ManifestDraft) -> bool:
    """Return whether the data has columns of text, and no file of the model states its tokenizer."""
    has_text = any("text" in source.get("table", {}) for source in draft.layout.sources.values())
    return has_text and not any("tokens" in step for step in draft.transform)


def fit_task(layout: DataLayout, model: "ModelDraft", data: Path) -> DataLayout:
    """Return the layout with the task that the outputs of the network decide, where numbers may be classes or not.

    Raises:
        UserError: the network has another number of outputs than the data has classes.
    """
    if not model.has_head:
        raise UserError(
            f"{data}: the checkpoint has no linear layer for {pluralize(len(layout.classes) or 1, 'output')}; "
            "name one with its last layer, or the network with --architecture"
        )
    if layout.task == "regression" and model.num_outputs > 1:
        raise UserError(
            f"{data}: the network has {model.num_outputs} outputs, but the labels are quantities; name the column of "
            "classes with --label"
        )
    if model.is_multilabel and layout.has_marks:
        layout = replace(layout, task="multilabel")
    are_numbers = all(name.lstrip("-").isdecimal() for name in layout.classes)
    if model.num_outputs == 1 and layout.task == "classification" and are_numbers and len(layout.classes) > 2:
        return replace(layout, task="regression", classes=[])
    check_outputs(layout, model, data)
    return layout


def check_outputs(layout: DataLayout, model: "ModelDraft", data: Path) -> None:
    """Refuse a network with another number of outputs than the data has classes, unless its files name them all."""
    is_named = bool(model.names) and set(layout.classes) <= set(model.names)
    expected = (len(layout.classes), 1) if len(layout.classes) == 2 else (len(layout.classes),)
    if layout.task == "regression" or is_named or model.num_outputs in expected or list_positions(layout, model):
        return
    last = f" (layer {model.head})" if model.head else ""
    shown = ", ".join(layout.classes[:5]) + (", ..." if len(layout.classes) > 5 else "")
    are_folders = "imagefolder" in layout.sources["train"]
    similar = "".join(f"{remark}; " for remark in describe_similar(layout.classes, are_folders=are_folders))
    noun = ("label", "labels") if layout.task == "multilabel" else ("class", "classes")
    raise UserError(
        f"{data}: has {pluralize(len(layout.classes), *noun)} ({shown}), but the network has "
        f"{pluralize(model.num_outputs, 'output')}{last}; {similar}name the data and the column of labels (--label) of "
        "its training, and a checkpoint that has its last layer"
    )


def list_positions(layout: DataLayout, model: "ModelDraft") -> list[str]:
    """Return the numbers of all outputs, if the data has some of them as labels; otherwise nothing."""
    positions = [str(number) for number in range(model.num_outputs)]
    is_part = layout.task == "classification" and set(layout.classes) < set(positions)
    return positions if is_part else []


def combine(options: InitOptions, layout: DataLayout, model: "ModelDraft") -> ManifestDraft:
    """Return the draft of both parts."""
    shape = Value(list(model.shape or layout.shape), model.size_remark, guessed=bool(model.size_remark))
    return ManifestDraft(
        f"Drafted by 'unlearn-cli init' from {options.checkpoint.name} and {options.data.absolute().name}.",
        layout,
        model.model,
        {"shape": shape, **draft_input(layout, model)},
        draft_classes(layout, model),
        model.transform,
    )


def list_variants(draft: ManifestDraft, model: "ModelDraft", options: InitOptions) -> list[ManifestDraft]:
    """Return the draft with what no file states: sizes of images, and for columns of numbers standardised columns."""
    from unlearn_cli.commands.size_draft import list_sizes

    if draft.layout.kind == "images":
        return list_sizes(draft, model.num_outputs, options.out.parent)
    if draft.layout.kind != "numbers" or draft.transform:
        return [draft]
    if draft.layout.has_gaps:
        return [replace(draft, transform=[{"standardise": {"missing": "mean"}}])]
    return [draft, replace(draft, transform=[{"standardise": {}}])]


def draft_input(layout: DataLayout, model: "ModelDraft") -> dict[str, Value]:
    """Return the keys of `input` except the shape: those that files state, and a resize where sizes differ."""
    keys = dict(model.input)
    if layout.depth:
        keys["scale"] = Value(layout.depth, "pixels of more than 8 bits")
    shape = list(model.shape or layout.shape)
    differs = layout.kind == "images" and (not layout.same_size or shape[1:] != list(layout.shape[1:]))
    if differs and "resize" not in keys:
        keys["resize"] = Value(shape[1:], model.size_remark or "images have other sizes", guessed=True)
    return keys


def draft_classes(layout: DataLayout, model: "ModelDraft") -> Value | None:
    """Return the order of the outputs: from the model's files, or that of the data."""
    if layout.task == "regression":
        return None
    if model.names and set(layout.classes) <= set(model.names):
        return Value(list(model.names), f"the order of the outputs, {model.origin}")
    if positions := list_positions(layout, model):
        return Value(positions, f"the data has {len(layout.classes)} of {model.num_outputs} numbers", guessed=True)
    reason = f"the order of the network's outputs; here {layout.order}"
    return Value(list(layout.classes), reason, guessed=True)


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
        classes = Value(names, f"another order than {draft.layout.order}: predictions agree with it", guessed=True)
    return replace(draft, input={**draft.input, **changes}, classes=classes)


def make_result(options: InitOptions, draft: ManifestDraft, trial: "Trial | None") -> Result:
    """Return the path, and what is left to do."""
    guesses = draft.list_guesses()
    lines = [f"{options.out}: {len(guesses)} guessed: {', '.join(guesses)}" if guesses else f"{options.out}"]
    if trial:
        quality = "better than" if trial.is_better_than_chance else "no better than"
        lines.append(
            f"The checkpoint is {quality} chance ({trial.normalisation.name}):\n"
            f"{MEASURES[draft.layout.task]} {trial.score:.2f} on {pluralize(trial.n, 'training record')}."
        )
    command = f"unlearn-cli unlearn {options.checkpoint} -m {options.out} --out unlearned --dry-run"
    lines.append(f"Next: fill in 'forget', then:\n  {command}")
    document: dict[str, Any] = {"manifest": str(options.out), "checkpoint": str(options.checkpoint), "guessed": guesses}
    if trial:
        document["trial"] = {
            "normalisation": trial.normalisation.name, "score": trial.score, "chance": trial.chance, "n": trial.n
        }  # fmt: skip
    return Result("\n".join(lines), document)
