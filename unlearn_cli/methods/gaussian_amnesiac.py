"""Gaussian amnesiac: fine-tune a regression on retain and, in the same batches, on forgotten records with drawn labels.

    theta <- Adam steps on l(M(x), y) over retain and {(x, y') : x forgotten},  y' ~ N(mu, sigma^2), drawn once
    theta <- Adam steps on l(M(x), y) over retain alone                         (repair; 0 epochs in the paper)

with mu and sigma the mean and standard deviation of the labels, and l the manifest's loss.

Source: Tarun, Chundawat, Mandal, Kankanhalli: Deep Regression Unlearning, arXiv 2210.08196, algorithm 2.
Needs forgotten samples without labels, labelled `retain`, and mean, standard deviation and range of the labels.
Warning: drawn labels teach the network mu, whatever a network that never saw the records would say of them; repair lets
it return to what generalises, but a long one brings back what it knew of the forgotten records, too.

In the paper the labels are those of all training records and nothing is repaired. Where a range of labels is forgotten,
that mu is drawn towards what must be forgotten, and the error there can stay too small (STS-B: 0.7 of the reference's).
Our defaults draw labels like those of retain, forget with a higher learning rate, and repair. The error on retain can
stay above the reference's (1.4 times on 5000 rotated images).
"""

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, UnlabelledBatches
from unlearn_cli.data.mixed import mix
from unlearn_cli.learning import training
from unlearn_cli.learning.training import (
    BatchNorm,
    LabelStatistics,
    Schedule,
    TaskLoss,
    lr_factor,
    set_learning_rate,
    set_training_mode,
)
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.seeds import Random

SUMMARY = "drawn labels on forget, then repair on retain"
TASK = "regression"


def gaussian_amnesiac(
    model: nn.Module,
    forget_inputs: UnlabelledBatches,
    retain: Batches,
    label_statistics: LabelStatistics,
    task_loss: TaskLoss,
    random: Random,
    *,
    impair_epochs: PositiveInt = 5,
    impair_lr: PositiveFloat = 5e-3,
    clip_labels: bool = False,
    labels_of: Literal["train", "retain"] = "retain",
    repair_epochs: NonNegativeInt = 5,
    repair_lr: PositiveFloat = 1e-3,
    schedule: Literal["constant", "cosine", "one_cycle"] = "cosine",
    batch_norm: Literal["batch", "frozen"] = "batch",
) -> nn.Module:
    """Train on retain and relabelled forgotten records for `impair_epochs`, then on retain alone.

    `labels_of` says whose mean and spread the drawn labels have; `clip_labels` brings them into the range of
    those labels.
    """
    statistics = label_statistics if labels_of == "train" else training.label_statistics(retain.targets)
    forget = forget_inputs.batches.relabelled(draw_labels(forget_inputs.num_samples, statistics, random, clip_labels))
    optimizer = torch.optim.Adam(model.parameters(), impair_lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(mix(forget, retain).epochs(impair_epochs), "relabelled", model, optimizer)
    for x, y, _ in steps:
        set_learning_rate(optimizer, impair_lr * lr_factor(schedule, steps.share_done))
        loss = task_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)
    if repair_epochs:
        repair(model, retain, task_loss, repair_epochs, repair_lr, schedule, batch_norm)
    return model


def draw_labels(count: int, statistics: LabelStatistics, random: Random, clip: bool) -> Tensor:
    """Return independent labels (n,) from the normal distribution with the mean and spread of the training labels."""
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
    """Train on retain alone, with a new optimizer."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(retain.epochs(epochs), "repair", model, optimizer)
    for x, y in steps:
        set_learning_rate(optimizer, lr * lr_factor(schedule, steps.share_done))
        loss = task_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)
