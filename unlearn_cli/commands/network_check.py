"""Checks of the network and its checkpoints, before a run trains anything and with `--dry-run`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.checkpoints.tensor_names import NameMapping
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation import session
from unlearn_cli.evaluation.fit_checks import check_fits
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.evaluation.session import Session
from unlearn_cli.evaluation.targets import choose_target
from unlearn_cli.models.architectures import build_network, check_forward
from unlearn_cli.models.saved_names import NamesOfOtherVersions


def load_checkpoints(opened: RunInputs, paths: Mapping[str, Path]) -> dict[str, Checkpoint]:
    """Load checkpoints by role; each must fit the manifest's network.

    Raises:
        UserError: a checkpoint is broken or belongs to another network, or as `check_network`.
    """
    network = check_network(opened)
    mapping = make_mapping(opened, network)
    checkpoints = {role: checkpoint.load(path, mapping) for role, path in paths.items()}
    for weights in checkpoints.values():
        checkpoint.check_fits(network, weights)
    return checkpoints


def make_mapping(opened: RunInputs, network: nn.Module | None = None) -> NameMapping:
    """Return how the names in checkpoints become those of the manifest's network, which is built if it is needed."""
    section = opened.network.model
    if not section.architecture.startswith("transformers/"):
        return NameMapping(section.prefix, section.rename)
    return NamesOfOtherVersions(section.prefix, section.rename, network or check_network(opened))


def check_network(opened: RunInputs) -> nn.Module:
    """Build the manifest's network without weights, and check that it accepts a sample of `input.shape`.

    Raises:
        UserError: the network is unknown, does not accept such samples, or does not return logits.
    """
    try:
        with torch.device("meta"):
            return _build(opened)
    except UserError:  # the user's own code may read the values of weights, which do not exist on the meta device
        return _build(opened)


def _build(opened: RunInputs) -> nn.Module:
    section, shape, dataset = opened.network.model, opened.network.input.shape, opened.dataset
    try:
        network = build_network(section, shape, dataset.num_outputs, dataset.task, opened.network.folder)
        check_forward(network, section, shape, dataset.num_outputs, dataset.task)
    except UserError as error:
        raise UserError(f"{opened.path}: {error}") from None
    return network


@contextmanager
def start_checked(
    opened: RunInputs, checkpoints: Mapping[str, Checkpoint], out: Path | None = None
) -> Iterator[Session]:
    """Start a session after checking that its first network is better than chance.

    The original is checked on train. Without an original, the subject is checked on retain, because it may have
    forgotten the rest. Predictions are stored beside the output `out`.

    Raises:
        UserError: as `choose_target` and `check_fits`.
    """
    subject = checkpoints["subject"]
    weights, split = (checkpoints["original"], "train") if "original" in checkpoints else (subject, "retain")
    scale = choose_target(opened, subject.metadata, subject.path)
    with session.start(opened, target=scale, out=out) as current:
        check_fits(current, current.load(weights), weights, weights.path, split)
        yield current
