"""Checks that a network and a manifest belong together, by the outputs on a few records, before any training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.session import Session
from unlearn_cli.evaluation.targets import is_unknown
from unlearn_cli.runtime.seeds import stream_generator
from unlearn_cli.schema.network_sections import is_own_code
from unlearn_cli.stats.outputs import Outputs

FIT_SAMPLE, LOGITS_SAMPLE = 1000, 64  # records to check


def check_fits(session: Session, model: nn.Module, weights: Checkpoint, path: Path, name: str = "train") -> None:
    """Refuse a network that is not better than chance on its training data (`name`, or train where it is absent).

    With a wrong input mean or class order, forgetting would look perfect.

    Raises:
        UserError: on a sample of the split, the network is not better than the label frequencies; it recognises
            the records of some classes as one another; or the outputs of a regression are far from the labels and
            their scale is not recorded.
    """
    opened, splits = session.opened, session.opened.dataset.splits
    name = name if name in splits else "train"
    check_logits(session, model)
    if name not in splits or opened.common.force:
        return
    order = torch.randperm(len(splits[name]), generator=stream_generator(session.run.seed, "fit check"))
    from unlearn_cli.stats.chance import describe_ignorance, describe_other_scale  # imports SciPy: 0.15 s

    outputs = session.outputs(model, name, np.sort(order[:FIT_SAMPLE].numpy()))
    if is_unknown(opened, weights.metadata) and (difference := describe_other_scale(outputs)):
        raise UserError(
            f"{path}: {difference}, of {name}; it was trained on scaled labels and does not record their mean and "
            "std: set 'target: {mean: ..., std: ...}' in the manifest; --force skips this check"
        )
    if flaw := describe_ignorance(outputs):
        raise UserError(
            f"{path}: {flaw}, of {name}; manifest and checkpoint do not belong together (input.mean, input.std, "
            "the order of channels or classes), or the network was never trained; --force skips this check"
        )
    check_order_of_classes(outputs, opened.dataset.classes, f"{path}: ", name)


def check_order_of_classes(outputs: Outputs, names: Sequence[str] | None, lead: str, split: str) -> None:
    """Refuse a classifier that recognises the records of two or more classes as one another.

    Raises:
        UserError: names the classes.
    """
    if outputs.task != "classification":
        return
    from unlearn_cli.stats.exchanged_classes import find_exchanged_classes  # imports SciPy

    for exchange in find_exchanged_classes(outputs):
        classes = [names[number] if names else str(number) for number in exchange.classes]
        raise UserError(
            f"{lead}recognises records of {' as '.join([*classes, classes[0]])} ({exchange.hits} of {exchange.n} "
            f"records of {split}); 'classes' must list the names in the order of the network's outputs, and the labels "
            "must be right; --force skips this check"
        )


def check_logits(session: Session, model: nn.Module) -> None:
    """Refuse a network from the user's code that returns probabilities, on a few records, before training.

    Raises:
        UserError: as `predict`.
    """
    splits = session.opened.dataset.splits
    names = [name for name in ("retain", "train") if name in splits]
    if names and is_own_code(session.sections.model.architecture):
        session.outputs(model, names[0], np.arange(min(LOGITS_SAMPLE, len(splits[names[0]]))))
