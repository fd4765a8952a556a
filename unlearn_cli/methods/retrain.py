"""Retraining: train from new random weights on retain alone, the reference ("gold") that forgetting is judged by.

    theta_r = Train(retain; new random weights)

Source: the gold standard of all four seed papers, e.g. Chundawat et al., arXiv 2205.08096, section 4. Needs `fresh` and
`retain`. Warning: it is a reference only when trained as the original was; give it that recipe with --set or --config.
"""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.training import TaskLoss, fit

SUMMARY = "train new random weights on retain alone: the reference"


def retrain(
    fresh: nn.Module,
    retain: Batches,
    task_loss: TaskLoss,
    *,
    epochs: PositiveInt = 20,
    optimizer: Literal["adam", "sgd"] = "adam",
    lr: PositiveFloat = 2e-3,
    weight_decay: NonNegativeFloat = 0.0,
    momentum: NonNegativeFloat = 0.9,
    schedule: Literal["constant", "cosine", "one_cycle"] = "one_cycle",
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
