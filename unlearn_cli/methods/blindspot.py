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

The paper's schedule (`sample_configs/paper/blindspot.yaml`: a constant 0.001 for 1 to 5 epochs, B from new weights
after 2 to 10 epochs at 0.01) fits its networks. Four things differ by default:

* B keeps the first third of the original's layers, and only the others get new weights. The first layers save most of
  the training of B; layers near the output would bring the forgotten knowledge back.
* The rates follow the size of the weights. B is trained for 15 % of the original's epochs and the network for 10 %;
  phases of few steps use smaller batches.
* If the original's epochs are unknown, or the loss of B on retain is then more than twice the original's, B starts
  again from new weights and is trained until it is at most 1.2 times (learning.adaptive_training), and the network as
  long. With kept layers and so long a training, a LeNet-5 forgot less.
* Forgotten records are repeated until they are 30 % of the batches: with fewer, the network stays between B and the
  original.

Together this costs 30 % of a retraining, or more than one where B needs longer.
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
from unlearn_cli.learning.adaptive_training import (
    ENOUGH_STEPS,
    MOST_EPOCHS,
    GoalTraining,
    choose_lr,
    copy_first_layers,
    fit_epochs,
    measure_loss,
    shrink_batches,
)
from unlearn_cli.learning.attention import Recording, attention_loss, choose_layers, record
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import TaskLoss, lr_factor, set_learning_rate, set_training_mode, take_step
from unlearn_cli.plugins.types import BatchNorm, Doc, Schedule
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import report_setting

SUMMARY = "outputs of a network blind to forget; no forget labels"
TASK = "regression"
RETAIN_PHASES = ("blindspot",)  # phases over retain only, other than `repair`; for --dry-run
GOAL, LIMIT = 1.2, 2.0  # loss of the blindspot model on retain, as a multiple of the original's: at the end, when short
BLINDSPOT_SHARE, STUDENT_SHARE = 0.15, 0.1  # of the original's epochs
STUDENT_LR_SHARE = 0.5  # of the blindspot model's rate
SHORT_SCHEDULE, LONG_SCHEDULE = "cosine", "one_cycle"


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
        Doc("epochs of the blindspot model over retain; null: 15 % of the original's, or until its loss is near"),
    ] = None,
    blindspot_lr: Annotated[
        PositiveFloat | None,
        Doc("highest learning rate of the blindspot model; null: a tenth of the median size of its weights"),
    ] = None,
    student_epochs: Annotated[
        PositiveInt | None,
        Doc("epochs of the network over forget and retain; null: 10 % of the original's, or as the blindspot model"),
    ] = None,
    student_lr: Annotated[
        PositiveFloat | None,
        Doc("highest learning rate of the network; null: half of that of a short blindspot model, or all"),
    ] = None,
    kept_share: Annotated[
        Annotated[float, Field(ge=0, lt=1)],
        Doc("share of the layers, the first ones, that the blindspot model takes from the original; 0: none"),
    ] = 0.34,
    forget_share: Annotated[
        Annotated[float, Field(gt=0, le=0.9)] | None,
        Doc("share of forgotten records in a batch, at least their share of the data; null: that share"),
    ] = 0.3,
    attention_weight: Annotated[NonNegativeFloat, Doc("beta, weight of the attention loss; 0: none")] = 50.0,
    layers: Annotated[list[str] | None, Doc("layers whose attention is compared; null: found automatically")] = None,
    schedule: Annotated[
        Schedule | None,
        Doc("course of the learning rate of a number of epochs; null: cosine, or one_cycle after a long training"),
    ] = None,
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "batch",
) -> nn.Module:
    """Train the blindspot model on retain, then the network on its outputs."""
    layers = choose_layers(model, input_shape, layers) if attention_weight else []
    lr = blindspot_lr or choose_lr(fresh)
    training = BlindspotTraining(model, retain, task_loss, recipe, lr, schedule)
    trained = training.run(fresh, kept_share, blindspot_epochs)
    batches, epochs = retain, student_epochs or trained.epochs_of_student
    if epochs is None:
        batches, epochs = plan_phase(retain, None, STUDENT_SHARE, recipe)
    student_lr = student_lr or (lr if trained.is_long else STUDENT_LR_SHARE * lr)
    report_setting("blindspot_lr", lr)
    report_setting("blindspot_epochs", trained.epochs)
    report_setting("student_epochs", epochs or 1)
    report_setting("student_lr", student_lr)
    unlearn(
        model,
        Blindspot(fresh, layers, attention_weight),
        mix(forget_inputs, batches, forget_share),
        task_loss,
        epochs or 1,
        student_lr,
        schedule or (LONG_SCHEDULE if trained.is_long else SHORT_SCHEDULE),
        batch_norm,
    )
    return model


@dataclass(frozen=True)
class Trained:
    """How long the blindspot model was trained."""

    epochs: float  # all, also those that were too few
    is_long: bool  # from new weights until its goal
    epochs_of_student: int | None  # None: a share of the original's epochs


@dataclass(frozen=True)
class BlindspotTraining:
    """The training of the blindspot model; `model` is the original."""

    model: nn.Module
    retain: Batches
    task_loss: TaskLoss
    recipe: Recipe
    lr: float
    schedule: Schedule | None

    def run(self, fresh: nn.Module, kept_share: float, given_epochs: int | None) -> Trained:
        """Train and freeze the blindspot model, briefly if that is enough, else from new weights until its goal."""
        new = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
        trained = self.train_briefly(fresh, kept_share, given_epochs)
        if trained is None:
            fresh.load_state_dict(new)
            trained = self.train_to_goal(fresh)
        fresh.eval().requires_grad_(False)
        return trained

    def train_briefly(self, fresh: nn.Module, kept_share: float, given_epochs: int | None) -> Trained | None:
        """Train for the given epochs, or 15 % of the original's; None if these are unknown or too few."""
        batches, epochs = plan_phase(self.retain, given_epochs, BLINDSPOT_SHARE, self.recipe)
        if epochs is None:
            return None
        copy_first_layers(self.model, fresh, kept_share)
        fit_epochs(fresh, batches, self.task_loss, epochs, self.lr, self.schedule or SHORT_SCHEDULE)
        if given_epochs:
            return Trained(epochs, False, None if self.recipe.is_known else given_epochs)
        loss, goal = (measure_loss(each, self.retain, self.task_loss) for each in (fresh, self.model))
        return Trained(epochs, False, None) if loss <= LIMIT * goal else None

    def train_to_goal(self, fresh: nn.Module) -> Trained:
        """Train until the loss on retain is near the original's."""
        most, briefly = MOST_EPOCHS, 0.0
        if self.recipe.is_known:
            most, briefly = min(MOST_EPOCHS, self.recipe.epochs), count_epochs(BLINDSPOT_SHARE, self.recipe)
        goal = GOAL * measure_loss(self.model, self.retain, self.task_loss)
        epochs = GoalTraining(fresh, self.retain, self.task_loss, self.lr, "blindspot").run(goal, most)
        return Trained(briefly + epochs, True, max(1, round(epochs)))


def count_epochs(share: float, recipe: Recipe) -> float:
    """Return a share of the original's epochs."""
    return min(MOST_EPOCHS, share * recipe.epochs)


def plan_phase(retain: Batches, epochs: int | None, share: float, recipe: Recipe) -> tuple[Batches, float | None]:
    """Return the batches and epochs of a phase: as given, or a share of the original's epochs; None if unknown."""
    if epochs or not recipe.is_known:
        return retain, epochs
    chosen = count_epochs(share, recipe)
    return shrink_batches(retain, chosen), chosen


def bound_steps(settings: Mapping[str, Any], epoch: int) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest number of steps of each phase whose number of epochs is null."""
    epochs = max(round(2.5 * MOST_EPOCHS), settings["blindspot_epochs"] or 0)  # short, too short, and its falling rate
    most = max(ENOUGH_STEPS + 1, epoch * epochs)
    bounds = {"blindspot_": (BLINDSPOT_SHARE, most), "student_": (STUDENT_SHARE, most)}  # of a single epoch, at least
    return {
        f"{phase}steps": (max(1, round(share * epoch)), largest)
        for phase, (share, largest) in bounds.items()
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
    epochs: float,
    lr: float,
    schedule: Schedule,
    batch_norm: BatchNorm,
) -> None:
    """Train the student on mixed batches."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    with record(model, blind.layers) as student, record(blind.model, blind.layers) as teacher:
        steps = track(batches.steps(max(1, round(epochs * len(batches)))), "unlearn", model, optimizer)
        for x, y, is_forget in steps:
            set_learning_rate(optimizer, lr * lr_factor(schedule, steps.share_done))
            loss = batch_loss(
                model(x), y, blind.model, x, is_forget, student.take(), teacher, task_loss, blind.attention_weight
            )
            take_step(optimizer, loss)
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
