"""The ordinary training loop, and the parts that the methods that train share."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.errors import UserError
from unlearn_cli.plugins.types import BatchNorm, Doc, Optimizer, Schedule
from unlearn_cli.runtime.processes import is_distributed
from unlearn_cli.runtime.progress import Steps, track

TaskLoss = Callable[[Tensor, Tensor], Tensor]
SINGLE_VALUE = "Expected more than 1 value per channel"  # in torch's message


def fit(
    model: nn.Module,
    train: Batches,
    task_loss: TaskLoss,
    *,
    epochs: Annotated[PositiveInt, Doc("epochs over the records")] = 20,
    optimizer: Annotated[Optimizer, Doc("Adam, or SGD with Nesterov momentum")] = "adam",
    lr: Annotated[PositiveFloat, Doc("highest learning rate of the schedule")] = 2e-3,
    weight_decay: Annotated[NonNegativeFloat, Doc("weight decay; with Adam decoupled (AdamW)")] = 0.0,
    momentum: Annotated[NonNegativeFloat, Doc("momentum of SGD; Adam ignores it")] = 0.9,
    schedule: Annotated[Schedule, Doc("course of the learning rate over the steps")] = "one_cycle",
) -> nn.Module:
    """Train all weights of a network and return it. `unlearn-cli train` reads its settings from this signature."""
    stepper = make_optimizer(model, optimizer, lr, weight_decay, momentum)
    set_training_mode(model, "batch")
    steps = track(train.epochs(epochs), "train", model, stepper)
    descend(model, steps, stepper, task_loss, lr, schedule)
    return model


def descend(
    model: nn.Module,
    steps: Steps[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    task_loss: TaskLoss,
    lr: float,
    schedule: Schedule,
) -> None:
    """Minimise the loss on the batches of a phase, at the rates of the schedule."""
    for x, y in steps:
        set_learning_rate(optimizer, lr * lr_factor(schedule, steps.share_done))
        loss = task_loss(model(x), y)
        take_step(optimizer, loss)
        steps.log(loss=loss)


def make_optimizer(
    model: nn.Module, name: Optimizer, lr: float, weight_decay: float = 0.0, momentum: float = 0.0
) -> torch.optim.Optimizer:
    """Build SGD with Nesterov momentum, or Adam with decoupled weight decay (plain Adam when that is 0)."""
    if name == "sgd":
        return torch.optim.SGD(
            model.parameters(),
            lr,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=momentum > 0,
            fused=not any(map(is_distributed, model.parameters())),  # torch can distribute only its fused Adam
        )
    return torch.optim.AdamW(model.parameters(), lr, weight_decay=weight_decay, fused=True)


def lr_factor(schedule: Schedule, done: float) -> float:
    """Return the factor on the learning rate when the share `done` of the steps is done.

    cosine falls from 1 to 0 along a cosine; one_cycle (Smith 2018, arXiv 1803.09820) first rises linearly over 30 % of
    the steps.
    """
    warmup = 0.3 if schedule == "one_cycle" else 0.0
    if schedule == "constant":
        return 1.0
    if done < warmup:
        return 0.04 + 0.96 * done / warmup  # torch's OneCycleLR also starts at 1/25
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def take_step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Compute the gradients of the loss and take a step."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def set_training_mode(model: nn.Module, batch_norm: BatchNorm) -> None:
    """Set train mode (dropout on); with `frozen`, batch norm uses its running statistics and does not update them."""
    model.train()
    if batch_norm == "frozen":
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


@contextmanager
def explain_single_values() -> Iterator[None]:
    """Translate torch's error on batch norm of a batch that has one value per channel.

    Raises:
        UserError: a batch has one record.
    """
    try:
        yield
    except ValueError as error:
        if SINGLE_VALUE not in str(error):
            raise
        raise UserError(
            "a batch has one record, of which batch norm cannot compute statistics; select more records, or set "
            "batch_norm=frozen where the method has this setting"
        ) from None


def regression_loss(name: Literal["mse", "l1"]) -> TaskLoss:
    """Return the loss of a network with one output against standardised targets (B,)."""
    loss = nn.functional.mse_loss if name == "mse" else nn.functional.l1_loss
    return lambda outputs, targets: loss(outputs.squeeze(1), targets)


@dataclass(frozen=True)
class LabelStatistics:
    """Mean, standard deviation (of a sample: n - 1) and range of training labels, on the network's own scale."""

    mean: float
    std: float
    low: float
    high: float


def label_statistics(targets: Tensor) -> LabelStatistics:
    """Describe standardised targets (n,); the standard deviation of a single one is 0."""
    numbers = targets.double()
    std = float(numbers.std()) if len(numbers) > 1 else 0.0
    return LabelStatistics(float(numbers.mean()), std, float(numbers.min()), float(numbers.max()))


@torch.no_grad()
def predict_outputs(model: nn.Module, inputs: Iterable[Tensor]) -> Tensor:
    """Return the network's outputs (n, K) for the samples of these batches, in eval mode."""
    model.eval()
    return torch.cat([model(x).float() for x in inputs])
