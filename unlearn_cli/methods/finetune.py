"""Fine-tuning: go on training on retain alone and let the forgotten records fade (the plainest baseline).

    theta <- theta - lr * grad CE(theta; retain)

Source: the baseline of all four seed papers, e.g. Tarun et al., arXiv 2111.08947, section V. Needs labelled `retain`.
Warning: what a network has learned of forget fades slowly; without an attack a good-looking number proves little.
"""

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.runtime import track
from unlearn_cli.training import TaskLoss, training_mode


def finetune(
    model: nn.Module, retain: Batches, task_loss: TaskLoss, *,
    epochs: PositiveInt = 5, lr: PositiveFloat = 1e-3, batch_norm: Literal["batch", "frozen"] = "batch",
) -> nn.Module:  # fmt: skip
    """Train all weights on retain with Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr)
    training_mode(model, batch_norm)
    steps = track(retain.epochs(epochs), "finetune", model, optimizer)
    for x, y in steps:
        loss = task_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)
    return model
