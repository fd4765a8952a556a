"""NegGrad: gradient ascent on the loss of the forgotten records and, with a weight, descent on that of the others.

    theta <- theta + lr * (grad L(theta; forget) - w * grad L(theta; retain))          w = `retain_weight`

Source: the baseline of Tarun et al., arXiv 2111.08947, section V, with w = 0; with w > 0 the variant that Kurmanji et
al. (Towards Unbounded Machine Unlearning, arXiv 2302.09880) call NegGrad+. Needs labelled `forget`; `retain` if w > 0.
Warning: the loss on forget has no upper bound, so too many steps destroy the network; with w = 0 a few steps suffice.

Two defaults differ from the sources: a bound on the loss on forget (`max_forget_loss`), which keeps the ascent from
diverging, and w > 0: with w = 0 the ascent destroyed a small network in our experiments.
"""

from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.data.mixed import mix
from unlearn_cli.learning.training import TaskLoss, make_optimizer, set_training_mode
from unlearn_cli.plugins.types import BatchNorm, Doc, Optimizer
from unlearn_cli.runtime.progress import track

SUMMARY = "gradient ascent on forget (and descent on retain)"


def neggrad(
    model: nn.Module,
    forget: Batches,
    retain: Batches,
    task_loss: TaskLoss,
    *,
    retain_weight: Annotated[NonNegativeFloat, Doc("w, weight of the loss on retain; 0: retain is not read")] = 1.0,
    steps: Annotated[PositiveInt, Doc("number of steps")] = 100,
    lr: Annotated[PositiveFloat, Doc("constant learning rate")] = 1e-3,
    optimizer: Annotated[Optimizer, Doc("Adam, or SGD without momentum")] = "adam",
    forget_share: Annotated[
        Annotated[float, Field(gt=0, le=0.9)] | None,
        Doc("share of forgotten records in a mixed batch, at least their share of the data; null: that share"),
    ] = 0.25,
    max_forget_loss: Annotated[
        PositiveFloat | None, Doc("no ascent while the loss on the batch's forgotten records is larger; null: no bound")
    ] = 5.0,
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "frozen",
) -> nn.Module:
    """Ascend on forget and, unless `retain_weight` is 0, descend on retain in the same steps."""
    stepper = make_optimizer(model, optimizer, lr)
    set_training_mode(model, batch_norm)
    if retain_weight:
        ascend_and_descend(
            model, forget, retain, task_loss, stepper, steps, retain_weight, forget_share, max_forget_loss
        )
    else:
        ascend(model, forget, task_loss, stepper, steps, max_forget_loss)
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
        (-clamp_loss(forget_loss, max_forget_loss)).backward()
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
        loss = retain_weight * down - clamp_loss(up, max_forget_loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress.log(forget_loss=up, retain_loss=down)


def clamp_loss(loss: Tensor, bound: float | None) -> Tensor:
    """Return the loss, but at most the bound: where it is larger its gradient is 0."""
    return loss if bound is None else loss.clamp(max=bound)
