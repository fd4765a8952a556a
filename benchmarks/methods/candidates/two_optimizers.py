"""Two optimizers for one network: Adam with its own moments for steps on forget, SGD with momentum for steps on retain.

    repeat: theta <- Adam step on the loss of a batch of forget; theta <- SGD steps on the loss of batches of retain

Source: DualOptim (NeurIPS 2025), whose claim is a lower variance over settings.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from benchmarks.methods.candidates.levels import set_level_of_lost
from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.masking import distillation_loss, mask_classes, masked_softmax
from unlearn_cli.learning.recipes import Recipe, choose_class_rate
from unlearn_cli.learning.training import set_learning_rate, set_training_mode
from unlearn_cli.methods.amnesiac import draw_wrong_labels
from unlearn_cli.plugins.types import Doc
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.seeds import Random

Loss = Callable[[Tensor, Tensor], Tensor]
RETAIN_STEPS = 3  # per step on forget: the share of forgotten records is 25 %, as in the methods of the package
MOMENTUM = 0.9


def dual_masked(
    model: nn.Module,
    original: nn.Module,
    forget: Batches,
    retain: Batches,
    recipe: Recipe,
    random: Random,
    *,
    steps: Annotated[PositiveInt, Doc("steps on either, each with a quarter of a batch")] = 60,
    lr: Annotated[PositiveFloat | None, Doc("first rate of Adam; null: as masked")] = None,
    retain_lr: Annotated[PositiveFloat, Doc("first rate of SGD")] = 0.01,
) -> nn.Module:
    """Masked distillation with two optimizers."""
    lost = mask_classes(forget.targets.unique().tolist(), forget.num_outputs, forget.targets.device)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            targets = masked_softmax(original(x), lost)
        return distillation_loss(model(x), targets)

    alternate(model, forget, retain, loss, steps, lr or choose_class_rate(recipe), retain_lr)
    return set_level_of_lost(model, forget, retain, recipe, random)


def dual_relabel(
    model: nn.Module,
    forget: Batches,
    retain: Batches,
    num_classes: int,
    random: Random,
    recipe: Recipe,
    *,
    epochs: Annotated[PositiveInt, Doc("over retain")] = 6,
    lr: Annotated[PositiveFloat | None, Doc("first rate of Adam; null: half of the original's")] = None,
    retain_lr: Annotated[PositiveFloat, Doc("first rate of SGD")] = 0.01,
) -> nn.Module:
    """Relabelling with two optimizers."""
    relabelled = forget.relabelled(draw_wrong_labels(forget.targets, num_classes, random))

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(model(x), y)

    steps = round(epochs * len(retain) * 4 / RETAIN_STEPS)  # batches are quarters
    alternate(model, relabelled, retain, loss, steps, lr or recipe.lr / 2, retain_lr)
    return set_level_of_lost(model, forget, retain, recipe, random)


def alternate(
    model: nn.Module, forget: Batches, retain: Batches, loss: Loss, num_steps: int, lr: float, retain_lr: float
) -> None:
    """Take a step on forget, then RETAIN_STEPS on retain, with rates that fall linearly to 0."""
    adam = torch.optim.Adam(model.parameters(), lr, fused=True)
    sgd = torch.optim.SGD(model.parameters(), retain_lr, momentum=MOMENTUM)
    set_training_mode(model, "batch")
    of_forget, of_retain = iter_quarters(forget, num_steps), iter_quarters(retain, num_steps * RETAIN_STEPS)
    for step in track(range(num_steps), "alternate", model, adam, sgd):
        for optimizer, rate in ((adam, lr), (sgd, retain_lr)):
            set_learning_rate(optimizer, rate * (1 - step / num_steps))
        take_step(adam, loss(*next(of_forget)))
        for _ in range(RETAIN_STEPS):
            take_step(sgd, loss(*next(of_retain)))


def iter_quarters(batches: Batches, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield this number of batches of a quarter of the usual size."""
    return iter(replace(batches, batch_size=max(1, batches.batch_size // 4)).steps(count))


def take_step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
