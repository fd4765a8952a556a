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

The paper's schedule (a constant 0.001 for 1 to 5 epochs, B after 2 to 10 epochs at 0.01) leaves the error on retain
above a retrained network's where an epoch has few steps (1.5 times on 5000 rotated images), and a repair on retain
only brought half of the forgotten knowledge back. By default both are trained for longer, with a learning rate that
rises and falls, which costs about as much as 20 epochs of retraining.
"""

from typing import Annotated

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, UnlabelledBatches
from unlearn_cli.data.mixed import mix
from unlearn_cli.errors import UserError
from unlearn_cli.learning.attention import Recording, attention_loss, choose_layers, record
from unlearn_cli.learning.training import (
    TaskLoss,
    fit,
    lr_factor,
    set_learning_rate,
    set_training_mode,
)
from unlearn_cli.plugins.types import BatchNorm, Doc, Schedule
from unlearn_cli.runtime.progress import track

SUMMARY = "outputs of a network blind to forget; no forget labels"
TASK = "regression"
RETAIN_PHASES = ("blindspot",)  # phases over retain only, other than `repair`; for --dry-run


def blindspot(
    model: nn.Module,
    fresh: nn.Module,
    forget_inputs: UnlabelledBatches,
    retain: Batches,
    task_loss: TaskLoss,
    input_shape: tuple[int, ...],
    *,
    blindspot_epochs: Annotated[PositiveInt, Doc("epochs of the blindspot model over retain")] = 10,
    blindspot_lr: Annotated[PositiveFloat, Doc("highest learning rate of the blindspot model")] = 3e-3,
    student_epochs: Annotated[PositiveInt, Doc("epochs of the network over forget and retain")] = 10,
    student_lr: Annotated[PositiveFloat, Doc("highest learning rate of the network")] = 3e-3,
    attention_weight: Annotated[NonNegativeFloat, Doc("beta, weight of the attention loss; 0: none")] = 50.0,
    layers: Annotated[list[str] | None, Doc("layers whose attention is compared; null: found automatically")] = None,
    schedule: Annotated[Schedule, Doc("course of the learning rate over the steps, of both")] = "one_cycle",
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "batch",
) -> nn.Module:
    """Train the blindspot model as `train` does, then the network on its outputs."""
    layers = choose_layers(model, input_shape, layers) if attention_weight else []
    fit(fresh, retain, task_loss, epochs=blindspot_epochs, lr=blindspot_lr, schedule=schedule)
    fresh.eval().requires_grad_(False)
    unlearn(
        model,
        fresh,
        forget_inputs,
        retain,
        task_loss,
        layers,
        attention_weight,
        student_epochs,
        student_lr,
        schedule,
        batch_norm,
    )
    return model


def unlearn(
    model: nn.Module,
    blind: nn.Module,
    forget_inputs: UnlabelledBatches,
    retain: Batches,
    task_loss: TaskLoss,
    layers: list[str],
    attention_weight: float,
    epochs: int,
    lr: float,
    schedule: Schedule,
    batch_norm: BatchNorm,
) -> None:
    """Train the student on mixed batches."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    with record(model, layers) as student, record(blind, layers) as teacher:
        steps = track(mix(forget_inputs, retain).epochs(epochs), "unlearn", model, optimizer)
        for x, y, is_forget in steps:
            set_learning_rate(optimizer, lr * lr_factor(schedule, steps.share_done))
            loss = batch_loss(model(x), y, blind, x, is_forget, student.take(), teacher, task_loss, attention_weight)
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
