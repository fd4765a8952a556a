"""Gaussian amnesiac: fine-tune a regression on retain and on forgotten records with randomly drawn labels.

    impair:  theta <- Adam steps on l(M(x), y) over retain and {(x, y') : x forgotten},  y' ~ N(mu, sigma^2), drawn once
    repair:  theta <- Adam steps on l(M(x), y) over retain only                        (0 epochs in the paper)

with mu and sigma the mean and standard deviation of the labels, and l the manifest's loss.

Source: Tarun, Chundawat, Mandal, Kankanhalli: Deep Regression Unlearning, arXiv 2210.08196, algorithm 2.
Needs forgotten samples without labels, labelled `retain`, and mean, standard deviation and range of the labels.
Warning: with drawn labels the network learns to predict mu on forgotten records, even where a network that never saw
them would predict another value. The repair corrects this, but a long repair also restores the forgotten knowledge.

In the paper mu and sigma are those of all training labels, and there is no repair. If a range of labels is forgotten,
this mu is close to the labels to forget, and the error on them can stay too small (STS-B: 0.7 times the reference's).
The defaults here draw labels from the distribution of retain, impair with a higher learning rate, and repair. The error
on retain can stay above the reference's (1.4 times on 5000 rotated images).
"""

from typing import Annotated, Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, UnlabelledBatches
from unlearn_cli.data.mixed import mix
from unlearn_cli.learning import training
from unlearn_cli.learning.step_sizes import choose_rate
from unlearn_cli.learning.training import (
    LabelStatistics,
    TaskLoss,
    descend,
    lr_factor,
    set_learning_rate,
    set_training_mode,
    take_step,
)
from unlearn_cli.plugins.types import BatchNorm, Doc, Schedule
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.seeds import Random

SUMMARY = "randomly drawn labels on forget, then repair on retain"
TASK = "regression"


def gaussian_amnesiac(
    model: nn.Module,
    forget_inputs: UnlabelledBatches,
    retain: Batches,
    label_statistics: LabelStatistics,
    task_loss: TaskLoss,
    random: Random,
    *,
    impair_epochs: Annotated[PositiveInt, Doc("epochs over retain and relabelled forgotten records")] = 5,
    impair_lr: Annotated[
        PositiveFloat | None, Doc("highest learning rate of the impair phase; null: 0.005, less if layers are wide")
    ] = None,
    clip_labels: Annotated[bool, Doc("clip drawn labels to the range of `labels_of`")] = False,
    labels_of: Annotated[
        Literal["train", "retain"], Doc("records whose labels give mean and standard deviation of the drawn ones")
    ] = "retain",
    repair_epochs: Annotated[NonNegativeInt, Doc("epochs over retain only, after the impair phase")] = 5,
    repair_lr: Annotated[
        PositiveFloat | None, Doc("highest learning rate of the repair phase; null: 0.001, less if layers are wide")
    ] = None,
    schedule: Annotated[Schedule, Doc("course of the learning rate over the steps of each phase")] = "cosine",
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "batch",
) -> nn.Module:
    """Train on retain and relabelled forgotten records, then on retain only."""
    statistics = label_statistics if labels_of == "train" else training.label_statistics(retain.targets)
    forget = forget_inputs.batches.relabelled(draw_labels(forget_inputs.num_samples, statistics, random, clip_labels))
    impair_lr = choose_rate("impair_lr", impair_lr, 5e-3, model)
    repair_lr = choose_rate("repair_lr", repair_lr, 1e-3, model)
    optimizer = torch.optim.Adam(model.parameters(), impair_lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(mix(forget, retain).epochs(impair_epochs), "relabelled", model, optimizer)
    for x, y, _ in steps:
        set_learning_rate(optimizer, impair_lr * lr_factor(schedule, steps.share_done))
        loss = task_loss(model(x), y)
        take_step(optimizer, loss)
        steps.log(loss=loss)
    if repair_epochs:
        repair(model, retain, task_loss, repair_epochs, repair_lr, schedule, batch_norm)
    return model


def draw_labels(count: int, statistics: LabelStatistics, random: Random, clip: bool) -> Tensor:
    """Draw independent labels (n,) from the normal distribution with these statistics."""
    drawn = statistics.mean + statistics.std * random.normal(count)
    return drawn.clamp(statistics.low, statistics.high) if clip else drawn


def repair(
    model: nn.Module,
    retain: Batches,
    task_loss: TaskLoss,
    epochs: int,
    lr: float,
    schedule: Schedule,
    batch_norm: BatchNorm,
) -> None:
    """Train on retain only, with a new optimizer."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(retain.epochs(epochs), "repair", model, optimizer)
    descend(model, steps, optimizer, task_loss, lr, schedule)
