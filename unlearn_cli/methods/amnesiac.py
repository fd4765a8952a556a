"""Amnesiac unlearning by relabelling: train on forget with wrong labels, drawn once at random, and on retain.

    y'(x) ~ uniform over the K - 1 classes other than y(x), for records of forget
    impair:  theta <- Adam steps on CE over {(x, y'(x))} and retain, in the same batches
    repair:  theta <- Adam steps on CE over retain only (a new optimizer; lr falls to 0)
    rewind:  optional; of the states of the repair, the one nearest to held-out records (learning.rewind)

Source: Graves, Nagisetty, Ganesh: Amnesiac Machine Learning, arXiv 2010.10981 (the variant that relabels), as used as
a baseline by Chundawat et al., arXiv 2205.08096. Needs labelled `forget` and `retain`.
Warning: without repair steps the network is worse than chance on the forgotten records, which reveals them.

Three defaults differ from the source, as in `bad_teacher`: the repair phase, the share of forgotten records in a batch,
and the level step after whole classes (learning.level). A network that never saw a record still gets many of its kind
right, so the accuracy on them must be repaired. A class that retain lacks needs fewer steps of both phases than single
records: these return with the others of their class unless the impair phase changes the weights strongly. With two
classes the only wrong label is the other one, which teaches the opposite of what the records have in common; there, y'
is drawn from the labels of retain.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.data.mixed import mix
from unlearn_cli.learning.recipes import Recipe, choose_class_rate
from unlearn_cli.learning.rewind import NoRewind, Rewind, are_all_lost, make_rewind
from unlearn_cli.learning.step_sizes import choose_rate
from unlearn_cli.learning.training import set_learning_rate, set_training_mode, take_step
from unlearn_cli.plugins.types import BatchNorm, Doc, Fraction
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.seeds import Random

SUMMARY = "wrong labels on forget, then repair on retain"
LEVEL_STEP = True  # for whole classes
TASK = "classification"


def amnesiac(
    model: nn.Module,
    forget: Batches,
    retain: Batches,
    num_classes: int,
    random: Random,
    recipe: Recipe,
    *,
    held_out: Batches | None = None,
    impair_steps: Annotated[PositiveInt, Doc("steps on relabelled and retain records")] = 60,
    impair_lr: Annotated[
        PositiveFloat | None,
        Doc("null: half of the original's if retain lacks the forgotten classes, else 0.009; less in wide layers"),
    ] = None,
    repair_steps: Annotated[
        NonNegativeInt | None,
        Doc("steps on retain; null: 120 if retain lacks the forgotten classes, else 6 epochs, at least 150"),
    ] = None,
    repair_lr: Annotated[
        PositiveFloat | None,
        Doc("first rate; null: 0.001 if retain lacks the forgotten classes, else 0.003; less in wide layers"),
    ] = None,
    retain_share: Annotated[Fraction, Doc("share of the retain records that is used")] = 1.0,
    forget_share: Annotated[
        Annotated[float, Field(gt=0, le=0.9)] | None,
        Doc("share of forgotten records in an impair batch, at least their share of the data; null: that share"),
    ] = 0.25,
    rewind: Annotated[
        Literal["held_out", "last"],
        Doc("the state of the repair that is taken: the one nearest to held-out records, or the last"),
    ] = "last",
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "batch",
) -> nn.Module:
    """Impair with the wrong labels, then repair on retain."""
    all_lost = are_all_lost(forget, retain)
    if num_classes > 2 or all_lost:
        labels = draw_wrong_labels(forget.targets, num_classes, random)
    else:
        labels = draw_frequent_labels(retain.targets, forget.num_samples, random)
    relabelled = forget.relabelled(labels)
    retain = retain.share(retain_share)
    if repair_steps is None:
        repair_steps = count_repair_steps(all_lost, len(retain))
    impair_lr = choose_rate("impair_lr", impair_lr, choose_class_rate(recipe) if all_lost else 9e-3, model)
    repair_lr = choose_rate("repair_lr", repair_lr, 1e-3 if all_lost else 3e-3, model)
    impair(model, relabelled, retain, impair_steps, impair_lr, forget_share, batch_norm)
    rewinder = make_rewind(model, forget, None if all_lost else held_out, repair_steps)
    repair(model, retain, repair_steps, repair_lr, rewinder, batch_norm)
    return model


def count_repair_steps(all_lost: bool, epoch: int) -> int:
    """Return the default number of steps; an epoch of retain has `epoch` of them."""
    return 120 if all_lost else max(150, 6 * epoch)


def bound_steps(settings: Mapping[str, Any], epoch: int) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest default number of repair steps, if the setting is null."""
    numbers = [count_repair_steps(all_lost, epoch) for all_lost in (False, True)]
    return {"repair_steps": (min(numbers), max(numbers))} if settings["repair_steps"] is None else {}


def draw_wrong_labels(labels: Tensor, num_classes: int, random: Random) -> Tensor:
    """Return for each label another one, drawn uniformly from the other classes."""
    return (labels + 1 + random.integers(num_classes - 1, len(labels))) % num_classes


def draw_frequent_labels(labels: Tensor, count: int, random: Random) -> Tensor:
    """Return `count` labels drawn from these ones, with replacement."""
    return labels[random.integers(len(labels), count)]


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
        take_step(optimizer, loss)
        steps.log(loss=loss)


def repair(
    model: nn.Module,
    retain: Batches,
    num_steps: int,
    lr: float,
    rewinder: Rewind | NoRewind,
    batch_norm: BatchNorm,
) -> None:
    """Train on retain only, with a new optimizer and a learning rate that falls linearly to 0."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(retain.steps(num_steps), "repair", model, optimizer, *rewinder.state)
    for x, y in steps:
        set_learning_rate(optimizer, lr * (1 - steps.share_done))
        loss = F.cross_entropy(model(x), y)
        take_step(optimizer, loss)
        steps.log(loss=loss)
        rewinder.observe(steps.done + 1)
    rewinder.restore(num_steps)
