"""NegGrad: go up the gradient of the loss on what must be forgotten, and, if asked for, down that on the rest.

    theta <- theta + lr * (grad L(theta; forget) - w * grad L(theta; retain))          w = `retain_weight`

Source: the baseline of Tarun et al., arXiv 2111.08947, section V, with w = 0; with w > 0 the variant that Kurmanji et
al. (Towards Unbounded Machine Unlearning, arXiv 2302.09880) call NegGrad+. Needs labelled `forget`; `retain` if w > 0.
Warning: the loss on forget has no upper end, so more steps than needed destroy the network; with w = 0 few are enough.

By default a bound on the loss on forget, which the sources do not have, keeps the ascent from running away, and the
variant with retain is taken: pure ascent destroyed the small network that it was tried on.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.data.mixed import mix
from unlearn_cli.learning.training import TaskLoss, make_optimizer, set_training_mode
from unlearn_cli.runtime.progress import track

SUMMARY = "gradient ascent on forget (and descent on retain)"


def neggrad(
    model: nn.Module,
    forget: Batches,
    retain: Batches,
    task_loss: TaskLoss,
    *,
    retain_weight: NonNegativeFloat = 1.0,
    steps: PositiveInt = 100,
    lr: PositiveFloat = 1e-3,
    optimizer: Literal["sgd", "adam"] = "adam",
    forget_share: Annotated[float, Field(gt=0, le=0.9)] | None = 0.25,
    max_forget_loss: PositiveFloat | None = 5.0,
    batch_norm: Literal["batch", "frozen"] = "frozen",
) -> nn.Module:
    """Take `steps` steps; with `retain_weight` 0 no record of retain is touched.

    A step does not ascend while the loss on its forgotten records is above `max_forget_loss` (null: it always does).
    With a `retain_weight` forgotten records come so often that they are about `forget_share` of a batch, never less
    often than the data has them; null: as often as that.
    """
    chosen = make_optimizer(model, optimizer, lr)
    set_training_mode(model, batch_norm)
    if retain_weight:
        ascend_and_descend(
            model, forget, retain, task_loss, chosen, steps, retain_weight, forget_share, max_forget_loss
        )
    else:
        ascend(model, forget, task_loss, chosen, steps, max_forget_loss)
    return model


def ascend(
    model: nn.Module,
    forget: Batches,
    task_loss: TaskLoss,
    optimizer: torch.optim.Optimizer,
    steps: int,
    max_forget_loss: float | None,
) -> None:
    """Minimise minus the loss on forget."""
    progress = track(forget.steps(steps), "ascend", model, optimizer)
    for x, y in progress:
        forget_loss = task_loss(model(x), y)
        optimizer.zero_grad()
        (-bounded(forget_loss, max_forget_loss)).backward()
        optimizer.step()
        progress.log(forget_loss=forget_loss)


def ascend_and_descend(
    model: nn.Module,
    forget: Batches,
    retain: Batches,
    task_loss: TaskLoss,
    optimizer: torch.optim.Optimizer,
    steps: int,
    retain_weight: float,
    forget_share: float | None,
    max_forget_loss: float | None,
) -> None:
    """Minimise the loss on retain, weighted, minus that on forget, both of the same mixed batches."""
    progress = track(mix(forget, retain, forget_share).steps(steps), "ascend", model, optimizer)
    for x, y, is_forget in progress:
        outputs = model(x)
        # A batch may lack one of the parts; the mean over none would be NaN.
        up = task_loss(outputs[is_forget], y[is_forget]) if is_forget.any() else outputs.sum() * 0
        down = task_loss(outputs[~is_forget], y[~is_forget]) if not is_forget.all() else outputs.sum() * 0
        loss = retain_weight * down - bounded(up, max_forget_loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress.log(forget_loss=up, retain_loss=down)


def bounded(loss: Tensor, bound: float | None) -> Tensor:
    """Return the loss, but at most the bound: where it is higher its gradient is 0."""
    return loss if bound is None else loss.clamp(max=bound)
