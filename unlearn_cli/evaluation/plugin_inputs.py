"""Makes the inputs of plug-ins. `plugins.requirements` has the parts of the manifest that each input requires.

An input is made only for a plug-in whose signature names it: a plug-in cannot access any other input.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from torch import nn

from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.data.batches import without_labels
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
from unlearn_cli.evaluation.recipes import read_recipe
from unlearn_cli.evaluation.session import Session
from unlearn_cli.evaluation.training_cost import read_cost
from unlearn_cli.learning.noise import Noise, load_noise
from unlearn_cli.learning.shadows import Pool
from unlearn_cli.learning.training import label_statistics
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.plugins.requirements import ONLY_OPTIONAL

TRAINED = ("model", "fresh")  # the networks that methods train


@dataclass(frozen=True)
class MethodContext:
    """The sources of a method's inputs."""

    session: Session
    method: Plugin
    weights: Checkpoint
    original: nn.Module | None  # None if it is not an input of the method
    noise: Path | None = None


@dataclass(frozen=True)
class MeasuringContext:
    """The sources of the inputs of a metric or an attack: the measured role, and the split or reference of the call."""

    checkpoints: CheckpointOutputs
    role: str
    split: str = ""  # of a metric that is called once per split
    reference: str = ""  # role of the reference, of a metric that is called once per reference

    @property
    def session(self) -> Session:
        return self.checkpoints.session

    @property
    def references(self) -> list[str]:
        """The roles of the references that the checkpoint is compared with."""
        return self.checkpoints.references(but=self.role)


FACTS: dict[str, Callable[[Session], Any]] = {
    "forget_classes": lambda session: session.opened.dataset.forget_classes,
    "num_classes": lambda session: session.opened.dataset.num_outputs,
    "input_shape": lambda session: tuple(session.sections.input.shape),
    "task_loss": lambda session: session.task_loss(),
    "random": lambda session: session.run.random,
    "seed": lambda session: session.run.seed,
}
FOR_METHODS: dict[str, Callable[[MethodContext], Any]] = {
    "model": lambda context: context.session.load(context.weights, frozen=False, whole=context.method.whole),
    "original": lambda context: context.original,
    "fresh": lambda context: context.session.fresh("fresh"),
    "incompetent_teacher": lambda context: context.session.fresh("incompetent_teacher").eval().requires_grad_(False),
    "forget": lambda context: context.session.batches("forget", augmented=True),
    "retain": lambda context: context.session.batches("retain", augmented=True),
    "held_out": lambda context: context.session.batches("held_out"),
    "forget_inputs": lambda context: without_labels(context.session.batches("forget", augmented=True)),
    "retain_inputs": lambda context: without_labels(context.session.batches("retain", augmented=True)),
    "recipe": lambda context: read_recipe(context.weights),
    "label_statistics": lambda context: label_statistics(context.session.batches("train").targets),
    "noise": lambda context: read_noise(context),
}
FOR_MEASURING: dict[str, Callable[[MeasuringContext], Any]] = {
    "model": lambda context: context.checkpoints.model(context.role),
    "original": lambda context: context.checkpoints.model("original"),
    "reference": lambda context: context.checkpoints.model(context.reference),
    "reference_models": lambda context: map(context.checkpoints.model, context.references),
    "forget": lambda context: context.session.batches("forget"),
    "retain": lambda context: context.session.batches("retain"),
    "test": lambda context: context.session.batches("test"),
    "outputs": lambda context: context.checkpoints.outputs(context.role)[context.split],
    "reference_outputs": lambda context: context.checkpoints.outputs(context.reference)[context.split],
    "random_outputs": lambda context: context.checkpoints.random_outputs(context.split),
    "split_outputs": lambda context: _split_outputs(context),
    "reference_split_outputs": lambda context: context.checkpoints.outputs(context.reference),
    "split_features": lambda context: context.checkpoints.features(context.role),
    "forget_outputs": lambda context: context.checkpoints.outputs(context.role)["forget"],
    "retain_outputs": lambda context: context.checkpoints.outputs(context.role)["retain"],
    "holdout_outputs": lambda context: context.checkpoints.outputs(context.role)["holdout"],
    "original_split_outputs": lambda context: context.checkpoints.outputs("original"),
    "original_forget_outputs": lambda context: context.checkpoints.outputs("original")["forget"],
    "original_holdout_outputs": lambda context: context.checkpoints.outputs("original")["holdout"],
    "reference_forget_outputs": lambda context: _collect_reference_outputs(context, "forget"),
    "reference_holdout_outputs": lambda context: _collect_reference_outputs(context, "holdout"),
    "reference_test_outputs": lambda context: _collect_reference_outputs(context, "test"),
    "weights": lambda context: context.checkpoints.read_weights(context.role),
    "original_weights": lambda context: context.checkpoints.read_weights("original"),
    "cost": lambda context: read_cost(context.checkpoints.weights[context.role]),
    "reference_cost": lambda context: read_cost(context.checkpoints.weights[context.reference]),
    "shadow_runs": lambda context: context.checkpoints.shadow_runs.of(context.role),
    "all_shadow_runs": lambda context: context.checkpoints.shadow_runs,
    "retained_shadow_runs": lambda context: _get_retained_shadow_runs(context),
}


class Inputs(Mapping[str, Any]):
    """Inputs by name; each is made on access."""

    def __init__(self, makers: Mapping[str, Callable[[Any], Any]], context: MeasuringContext) -> None:
        self.makers, self.context = makers, context

    def __getitem__(self, name: str) -> Any:
        return FACTS[name](self.context.session) if name in FACTS else self.makers[name](self.context)

    def __iter__(self) -> Iterator[str]:
        return iter((*self.makers, *FACTS))

    def __len__(self) -> int:
        return len(self.makers) + len(FACTS)


def make_measuring_inputs(context: MeasuringContext) -> Inputs:
    """Return the inputs of metrics and attacks."""
    return Inputs(FOR_MEASURING, context)


def make_method_inputs(
    session: Session,
    method: Plugin,
    settings: BaseModel,
    weights: Checkpoint,
    original: nn.Module | None,
    noise: Path | None = None,
) -> dict[str, Any]:
    """Make the inputs that the method's signature names, and no others, in its order.

    Of the optional inputs, `noise` is made if there is a file, and others if a setting names them.

    Raises:
        UserError: as `check_noise`.
    """
    context = MethodContext(session, method, weights, original, noise)
    names = [*method.list_inputs(settings), *(name for name in ONLY_OPTIONAL if name in method.optional)]
    values = {name: FACTS[name](session) if name in FACTS else FOR_METHODS[name](context) for name in names}
    inputs = {name: value for name, value in values.items() if name not in ONLY_OPTIONAL or value is not None}
    for name in TRAINED:
        if name in inputs:
            session.note_auxiliary_heads(inputs[name])
    return inputs


def _split_outputs(context: MeasuringContext) -> dict[str, Any]:
    outputs = context.checkpoints.outputs(context.role)
    return {**outputs, "retain_sample": outputs["retain"]}


def _collect_reference_outputs(context: MeasuringContext, split: str) -> list[Any]:
    return [context.checkpoints.outputs(role)[split] for role in context.references]


def _get_retained_shadow_runs(context: MeasuringContext) -> Pool | None:
    retained = context.checkpoints.shadow_runs.retained
    return retained.of(context.role) if retained else None


def read_noise(context: MethodContext) -> Noise | None:
    """Read the file of --noise, if one is given.

    Raises:
        UserError: as `check_noise`.
    """
    if context.noise is None:
        return None
    session = context.session
    return check_noise(context.noise, tuple(session.sections.input.shape), session.opened.dataset.forget_classes)


def check_noise(path: Path, shape: tuple[int, ...], classes: list[int] | None) -> Noise:
    """Read a file of noise and check that it fits the inputs and classes.

    Raises:
        UserError: it was learned for other inputs or other classes, or it is error-minimizing noise.
    """
    noise = load_noise(path, shape)
    if noise.kind != "maximize":
        raise UserError(f"{path}: contains noise of kind {noise.kind}; use 'unlearn-cli noise --kind maximize'")
    if sorted(noise.classes) != classes:
        mismatch = f"contains noise for the classes {noise.classes}, but 'forget' selects {classes}"
        raise UserError(f"{path}: {mismatch}; learn new noise with 'unlearn-cli noise'")
    return noise
