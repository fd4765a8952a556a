"""Retraining: train new random weights on retain only. The result is the reference for all other methods.

    theta_r = Train(retain; new random weights)

Source: the gold standard of the literature, e.g. Chundawat et al., arXiv 2205.08096, section 4. Needs `fresh` and
`retain`. Warning: it is a reference only if it is trained like the original: pass that recipe with --set or
--config, or use `train --split retain --like ORIGINAL`.
"""

from typing import Annotated

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.training import TaskLoss, fit
from unlearn_cli.plugins.types import Doc, Optimizer, Schedule

SUMMARY = "train new random weights on retain only: the reference"
TASK = ("classification", "regression", "multilabel")


def retrain(
    fresh: nn.Module,
    retain: Batches,
    task_loss: TaskLoss,
    *,
    epochs: Annotated[PositiveInt, Doc("epochs over the records")] = 20,
    optimizer: Annotated[Optimizer, Doc("Adam, or SGD with Nesterov momentum")] = "adam",
    lr: Annotated[PositiveFloat, Doc("highest learning rate of the schedule")] = 2e-3,
    weight_decay: Annotated[NonNegativeFloat, Doc("weight decay; with Adam decoupled (AdamW)")] = 0.0,
    momentum: Annotated[NonNegativeFloat, Doc("momentum of SGD; Adam ignores it")] = 0.9,
    schedule: Annotated[Schedule, Doc("course of the learning rate over the steps")] = "one_cycle",
) -> nn.Module:
    """Train `fresh` on retain by the recipe of `unlearn-cli train`, whose settings and defaults are the same."""
    return fit(
        fresh,
        retain,
        task_loss,
        epochs=epochs,
        optimizer=optimizer,
        lr=lr,
        weight_decay=weight_decay,
        momentum=momentum,
        schedule=schedule,
    )
