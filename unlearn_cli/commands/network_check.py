"""Checks of the network and its checkpoints, before a run trains anything and with `--dry-run`."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.checkpoints.network_fit import OTHER_CLASSES
from unlearn_cli.checkpoints.tensor_names import NameMapping
from unlearn_cli.data.dataset import Dataset
from unlearn_cli.data.labels import describe_used_numbers
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation import session
from unlearn_cli.evaluation.fit_checks import check_fits
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.evaluation.session import Session
from unlearn_cli.evaluation.targets import choose_target
from unlearn_cli.models.architectures import build_network, check_forward
from unlearn_cli.models.saved_names import NamesOfOtherVersions
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.network_sections import Model, NetworkSections

FEW_WEIGHTS, FEW_INPUTS = 10**7, 3 * 64 * 64


def load_checkpoints(opened: RunInputs, paths: Mapping[str, Path]) -> dict[str, Checkpoint]:
    """Load checkpoints by role; each must fit the manifest's network.

    Raises:
        UserError: a checkpoint is broken or belongs to another network, or as `check_network`.
    """
    network = check_network(opened)
    mapping = make_mapping(opened, network)
    checkpoints = {role: checkpoint.load(path, mapping) for role, path in paths.items()}
    for weights in checkpoints.values():
        checkpoint.check_fits(network, weights, advise_classes(opened.dataset))
    return checkpoints


def make_mapping(opened: RunInputs, network: nn.Module | None = None) -> NameMapping:
    """Return how the names in checkpoints become those of the manifest's network, which is built if it is needed."""
    section = opened.network.model
    needs_network = section.architecture.startswith("transformers/")
    return _make_mapping(section, network or (check_network(opened) if needs_network else None))


def _make_mapping(section: Model, network: nn.Module | None) -> NameMapping:
    if section.architecture.startswith("transformers/") and network is not None:
        return NamesOfOtherVersions(section.prefix, section.rename, network)
    return NameMapping(section.prefix, section.rename)


def advise_classes(dataset: Dataset) -> str:
    """Return what to do if a checkpoint has another number of outputs than the data has classes."""
    return describe_used_numbers(dataset.used_numbers) if dataset.used_numbers else OTHER_CLASSES


def check_headers(path: Path, sections: NetworkSections, dataset: Dataset, checkpoints: Sequence[Path]) -> None:
    """Check the manifest's network, and names and shapes of the checkpoints, without their weights.

    Raises:
        UserError: as `check_network`, or a checkpoint belongs to another network.
    """
    network = build_checked(path, sections, dataset.num_outputs, dataset.task)
    mapping = _make_mapping(sections.model, network)
    for weights in checkpoints:
        checkpoint.check_names_fit(network, weights, mapping, advise_classes(dataset))


def check_network(opened: RunInputs) -> nn.Module:
    """Build the manifest's network without weights, and check that it accepts a sample of `input.shape`.

    Raises:
        UserError: the network is unknown, does not accept such samples, or does not return logits.
    """
    return build_checked(opened.path, opened.network, opened.dataset.num_outputs, opened.dataset.task)


def build_checked(path: Path, sections: NetworkSections, num_outputs: int, task: Task) -> nn.Module:
    """Do the same as `check_network` for parts of a manifest; `path` is its name for messages.

    A small network gets weights: to run one without weights, torch imports its compiler, which takes about as long as
    to import torch.
    """
    try:
        with torch.device("meta"):
            network = _build(path, sections, num_outputs, task)
            if not _is_small(network, sections.input.shape):
                return _check_forward(network, path, sections, num_outputs, task)
    except UserError:  # the user's own code may read the values of weights, which do not exist on the meta device
        pass
    with torch.random.fork_rng(devices=[]):
        network = _build(path, sections, num_outputs, task)
        return _check_forward(network, path, sections, num_outputs, task)


def _build(path: Path, sections: NetworkSections, num_outputs: int, task: Task) -> nn.Module:
    with _name_manifest(path):
        return build_network(sections.model, sections.input.shape, num_outputs, task, sections.folder)


def _check_forward(
    network: nn.Module, path: Path, sections: NetworkSections, num_outputs: int, task: Task
) -> nn.Module:
    with _name_manifest(path):
        check_forward(network, sections.model, sections.input.shape, num_outputs, task)
    return network


def _is_small(network: nn.Module, shape: Sequence[int]) -> bool:
    """Return whether a network with weights is built, and run on one sample, in less than half a second."""
    return sum(weight.numel() for weight in network.parameters()) <= FEW_WEIGHTS and math.prod(shape) <= FEW_INPUTS


@contextmanager
def _name_manifest(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


@contextmanager
def start_checked(
    opened: RunInputs, checkpoints: Mapping[str, Checkpoint], out: Path | None = None
) -> Iterator[Session]:
    """Start a session after checking that its first network is better than chance.

    The original is checked on train. Without an original, the subject is checked on retain, because it may have
    forgotten the rest. Predictions are stored next to the output `out`.

    Raises:
        UserError: as `choose_target` and `check_fits`.
    """
    subject = checkpoints["subject"]
    weights, split = (checkpoints["original"], "train") if "original" in checkpoints else (subject, "retain")
    scale = choose_target(opened, subject.metadata, subject.path)
    with session.start(opened, target=scale, out=out) as current:
        check_fits(current, current.load(weights), weights, weights.path, split)
        yield current
