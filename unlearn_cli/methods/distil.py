"""Distilled retraining: new weights learn retain from its labels and from the original, in half of the time.

    theta <- new weights, trained on retain by the original's recipe with the loss
             (1 - s) CE(f(x), y) + s KL(q(x) || softmax(f(x)))
    q(x) = softmax of the original's outputs over the classes that retain has; other classes get exactly 0

Idea: the result never saw the forgotten records, so it treats them much as a retrained network does, whatever they are:
random records, a person, whole classes. The original's outputs contain more about a retained record than its label, so
training needs fewer steps. It suits where other methods approach the cost of retraining, or where neither forgotten nor
held-out records are at hand.

Source: distillation of Hinton et al., arXiv 1503.02531, into a network of the same architecture: Furlanello et al.,
Born-Again Neural Networks, arXiv 1805.04770. Needs `original`, new weights (`fresh`) and labelled `retain`.
Warning: the original knows the forgotten records, and its outputs on retained ones may contain a trace of this. Of a
regression they contain too much (an error on forget 10 % below the references'), so it is for classification only; of a
part of a class that is unlike the rest, some (of the cats among the pets it left 51 %, references 44 %). A network that
has learned its records by heart does so less in half of the time.

On made persons, s = 0 lost 0.4 to 0.9 points of test accuracy, s = 0.25 -0.1 to 0.6, and s = 0.5 left 1 to 2 points too
much on forget. By default it is trained for half of the original's epochs with twice its learning rate: rates rise as
epochs fall.

If the recipe of the original is not recorded, as in checkpoints of other programs, the training follows the networks:
Adam at a rate by the size of the new weights, until the running average of the weights has 1.1 times the original's
loss on retain (learning.adaptive_training). On the tasks above, without their recipes, it was as close to the
references (ToW .97 to .99), in 27 % of the epochs on made persons and 66 % elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.adaptive_training import GoalTraining, measure_loss
from unlearn_cli.learning.adaptive_training import choose_lr as choose_rate_of_weights
from unlearn_cli.learning.masking import MaskedDistillation
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import (
    TaskLoss,
    lr_factor,
    make_optimizer,
    set_learning_rate,
    set_training_mode,
    take_step,
)
from unlearn_cli.plugins.types import Doc
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import note, remark, report_setting

SUMMARY = "new weights from retain and the original's outputs on it"
TASK = "classification"
LIKE_ORIGINAL = True
SHARE, MOST_EPOCHS = 0.5, 150  # of the original's epochs
FASTER = 2.0  # largest factor on the original's learning rate
# Loss on retain where the original's recipe is not recorded: a multiple of its loss. A network that has memorised its
# records is certain about them; below the smallest goal, further training changes hardly anything but this certainty.
GOAL, SMALLEST_GOAL = 1.1, 0.01


def distil(
    fresh: nn.Module,
    original: nn.Module,
    retain: Batches,
    task_loss: TaskLoss,
    recipe: Recipe,
    *,
    epochs: Annotated[
        PositiveInt | None,
        Doc("epochs over retain; null: half of the original's, or until its loss if they are not recorded"),
    ] = None,
    lr: Annotated[
        PositiveFloat | None,
        Doc("highest learning rate; null: the original's, up to twice that for fewer epochs, or by the new weights"),
    ] = None,
    distillation: Annotated[
        Annotated[float, Field(ge=0, le=1)], Doc("s, share of the loss that is against the original's outputs")
    ] = 0.25,
) -> nn.Module:
    """Train `fresh` on retain with the labels and the original's outputs."""
    divergence = MaskedDistillation(original, find_lacking(retain), temperature=1.0)
    loss = DistilledLoss(task_loss, divergence, distillation)
    if epochs is None and not recipe.is_known:
        train_to_goal(fresh, original, retain, loss, lr or choose_rate_of_weights(fresh))
        return fresh
    epochs = epochs or choose_epochs(recipe)
    lr = lr or choose_lr(recipe, epochs)
    report_setting("epochs", epochs)
    report_setting("lr", lr)
    stepper = make_optimizer(fresh, recipe.optimizer, lr, recipe.weight_decay, recipe.momentum)
    set_training_mode(fresh, "batch")
    steps = track(retain.epochs(epochs), "distil", fresh, stepper)
    for x, y in steps:
        set_learning_rate(stepper, lr * lr_factor(recipe.schedule, steps.share_done))
        value = loss(fresh(x), x, y)
        take_step(stepper, value)
        steps.log(loss=value)
    return fresh


def choose_epochs(recipe: Recipe) -> int:
    """Return half of the original's epochs."""
    return min(MOST_EPOCHS, max(1, round(SHARE * recipe.epochs)))


def train_to_goal(fresh: nn.Module, original: nn.Module, retain: Batches, loss: "DistilledLoss", lr: float) -> None:
    """Train until the loss on retain is near the original's, because the original's epochs are not recorded."""
    goal = max(SMALLEST_GOAL, GOAL * measure_loss(original, retain, loss.task_loss))
    epochs = GoalTraining(fresh, retain, loss.task_loss, lr, "distil", loss).run_to_average(goal)
    report_setting("epochs", epochs)
    report_setting("lr", lr)
    remark(f"distil: no recipe of the original is recorded, so new weights were trained to its loss: {epochs} epochs.")
    reached = measure_loss(fresh, retain, loss.task_loss)
    if reached > goal:
        note(f"distil: after {epochs} epochs the loss on retain is {reached:.3g}, not {goal:.3g}; set epochs and lr")


def choose_lr(recipe: Recipe, epochs: int) -> float:
    """Return the original's highest rate, as many times higher as the epochs are fewer, at most FASTER times."""
    return recipe.lr * min(FASTER, max(1.0, recipe.epochs / epochs))


def bound_steps(settings: Mapping[str, Any], epoch: int) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest default number of steps, which depends on the original."""
    return {"steps": (epoch, MOST_EPOCHS * epoch)} if settings["epochs"] is None else {}  # with a recipe or without


def find_lacking(retain: Batches) -> Tensor:
    """Return the mask (K,) of the classes without a record in retain."""
    return ~torch.isin(torch.arange(retain.num_outputs, device=retain.targets.device), retain.targets)


@dataclass(frozen=True)
class DistilledLoss:
    """The loss on labels, mixed with the divergence from the original without the classes that retain lacks."""

    task_loss: TaskLoss
    divergence: MaskedDistillation
    share: float  # of the divergence

    def __call__(self, outputs: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of outputs (B, K) for inputs x (B, *shape) with the labels y (B,)."""
        return torch.lerp(self.task_loss(outputs, y), self.divergence(outputs, x, y), self.share)
