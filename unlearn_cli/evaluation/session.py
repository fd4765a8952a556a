"""One run of a command: builds and loads networks, opens the batches of a split, and predicts."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from unlearn_cli import ranks
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.checkpoints.network_fit import complete_tied
from unlearn_cli.data.augment import Augmentation, HorizontalFlip, RandomCrop
from unlearn_cli.data.batches import Batches, Scaling
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.stores import Store, StreamedStore, open_store
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.predict import allocate_outputs, observe, predict
from unlearn_cli.evaluation.prediction_cache import PredictionCache, open_cache
from unlearn_cli.evaluation.run_inputs import RunInputs, resume_identity
from unlearn_cli.evaluation.targets import are_equal, find_own_target
from unlearn_cli.learning.training import TaskLoss, regression_loss
from unlearn_cli.models.architectures import build_network, check_forward
from unlearn_cli.models.companion_files import Result, write_companions
from unlearn_cli.models.frozen import list_frozen
from unlearn_cli.models.saved_names import name_tensors
from unlearn_cli.runtime import processes
from unlearn_cli.runtime.run import Run, note
from unlearn_cli.runtime.run import start as start_run
from unlearn_cli.schema.data_sections import AugmentEntry
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.network_sections import NetworkSections, Target
from unlearn_cli.stats.outputs import Outputs, join_groups

PARTS = {"train": ("forget", "retain"), "test": ("test_forget", "test_retain")}  # disjoint parts, each predicted once
AUXILIARY_HEADS = ("AuxLogits", "aux1", "aux2")  # torchvision's names for them


class Names(NamedTuple):
    """The names of a network's tensors."""

    parameters: list[str]
    buffers: list[str]


class FrozenState(NamedTuple):
    """The weights of a network that was loaded to predict: a digest, and a count that any change of them increases."""

    digest: str
    changes: int


@dataclass
class Session:
    """One run of a command over one manifest."""

    opened: RunInputs
    run: Run
    target: Target = field(default_factory=Target)  # the scale of targets and outputs: that of the first network
    stores: dict[int, Store] = field(default_factory=dict)
    built: Names | None = None
    frozen_source: Checkpoint | None = None  # the first checkpoint: new networks take the frozen parts from it
    cache: PredictionCache | None = None
    frozen: WeakKeyDictionary[nn.Module, FrozenState] = field(default_factory=WeakKeyDictionary)

    @property
    def task(self) -> Task:
        return self.opened.dataset.task

    @property
    def sections(self) -> NetworkSections:
        """The sections of the manifest on how the network is built, fed and trained."""
        return self.opened.network

    def fresh(self, stream: str) -> nn.Module:
        """Build the network with new random weights from a named stream, on the device."""
        with self.run.fresh_weights(stream):
            model = self.build()
        if self.sections.model.frozen:
            self._take_frozen(model)
        return self.run.to_device(model)

    @torch.no_grad()
    def _take_frozen(self, model: nn.Module) -> None:
        """Copy the frozen parts from the checkpoint of the run, because new random weights would stay as they are."""
        if self.frozen_source is None:
            raise UserError(
                f"{self.opened.path}: model.frozen: the run has no checkpoint from which the frozen layers are taken; "
                "name one, such as 'train --from MODEL'"
            )
        state = model.state_dict()
        for name in list_frozen(model):
            state[name].copy_(self.frozen_source.tensors[name])

    def load(self, weights: Checkpoint, *, frozen: bool = True, whole: bool = False) -> nn.Module:
        """Build the network and load a checkpoint's weights.

        A `frozen` network is in eval mode and has no gradients; a `whole` one is not divided among processes.
        """
        self.frozen_source = self.frozen_source or weights
        model = self._load_shares(weights) if processes.is_sharded() and not whole else self._load(weights, whole)
        own = find_own_target(self.opened, weights.metadata, weights.path)
        self._rescale(model, own)
        if frozen:
            model.eval().requires_grad_(False)
            self.frozen[model] = FrozenState(f"{weights.tensor_digest} {own.mean} {own.std}", count_changes(model))
        return model

    def _rescale(self, model: nn.Module, own: Target) -> None:
        """Convert the outputs of a network that was trained with another mean and std of the labels to this scale."""
        if not are_equal(own, self.target):
            model.register_forward_hook(partial(_on_scale, own, self.target))

    def _load(self, weights: Checkpoint, whole: bool) -> nn.Module:
        model = self.build()
        checkpoint.load_weights(model, weights)
        return self.run.to_device(model, whole=whole)

    def _load_shares(self, weights: Checkpoint) -> nn.Module:
        """Load each process's share of the weights, so that no process holds all of them."""
        with torch.device("meta"):
            model = self.build()
        checkpoint.check_fits(model, weights)
        tensors = complete_tied(model, weights.tensors)
        computed_names = [name for name, buffer in model.named_buffers() if not name_tensors(model, [buffer])]
        if computed_names:
            raise UserError(
                f"--shard: the network computes the buffer {computed_names[0]} itself, so no checkpoint contains it; "
                "omit --shard"
            )
        model = processes.distribute(model).to_empty(device=self.run.device)
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if name in tensors:
                    tensor.copy_(processes.distribute_like(tensors[name].to(tensor.dtype), tensor))
                else:  # num_batches_tracked, which old checkpoints do not contain
                    tensor.zero_()
        return model

    def settle(self, model: nn.Module, like: Checkpoint | None) -> None:
        """Prepare a network for writing: equal in all processes, and in the dtypes of the checkpoint `like`."""
        model.zero_grad()  # the gradients are as large as the weights and no longer needed
        processes.average_buffers(model)
        checkpoint.round_like(model, like)
        if self.sections.model.frozen and like:
            self._check_frozen(model, like)

    def _check_frozen(self, model: nn.Module, like: Checkpoint) -> None:
        """Refuse a result in which a frozen layer changed."""
        with torch.device("meta"):
            names = list_frozen(self.build())
        state = model.state_dict()
        changed = [name for name in names if not _are_equal(state[name], like.tensors.get(name))]
        if changed:
            raise UserError(
                f"{self.opened.path}: the method changes {changed[0]}, which model.frozen protects; use "
                "another method, such as finetune or bad_teacher"
            )

    def write_companions(self, folder: Path, model: nn.Module, original: Checkpoint | None) -> None:
        """Write the files with which transformers and timm load a result, next to its weights."""
        if not ranks.is_first():
            return
        dataset, path = self.opened.dataset, original.path if original else None
        result = Result(self.sections, dataset.classes, dataset.num_outputs, type(model).__name__, path, self.task)
        write_companions(folder, result)

    def build(self) -> nn.Module:
        """Build the network of the manifest; the first time, check that it accepts the manifest's samples."""
        section, shape, num_outputs = self.sections.model, self.sections.input.shape, self.opened.dataset.num_outputs
        try:
            model = build_network(section, shape, num_outputs, self.task, self.sections.folder)
            if self.built is None:
                check_forward(model, section, shape, num_outputs, self.task)
        except UserError as error:
            raise UserError(f"{self.opened.path}: {error}") from None
        self.built = Names(*(name_tensors(model, tensors) for tensors in (model.parameters(), model.buffers())))
        self.run.limit_threads(model, math.prod(shape))
        return model

    @property
    def names(self) -> Names:
        """The names of the network's tensors, in its own order."""
        if self.built is None:
            self.build()
        assert self.built is not None
        return self.built

    def batches(self, name: str, *, augmented: bool = False) -> Batches:
        """Return the batches of a split; `augmented` ones are for training, whose time is measured without reading."""
        batches = self.make_batches(self.opened.dataset.split(name), augmented=augmented)
        if augmented:
            batches.store.load()
        return batches

    def make_batches(self, split: Split, *, augmented: bool = False) -> Batches:
        """Return the batches of any records of the data."""
        shape = tuple(self.sections.input.shape)
        if id(split.records) not in self.stores:
            # All sources share the budget. The first source that is used, usually train, is held in memory first.
            budget = self.run.memory_budget - sum(store.num_bytes for store in self.stores.values())
            store = open_store(split.records.inputs, shape, self.run.device, budget)
            self.stores[id(split.records)] = store
        store = self.stores[id(split.records)]
        augmentations = _augmentations(self.sections.augment) if augmented else ()
        return Batches(
            split,
            store,
            self._scaling(split),
            self._targets(split),
            shape,
            self.opened.dataset.num_outputs,
            self.run.batch_size,
            self.run.seed,
            self.run.memory_format,
            augmentations,
        )

    @property
    def samples_are(self) -> str:
        """Where the samples that were read are held: on the device, streamed, or both."""
        kinds = {"streamed" if isinstance(store, StreamedStore) else "on the device" for store in self.stores.values()}
        return " and ".join(sorted(kinds)) or "not read"

    def outputs(self, model: nn.Module, name: str, sample: np.ndarray | None = None) -> Outputs:
        """Return a network's outputs on a split, or on a sample of its records.

        Those on a sample are not stored: checks read samples before a run may write anything. No other samples are
        read for them.
        """
        batches = self.batches(name)
        if sample is None:
            return self.predict(model, batches)
        return self._compute(model, replace(batches.take(sample), store=batches.store.for_sample()))

    def predict(self, model: nn.Module, batches: Batches, into: np.ndarray | None = None) -> Outputs:
        """Return a network's outputs on these batches, in the unit of the labels."""
        path = self._find_stored(model, batches, "outputs")
        stored = self.cache.read(path) if self.cache and path else None
        if stored is None:
            outputs = self._compute(model, batches, into)
            if self.cache and path:
                self.cache.write(path, {"values": outputs.values})
            return outputs
        self.run.count_forward(model, batches.num_samples)
        values = stored["values"] if into is None else into
        values[...] = stored["values"]
        return Outputs(values, batches.split.labels, self.task, batches.split.groups)

    def _compute(self, model: nn.Module, batches: Batches, into: np.ndarray | None = None) -> Outputs:
        return predict(model, batches, self.task, self.target.mean, self.target.std, into)

    def observe(self, model: nn.Module, batches: Batches) -> tuple[Outputs, np.ndarray | None]:
        """Return a network's outputs on these batches, and the features before its last layer."""
        target = self.target
        path = self._find_stored(model, batches, "observed")
        stored = self.cache.read(path) if self.cache and path else None
        if stored is None:
            outputs, features = observe(model, batches, self.task, target.mean, target.std)
            if self.cache and path:
                both = {"values": outputs.values, **({} if features is None else {"features": features})}
                self.cache.write(path, both)
            return outputs, features
        self.run.count_forward(model, batches.num_samples)
        outputs = Outputs(stored["values"], batches.split.labels, self.task, batches.split.groups)
        return outputs, stored.get("features")

    def _find_stored(self, model: nn.Module, batches: Batches, kind: str) -> Path | None:
        """Return the file of predictions of a network that has not changed since it was loaded; None for others."""
        state = self.frozen.get(model)
        if self.cache is None or state is None or state.changes != count_changes(model):
            return None
        return self.cache.find_path(state.digest, batches, kind)

    def all_outputs(self, model: nn.Module) -> dict[str, Outputs]:
        """Return a network's outputs on every split; outputs on a part are views of those on the whole split."""
        outputs: dict[str, Outputs] = {}
        for whole, parts in PARTS.items():
            if all(part in self.opened.dataset.splits for part in parts):
                outputs.update(self._parts_and_whole(model, parts, whole))
            elif whole in self.opened.dataset.splits:
                outputs[whole] = self.outputs(model, whole)
        if "forgotten" in self.opened.dataset.splits:
            outputs["forgotten"] = self.outputs(model, "forgotten")
        return outputs

    def _parts_and_whole(self, model: nn.Module, parts: tuple[str, ...], whole: str) -> dict[str, Outputs]:
        """Predict each part once, into the array of the whole split's outputs."""
        batches = [self.batches(part) for part in parts]
        sizes, task = [part.num_samples for part in batches], self.task
        values = allocate_outputs(sum(sizes), self.opened.dataset.num_outputs, task)
        places = np.split(values, np.cumsum(sizes)[:-1])
        part_outputs = [self.predict(model, part, into) for part, into in zip(batches, places, strict=True)]
        labels, groups = (
            np.concatenate([part.labels for part in part_outputs]),
            join_groups([part.groups for part in part_outputs]),
        )
        together = Outputs(values, labels, task, groups)
        return {**dict(zip(parts, part_outputs, strict=True)), whole: together}

    def note_auxiliary_heads(self, model: nn.Module) -> None:
        """Note that auxiliary heads, which GoogLeNet and Inception have only for training, are not trained here."""
        heads = [name for name, _ in model.named_children() if name in AUXILIARY_HEADS]
        if heads:
            note(
                f"The auxiliary heads {' and '.join(heads)} get no gradient: they stay unchanged and may still contain "
                "the forgotten records; remove them before you pass the checkpoint on."
            )

    def task_loss(self) -> TaskLoss:
        """Return the loss that training minimises, on the scale of the network's outputs."""
        if self.task == "regression":
            return regression_loss(self.sections.loss)
        of_classes, of_labels = nn.functional.cross_entropy, nn.functional.binary_cross_entropy_with_logits
        return of_labels if self.task == "multilabel" else of_classes

    def _scaling(self, split: Split) -> Scaling:
        section = self.sections.input
        stored_as_bytes = split.records.inputs.take(split.rows[:1]).dtype == np.uint8 if len(split) else False
        scale = section.scale or (255.0 if stored_as_bytes else 1.0)
        per_channel = partial(_per_channel, dimensions=len(section.shape), device=self.run.device)
        return Scaling(scale, per_channel(section.mean), per_channel(section.std))

    def _targets(self, split: Split) -> torch.Tensor:
        labels = torch.from_numpy(split.labels)
        if self.task == "regression":
            labels = ((labels - self.target.mean) / self.target.std).float()
        if self.task == "multilabel":
            labels = labels.float()
        return labels.to(self.run.device)


@contextmanager
def start(
    opened: RunInputs, partial: Path | None = None, target: Target | None = None, out: Path | None = None
) -> Iterator[Session]:
    """Start a run over opened inputs; for a regression, `target` is the scale of the first network.

    Predictions are stored next to the output `out`, and facts about image files when the run ends.
    """
    common = opened.common
    options: dict[str, Any] = {"device": common.device, "precision": common.precision, "seed": common.seed}
    with start_run(
        **options,
        batch_size=common.batch_size,
        memory_budget=common.memory_budget * 2**20,
        partial=partial,
        identity=resume_identity(opened) if partial else "",
        shard=common.shard,
        compiled=common.compiled,
        profiled=common.profile,
    ) as run:
        scale = target or opened.network.target or Target()
        cache = open_cache(out, opened, run, scale)
        with cache or nullcontext(), opened.facts or nullcontext():
            yield Session(opened, run, scale, cache=cache)


def count_changes(model: nn.Module) -> int:
    """Return how often tensors of a network were changed in place, as autograd counts it."""
    return sum(tensor._version for tensor in model.state_dict().values())


def _are_equal(tensor: torch.Tensor, other: torch.Tensor | None) -> bool:
    whole = processes.full_tensor(tensor).detach().cpu()
    return other is None or torch.equal(whole, other.to(whole.dtype))


def _on_scale(own: Target, wanted: Target, model: nn.Module, inputs: Any, outputs: torch.Tensor) -> torch.Tensor:
    return outputs * (own.std / wanted.std) + (own.mean - wanted.mean) / wanted.std


def _augmentations(entries: Sequence[AugmentEntry]) -> tuple[Augmentation, ...]:
    return tuple(HorizontalFlip() if entry == "horizontal_flip" else RandomCrop(entry.random_crop) for entry in entries)


def _per_channel(value: float | list[float], dimensions: int, device: torch.device) -> torch.Tensor:
    numbers = torch.tensor(value, dtype=torch.float32, device=device)
    return numbers if numbers.dim() == 0 else numbers.reshape(-1, *[1] * (dimensions - 1))
