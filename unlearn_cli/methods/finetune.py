"""Fine-tuning: go on training on retain alone and let the forgotten records fade (the plainest baseline).

    theta <- theta - lr * grad CE(theta; retain)

Source: the baseline of all four seed papers, e.g. Tarun et al., arXiv 2111.08947, section V. Needs labelled `retain`.
Warning: what a network has learned of forget fades slowly; without an attack a good-looking number proves little.
"""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.training import TaskLoss, make_optimizer, set_training_mode
from unlearn_cli.runtime.progress import track

SUMMARY = "go on training on retain alone (baseline)"


def finetune(
    model: nn.Module,
    retain: Batches,
    task_loss: TaskLoss,
    *,
    epochs: PositiveInt = 5,
    steps: PositiveInt | None = None,
    optimizer: Literal["adam", "sgd"] = "adam",
    lr: PositiveFloat = 1e-3,
    batch_norm: Literal["batch", "frozen"] = "batch",
) -> nn.Module:
    """Train all weights on retain for `epochs`, or for so many `steps`; with sgd, without momentum."""
    chosen = make_optimizer(model, optimizer, lr)
    set_training_mode(model, batch_norm)
    progress = track(retain.steps(steps) if steps else retain.epochs(epochs), "finetune", model, chosen)
    for x, y in progress:
        loss = task_loss(model(x), y)
        chosen.zero_grad()
        loss.backward()
        chosen.step()
        progress.log(loss=loss)
    return model
