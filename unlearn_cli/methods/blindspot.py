"""Blindspot: on forgotten records the network learns the outputs of one that never saw them, without using labels.

Idea: train new weights on retain for a few epochs, freeze them as the blindspot model B, and train the original to
agree with B on forgotten records and with the labels on the others, in the same batches.

    L   = rho L_f + (1 - rho) L_r                                       rho = n_f / (n_f + n_r) of the batch
    L_f = l(U(x), B(x)) + beta sum over layers of mean((a(U_l) - a(B_l))^2)          over its forgotten records
    L_r = l(U(x), y)                                                                  over its retain records

with l the manifest's loss, beta `attention_weight` and a the attention maps of unlearn_cli.learning.attention. A part
that a batch lacks counts as 0.

Source: Tarun, Chundawat, Mandal, Kankanhalli: Deep Regression Unlearning, arXiv 2210.08196, algorithm 1.
Needs forgotten samples without labels, labelled `retain`, and new weights of the same architecture.
Warning: on forgotten records U is only as good as B; if B is trained too briefly, U has a larger error there than a
network that never saw them.

The paper's schedule (`sample_configs/paper/blindspot.yaml`: a constant 0.001 for 1 to 5 epochs, B after 2 to 10 epochs
at 0.01) fits its networks. By default the rates follow the size of the weights, and B is trained until its loss on
retain is at most 1.2 times the original's, or for as many epochs as the original (learning.adaptive_training): a B with
a much larger or smaller loss predicts forgotten records differently from a retrained network. The network is trained
for as many epochs as B, with forgotten records repeated until they are 30 % of the batches: with fewer, it stays
between B and the original. B costs 40 to 80 % of a retraining, the network about as much again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, UnlabelledBatches
from unlearn_cli.data.mixed import MixedBatches, mix
from unlearn_cli.errors import UserError
from unlearn_cli.learning.adaptive_training import MOST_EPOCHS, GoalTraining, choose_lr, measure_loss
from unlearn_cli.learning.attention import Recording, attention_loss, choose_layers, record
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import (
    TaskLoss,
    fit,
    lr_factor,
    set_learning_rate,
    set_training_mode,
)
from unlearn_cli.plugins.types import BatchNorm, Doc, Schedule
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import report_setting

SUMMARY = "outputs of a network blind to forget; no forget labels"
TASK = "regression"
RETAIN_PHASES = ("blindspot",)  # phases over retain only, other than `repair`; for --dry-run
GOAL = 1.2  # loss of the blindspot model on retain, as a multiple of the original's


def blindspot(
    model: nn.Module,
    fresh: nn.Module,
    forget_inputs: UnlabelledBatches,
    retain: Batches,
    task_loss: TaskLoss,
    input_shape: tuple[int, ...],
    recipe: Recipe,
    *,
    blindspot_epochs: Annotated[
        PositiveInt | None,
        Doc("epochs of the blindspot model over retain; null: until its loss is near the original's"),
    ] = None,
    blindspot_lr: Annotated[
        PositiveFloat | None,
        Doc("highest learning rate of the blindspot model; null: a tenth of the median size of its weights"),
    ] = None,
    student_epochs: Annotated[
        PositiveInt | None,
        Doc("epochs of the network over forget and retain; null: as many as the blindspot model"),
    ] = None,
    student_lr: Annotated[
        PositiveFloat | None, Doc("highest learning rate of the network; null: as that of the blindspot model")
    ] = None,
    forget_share: Annotated[
        Annotated[float, Field(gt=0, le=0.9)] | None,
        Doc("share of forgotten records in a batch, at least their share of the data; null: that share"),
    ] = 0.3,
    attention_weight: Annotated[NonNegativeFloat, Doc("beta, weight of the attention loss; 0: none")] = 50.0,
    layers: Annotated[list[str] | None, Doc("layers whose attention is compared; null: found automatically")] = None,
    schedule: Annotated[Schedule, Doc("course of the learning rate of a given number of epochs")] = "one_cycle",
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "batch",
) -> nn.Module:
    """Train the blindspot model as `train` does, or until its goal, then the network on its outputs."""
    layers = choose_layers(model, input_shape, layers) if attention_weight else []
    usual_lr = choose_lr(fresh)
    blindspot_lr, student_lr = blindspot_lr or usual_lr, student_lr or usual_lr
    epochs = float(blindspot_epochs or 0)
    if blindspot_epochs:
        fit(fresh, retain, task_loss, epochs=blindspot_epochs, lr=blindspot_lr, schedule=schedule)
    else:
        most = recipe.epochs if recipe.is_known else MOST_EPOCHS
        goal = GOAL * measure_loss(model, retain, task_loss)
        epochs = GoalTraining(fresh, retain, task_loss, blindspot_lr, "blindspot").run(goal, most)
    fresh.eval().requires_grad_(False)
    report_setting("blindspot_epochs", epochs)
    report_setting("student_lr", student_lr)
    unlearn(
        model,
        Blindspot(fresh, layers, attention_weight),
        mix(forget_inputs, retain, forget_share),
        task_loss,
        student_epochs or max(1, round(epochs)),
        student_lr,
        schedule,
        batch_norm,
    )
    return model


def bound_steps(settings: Mapping[str, Any], epoch: int) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest number of steps of each phase whose number of epochs is null."""
    most = round(1.5 * MOST_EPOCHS)  # the falling rate takes half as many steps again
    blindspot_epochs = settings["blindspot_epochs"]
    student = (blindspot_epochs, blindspot_epochs) if blindspot_epochs else (1, most)
    bounds = {"blindspot_": (1, most), "student_": student}
    return {
        f"{phase}steps": (least * epoch, largest * epoch)
        for phase, (least, largest) in bounds.items()
        if settings[f"{phase}epochs"] is None
    }


@dataclass(frozen=True)
class Blindspot:
    """The blindspot model, the layers whose attention is compared, and the weight beta of this loss."""

    model: nn.Module
    layers: list[str]
    attention_weight: float


def unlearn(
    model: nn.Module,
    blind: Blindspot,
    batches: MixedBatches,
    task_loss: TaskLoss,
    epochs: int,
    lr: float,
    schedule: Schedule,
    batch_norm: BatchNorm,
) -> None:
    """Train the student on mixed batches."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    with record(model, blind.layers) as student, record(blind.model, blind.layers) as teacher:
        steps = track(batches.epochs(epochs), "unlearn", model, optimizer)
        for x, y, is_forget in steps:
            set_learning_rate(optimizer, lr * lr_factor(schedule, steps.share_done))
            loss = batch_loss(
                model(x), y, blind.model, x, is_forget, student.take(), teacher, task_loss, blind.attention_weight
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps.log(loss=loss)


def batch_loss(
    outputs: Tensor,
    y: Tensor,
    blind: nn.Module,
    x: Tensor,
    is_forget: Tensor,
    student: list[Tensor],
    teacher: Recording,
    task_loss: TaskLoss,
    attention_weight: float,
) -> Tensor:
    """Return L of one batch; the labels of forgotten records, which are NaN, are not used."""
    num_forget, loss = int(is_forget.sum()), outputs.new_zeros(())
    if num_forget:
        with torch.no_grad():
            targets = blind(x[is_forget]).squeeze(1)
        forget_loss = task_loss(outputs[is_forget], targets)
        if student:
            own = [forgotten_rows(activation, is_forget) for activation in student]
            forget_loss = forget_loss + attention_weight * attention_loss(own, teacher.take())
        loss = loss + forget_loss * num_forget / len(x)
    if num_forget < len(x):
        loss = loss + task_loss(outputs[~is_forget], y[~is_forget]) * (len(x) - num_forget) / len(x)
    return loss


def forgotten_rows(activation: Tensor, is_forget: Tensor) -> Tensor:
    """Return the activations of a layer for the forgotten records of the batch.

    Raises:
        UserError: the layer does not return one row per sample, so the rows cannot be assigned.
    """
    if len(activation) != len(is_forget):
        raise UserError(
            f"layers: one of them returns {len(activation)} rows for {len(is_forget)} samples; name layers that return "
            "one row per sample, or set attention_weight=0"
        )
    return activation[is_forget]
