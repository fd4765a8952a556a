"""Distilled retraining: new weights learn retain from its labels and from the original, until they know it as well.

    theta <- new weights, then Adam steps over retain on the loss
             (1 - s) CE(f(x), y) + s KL(q(x) || softmax(f(x)))
    q(x) = softmax of the original's outputs over the classes of retain;
           the other classes get exactly 0
    result: the running average of theta, as soon as its CE on retain is at
            most `goal` times the original's

Idea: the result never saw the forgotten records, so it treats them much as a retrained network does, whatever they are:
random records, a person, whole classes. The original's outputs contain more about a retained record than its label, and
the average of the weights is as good as a rate that falls to 0, so training needs fewer steps. It ends where the
original ended, in a loss instead of epochs, and its rate follows the size of the new weights, so no recipe of the
original is needed. It suits where other methods approach the cost of retraining, or where neither forgotten nor
held-out records are at hand.

Source: distillation of Hinton et al., arXiv 1503.02531, into a network of the same architecture: Furlanello et al.,
Born-Again Neural Networks, arXiv 1805.04770; average and rate: learning.adaptive_training. Needs `original`, new
weights (`fresh`) and labelled `retain`.
Warning: the original knows the forgotten records, and its outputs on retained ones may contain a trace of this. Of a
regression they contain too much (an error on forget 10 % below the references'), so it is for classification only.

A network that has memorised its records is certain about them; below a loss of 0.01, further training changes hardly
anything but this certainty, so this is the smallest goal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.adaptive_training import MOST_EPOCHS, GoalTraining, choose_lr, measure_loss
from unlearn_cli.learning.masking import MaskedDistillation
from unlearn_cli.learning.training import TaskLoss
from unlearn_cli.plugins.types import Doc
from unlearn_cli.runtime.run import note, report_setting

SUMMARY = "new weights from retain and the original's outputs on it"
TASK = "classification"
SMALLEST_GOAL = 0.01


def distil(
    fresh: nn.Module,
    original: nn.Module,
    retain: Batches,
    task_loss: TaskLoss,
    *,
    epochs: Annotated[
        PositiveInt | None, Doc("epochs over retain; null: until the goal is reached, at most 60")
    ] = None,
    lr: Annotated[
        PositiveFloat | None, Doc("learning rate of Adam; null: a tenth of the median size of the new weights")
    ] = None,
    goal: Annotated[PositiveFloat, Doc("loss on retain at which training ends, as a multiple of the original's")] = 1.1,
    distillation: Annotated[
        Annotated[float, Field(ge=0, le=1)], Doc("s, share of the loss that is against the original's outputs")
    ] = 0.25,
) -> nn.Module:
    """Train `fresh` on retain with the labels and the original's outputs."""
    lr = lr or choose_lr(fresh)
    report_setting("lr", lr)
    divergence = MaskedDistillation(original, find_lacking(retain), temperature=1.0)
    loss = DistilledLoss(task_loss, divergence, distillation)
    training = GoalTraining(fresh, retain, task_loss, lr, "distil", loss)
    if epochs:
        training.run_to_average(0.0, epochs)
        return fresh
    wanted = max(SMALLEST_GOAL, goal * measure_loss(original, retain, task_loss))
    taken = training.run_to_average(wanted)
    report_setting("epochs", taken)
    if taken == MOST_EPOCHS:
        note_goal(measure_loss(fresh, retain, task_loss), wanted)
    return fresh


def note_goal(reached: float, wanted: float) -> None:
    """Add a note if the goal was not reached."""
    if reached > wanted:
        numbers = f"the loss on retain is {reached:.3g}, and {wanted:.3g} was the goal"
        note(f"distil: after {MOST_EPOCHS} epochs {numbers}; set epochs and lr")


def bound_steps(settings: Mapping[str, Any], epoch: int) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest default number of steps, which depends on the networks."""
    return {"steps": (epoch, MOST_EPOCHS * epoch)} if settings["epochs"] is None else {}


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
