"""Amnesiac unlearning by relabelling: train on forget with wrong labels, once drawn at random, and on retain.

    y'(x) ~ uniform over the K - 1 classes other than y(x), for records of forget
    impair:  theta <- Adam steps on CE over {(x, y'(x))} and retain, in the same batches
    repair:  theta <- Adam steps on CE over retain alone (a new optimizer; lr falls to 0)

Source: Graves, Nagisetty, Ganesh: Amnesiac Machine Learning, arXiv 2010.10981 (the variant that relabels), as the
baseline of Chundawat et al., arXiv 2205.08096, has it. Needs labelled `forget` and `retain`.
Warning: without repair steps the network is worse than chance on the forgotten records, which tells who was forgotten.

Two things differ from the source by default, as in `bad_teacher`: the repair phase (a network that never saw a record
still gets many of its kind right; a class that retain lacks needs less impairing and less repair than single records,
which come back with the others of their class unless the weights are shaken hard), and the forgotten records' share of
a batch.
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.data.mixed import mix
from unlearn_cli.learning.training import BatchNorm, set_learning_rate, set_training_mode
from unlearn_cli.plugins.types import Fraction
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.seeds import Random

SUMMARY = "wrong labels on forget, then repair on retain"
TASK = "classification"


def amnesiac(
    model: nn.Module,
    forget: Batches,
    retain: Batches,
    num_classes: int,
    random: Random,
    *,
    impair_steps: PositiveInt = 60,
    impair_lr: PositiveFloat | None = None,
    repair_steps: NonNegativeInt | None = None,
    repair_lr: PositiveFloat | None = None,
    retain_share: Fraction = 1.0,
    forget_share: Annotated[float, Field(gt=0, le=0.9)] | None = 0.25,
    batch_norm: Literal["batch", "frozen"] = "batch",
) -> nn.Module:
    """Impair with the wrong labels, then repair on retain, of which `retain_share` is used.

    If retain has no records of the forgotten classes, `impair_lr` is 0.003, `repair_steps` 120, `repair_lr` 0.001
    unless given; else 0.009, 6 epochs of retain (at least 150 steps), 0.003. Forgotten records come so often that they
    are about `forget_share` of an impair batch, never less often than the data has them; null: as often as that.
    """
    relabelled = forget.relabelled(wrong_labels(forget.targets, num_classes, random))
    all_lost = not bool(torch.isin(forget.targets, retain.targets).any())
    retain = retain.share(retain_share)
    if repair_steps is None:
        repair_steps = 120 if all_lost else max(150, 6 * len(retain))
    impair(model, relabelled, retain, impair_steps, impair_lr or (3e-3 if all_lost else 9e-3), forget_share, batch_norm)
    repair(model, retain, repair_steps, repair_lr or (1e-3 if all_lost else 3e-3), batch_norm)
    return model


def wrong_labels(labels: Tensor, num_classes: int, random: Random) -> Tensor:
    """Return for each label another one, drawn uniformly from the other classes."""
    return (labels + 1 + random.integers(num_classes - 1, len(labels))) % num_classes


def impair(
    model: nn.Module,
    relabelled: Batches,
    retain: Batches,
    num_steps: int,
    lr: float,
    forget_share: float | None,
    batch_norm: BatchNorm,
) -> None:
    """Train on the relabelled records and on retain, in the same batches."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(mix(relabelled, retain, forget_share).steps(num_steps), "impair", model, optimizer)
    for x, y, _ in steps:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)


def repair(model: nn.Module, retain: Batches, num_steps: int, lr: float, batch_norm: BatchNorm) -> None:
    """Train on retain alone, with a new optimizer and a learning rate that falls linearly to 0."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(retain.steps(num_steps), "repair", model, optimizer)
    for x, y in steps:
        set_learning_rate(optimizer, lr * (1 - steps.share_done))
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)
