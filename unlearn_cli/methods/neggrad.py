"""NegGrad+: descend on the loss of retain and, with a small weight, ascend on that of the forgotten records.

    theta <- theta - lr * grad [ a L(retain) - w min(L(forget), bound) ]      a = `retain_weight`, w = `forget_weight`
    rewind: of the states on the way, the one nearest to held-out records (learning.rewind)

Idea: a gradient step that a record caused is undone by its opposite; the descent on retain keeps what the records have
in common. A loss above that of chance is over-forgetting, so there the ascent stops.

Source: Kurmanji et al., Towards Unbounded Machine Unlearning, arXiv 2302.09880 (NegGrad+, and the rewinding of
SCRUB+R); with a = 0 the baseline of Tarun et al., arXiv 2111.08947, section V. Needs labelled `forget`, labelled
`retain` if a > 0, and `held_out` to rewind.
Warning: with a large weight the ascent destroys the network before the forgotten records are forgotten: with w = 1 a
LeNet-5 lost 27 points of test accuracy.

A class that retain lacks needs a fixed number of steps, no rewinding (nothing should be left of it), and the level step
(learning.level). Of multilabel records with a label that retain lacks, only the loss of such labels ascends.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, is_multilabel
from unlearn_cli.data.mixed import MixedBatches, mix
from unlearn_cli.learning.recipes import USUAL_RATE
from unlearn_cli.learning.rewind import NoRewind, Rewind, are_all_lost, make_rewind, mask_lost_labels
from unlearn_cli.learning.step_sizes import choose_rate
from unlearn_cli.learning.training import TaskLoss, make_optimizer, set_training_mode, take_step
from unlearn_cli.plugins.types import BatchNorm, Doc, Optimizer
from unlearn_cli.runtime.progress import track

SUMMARY = "gradient ascent on forget and descent on retain, with rewind"
TASK = ("classification", "regression", "multilabel")
LEVEL_STEP = True  # for whole classes
STEPS_OF_CLASSES, EPOCHS, FEWEST_STEPS = 100, 5, 200
WEIGHT_OF_CLASSES, WEIGHT = 1.0, 0.2
BOUND_OF_CLASSES = 5.0  # a probability of 0.7 %


def neggrad(
    model: nn.Module,
    forget: Batches,
    retain: Batches,
    task_loss: TaskLoss,
    *,
    held_out: Batches | None = None,
    retain_weight: Annotated[NonNegativeFloat, Doc("a, weight of the loss on retain; 0: only ascent on forget")] = 1.0,
    forget_weight: Annotated[
        PositiveFloat | None, Doc("w, weight of the loss on forget; null: 1 if retain lacks the classes, else 0.2")
    ] = None,
    steps: Annotated[
        PositiveInt | None,
        Doc("number of steps; null: 100 if retain lacks the classes, else 5 epochs over retain, 200 steps or more"),
    ] = None,
    lr: Annotated[PositiveFloat | None, Doc("constant learning rate; null: 0.001, less if layers are wide")] = None,
    optimizer: Annotated[Optimizer, Doc("Adam, or SGD without momentum")] = "adam",
    forget_share: Annotated[
        Annotated[float, Field(gt=0, le=0.9)] | None,
        Doc("share of forgotten records in a mixed batch, at least their share of the data; null: that share"),
    ] = 0.25,
    max_forget_loss: Annotated[
        PositiveFloat | Literal["auto"] | None,
        Doc("no ascent while the loss on forget is larger; auto: that of chance, of whole classes 5; null: no bound"),
    ] = "auto",
    rewind: Annotated[
        Literal["held_out", "last"], Doc("the state that is taken: the one nearest to held-out records, or the last")
    ] = "held_out",
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "frozen",
) -> nn.Module:
    """Ascend on forget and, unless `retain_weight` is 0, descend on retain in the same steps."""
    all_lost = bool(retain_weight) and are_all_lost(forget, retain)
    bound = max_forget_loss
    if bound == "auto":
        bound = BOUND_OF_CLASSES if all_lost else chance_loss(forget, task_loss)
    forget_weight = forget_weight or (WEIGHT_OF_CLASSES if all_lost or not retain_weight else WEIGHT)
    lost = mask_lost_labels(forget, retain) if all_lost and is_multilabel(forget) else None
    objective = Objective(task_loss, retain_weight, forget_weight, math.inf if bound is None else bound, lost)
    stepper = make_optimizer(model, optimizer, choose_rate("lr", lr, USUAL_RATE, model))
    if not retain_weight:
        steps = steps or STEPS_OF_CLASSES
        rewinder = make_rewind(model, forget, held_out, steps)
        ascend(model, forget, objective, stepper, steps, rewinder, batch_norm)
        return model
    batches = mix(forget, retain, forget_share)
    steps = steps or count_steps(all_lost, len(retain), forget_share)
    rewinder = make_rewind(model, forget, None if all_lost else held_out, steps)
    ascend_and_descend(model, batches, objective, stepper, steps, rewinder, batch_norm)
    return model


def count_steps(all_lost: bool, epoch: int, forget_share: float | None) -> int:
    """Return the default number of steps; retain has `epoch` batches."""
    return STEPS_OF_CLASSES if all_lost else max(FEWEST_STEPS, round(EPOCHS * epoch / (1 - (forget_share or 0))))


def bound_steps(settings: Mapping[str, Any], epoch: int) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest default number of steps."""
    numbers = [count_steps(all_lost, epoch, settings["forget_share"]) for all_lost in (True, False)]
    return {"steps": (min(numbers), max(numbers))} if settings["steps"] is None else {}


def chance_loss(forget: Batches, task_loss: TaskLoss) -> float:
    """Return the loss of a constant network on forget: log K, or for a regression that of predicting the mean, 0.

    Multilabel: the mean entropy of the labels, the loss of a network that predicts how frequent each label is.
    """
    if is_multilabel(forget):
        frequencies = forget.targets.double().mean(dim=0)
        return float(-(torch.xlogy(frequencies, frequencies) + torch.xlogy(1 - frequencies, 1 - frequencies)).mean())
    if not forget.targets.is_floating_point():
        return math.log(forget.num_outputs)
    return float(task_loss(torch.zeros_like(forget.targets)[:, None], forget.targets))


@dataclass(frozen=True)
class Objective:
    """The loss that is minimised: a * that of retain minus w * that of forget, of which at most `bound` counts.

    With `lost` (K,) bool, only these labels of multilabel records are forgotten: retain determines the others.
    """

    task_loss: TaskLoss
    retain_weight: float
    forget_weight: float
    bound: float
    lost: Tensor | None = None

    def of_forget(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss on forgotten records."""
        if self.lost is None:
            return self.task_loss(outputs, targets)
        return self.task_loss(outputs[:, self.lost], targets[:, self.lost])

    def __call__(self, up: Tensor, down: Tensor) -> Tensor:
        """Return the loss from those of forget, `up`, and of retain, `down`."""
        return self.retain_weight * down - self.forget_weight * up.clamp(max=self.bound)


def ascend(
    model: nn.Module,
    forget: Batches,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    num_steps: int,
    rewinder: Rewind | NoRewind,
    batch_norm: BatchNorm,
) -> None:
    """Minimise minus the loss on forget."""
    set_training_mode(model, batch_norm)
    steps = track(forget.steps(num_steps), "ascend", model, optimizer, *rewinder.state)
    for x, y in steps:
        up = objective.of_forget(model(x), y)
        take_step(optimizer, objective(up, up.new_zeros(())))
        steps.log(forget_loss=up)
        rewinder.observe(steps.done + 1)
    rewinder.restore(num_steps)


def ascend_and_descend(
    model: nn.Module,
    batches: MixedBatches,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    num_steps: int,
    rewinder: Rewind | NoRewind,
    batch_norm: BatchNorm,
) -> None:
    """Minimise the loss on retain, weighted, minus that on forget, both of the same mixed batches."""
    set_training_mode(model, batch_norm)
    steps = track(batches.steps(num_steps), "ascend", model, optimizer, *rewinder.state)
    for x, y, is_forget in steps:
        outputs = model(x)
        # A batch may lack one of the parts; the mean over none would be NaN.
        up = objective.of_forget(outputs[is_forget], y[is_forget]) if is_forget.any() else outputs.sum() * 0
        down = objective.task_loss(outputs[~is_forget], y[~is_forget]) if not is_forget.all() else outputs.sum() * 0
        take_step(optimizer, objective(up, down))
        steps.log(forget_loss=up, retain_loss=down)
        rewinder.observe(steps.done + 1)
    rewinder.restore(num_steps)
