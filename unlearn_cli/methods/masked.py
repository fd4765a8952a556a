"""Masked distillation: the network learns what the original predicts, with the lost classes taken out.

    q_T(x) = softmax of the original's outputs / T over the remaining classes; the lost classes get exactly 0
    theta <- Adam steps on the mean over x of T^2 KL(q_T(x) || softmax(f(x) / T)), records of forget (T = 1) and retain
             (T = `temperature`) in each batch;
             again with twice the learning rate while more than 1 % of the forgotten records are recognised
    then the level step: the rows of the lost classes are learned anew (learning.level)

Idea: without a class, a network distributes its records over the other classes by their resemblance, and the original's
outputs contain this resemblance. The target is close to what a network predicts that never saw the class, and close to
the original, so a few steps suffice and the other classes keep their outputs. A network is nearly certain about the
records that it was trained on; the temperature makes their smaller outputs count, which hold the network in place for
new records, too.

Without retain (`keep` held_out or none), the last layer is changed first as by the method head, on synthetic features.
Then the class is not recognised, and a few steps on the forgotten records only, at a tenth of the rate and with frozen
batch norm, move the earlier layers. With forgotten records only and the last layer as it was, a ResNet-20 lost 4 points
before it had forgotten. With held_out the steps stop before held-out records of the other classes lose a point.

Source: Zhou et al., Decoupled Distillation to Erase (DELETE), CVPR 2025, arXiv 2503.23751: the part on forget. Needs
the records of `forget` and, unless `keep` says otherwise, `retain` without labels, and the class numbers.
Warning: whole classes only. For part of a class the target would exclude the own class of records that a network
without them still gets right.

After a short training a round has fewer steps, down to 36, with a rate as many times higher, if it then reads at most
2 % of the samples of a retraining.

Two things differ from the source: the records of retain, with the temperature of Hinton et al. (arXiv 1503.02531),
and the level step, because the divergence has almost no gradient once the probability of a lost class is small, which
leaves its output too high.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, Epochs, UnlabelledBatches
from unlearn_cli.data.mixed import Batch, mix
from unlearn_cli.learning.masking import CHUNK, can_store, distillation_loss, mask_classes, masked_softmax
from unlearn_cli.learning.recipes import Recipe, choose_class_rate
from unlearn_cli.learning.step_sizes import suit_rate
from unlearn_cli.learning.synthetic_features import unlearn_last_layer
from unlearn_cli.learning.training import predict_outputs, set_learning_rate, set_training_mode, take_step
from unlearn_cli.plugins.types import BatchNorm, Doc
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import note, report_setting
from unlearn_cli.runtime.seeds import Random

SUMMARY = "distils the original's outputs without the lost classes"
TASK = "classification"
LEVEL_STEP = True
STEPS, MAX_ROUNDS, HIGHER = 60, 4, 2.0  # steps of a round, rounds, factor on the learning rate of the next one
FEWEST_STEPS, SHARE = 36, 0.02  # of a round after a short training, which reads at most this share of a retraining
FEW_STEPS, GUARDED_STEPS, SHARE_OF_RATE = 20, 5, 0.1  # without retain: steps, between checks, share of the usual rate
TOLERATED = 0.01  # accuracy that the other classes may lose, of held-out records
FORGET_SHARE, TEMPERATURE = 0.25, 3.0  # the defaults
RECOGNISED, CHECKED = 0.01, 1000  # share that may be recognised at the end, of this number of forgotten records


def masked(
    model: nn.Module,
    original: nn.Module,
    forget_inputs: UnlabelledBatches,
    forget_classes: list[int],
    input_shape: tuple[int, ...],
    recipe: Recipe,
    random: Random,
    *,
    retain_inputs: UnlabelledBatches | None = None,
    held_out: Batches | None = None,
    keep: Annotated[
        Literal["retain_inputs", "held_out", "none"],
        Doc("what holds the other classes: the records of retain, or only a guard on held-out ones, or nothing"),
    ] = "retain_inputs",
    steps: Annotated[
        PositiveInt | None,
        Doc("steps on forgotten and retained records, per round; null: 36 to 60; without retain 20"),
    ] = None,
    lr: Annotated[
        PositiveFloat | None,
        Doc(
            "first rate, falls to 0; null: half of the original's or 0.001, less in wide layers; without retain a tenth"
        ),
    ] = None,
    forget_share: Annotated[
        Annotated[float, Field(gt=0, le=0.9)] | None,
        Doc("share of forgotten records in a batch, at least their share of the data; null: that share"),
    ] = 0.25,
    temperature: Annotated[
        PositiveFloat, Doc("T of the distillation on retain; with 1 only outputs near the largest count")
    ] = 3.0,
    batch_norm: Annotated[
        BatchNorm | None,
        Doc("statistics of each batch, or frozen: those of the checkpoint; null: frozen without retain"),
    ] = None,
) -> nn.Module:
    """Distil the masked original into the network, with the records of retain or without them."""
    lost = mask_classes(forget_classes, forget_inputs.batches.num_outputs, forget_inputs.batches.targets.device)
    teacher, rate = Teacher(original, lost, temperature), suit_rate(choose_class_rate(recipe), original)
    if retain_inputs is None:
        note_unused(forget_share, temperature)
        unlearn_last_layer(model, original, forget_classes, input_shape, random)
        guard = Guard.of(original, held_out, forget_classes) if held_out else None
        lr = lr or SHARE_OF_RATE * rate
        distil_forget(model, teacher, forget_inputs, steps or FEW_STEPS, lr, batch_norm or "frozen", guard)
    else:
        fewer = 1 if steps else STEPS / choose_steps(recipe, retain_inputs.batches)
        lr, num_rounds = (lr, 1) if lr else (rate * fewer, MAX_ROUNDS)
        pace = Pace(steps or round(STEPS / fewer), lr, num_rounds, forget_share, batch_norm or "batch")
        distil_in_rounds(model, teacher, forget_inputs, retain_inputs, pace)
    return model


def note_unused(forget_share: float | None, temperature: float) -> None:
    """Add a note if settings of the mixed batches, of which there are none without retain, were changed."""
    if (forget_share, temperature) != (FORGET_SHARE, TEMPERATURE):
        note("masked: without the records of retain, forget_share and temperature have no effect")


def choose_steps(recipe: Recipe, retain: Batches) -> int:
    """Return the default steps of a round: fewer if they then read at most SHARE of what a retraining reads."""
    affordable = int(SHARE * recipe.epochs * retain.num_samples / retain.batch_size)
    return affordable if recipe.is_known and FEWEST_STEPS <= affordable < STEPS else STEPS


@dataclass(frozen=True)
class Pace:
    """How the network is trained on mixed batches."""

    num_steps: int  # per round
    lr: float  # of the first round
    num_rounds: int
    forget_share: float | None
    batch_norm: BatchNorm


def distil_in_rounds(
    model: nn.Module, teacher: "Teacher", forget: UnlabelledBatches, retain: UnlabelledBatches, pace: Pace
) -> None:
    """Distil in rounds with a higher rate each, until the classes are not recognised."""
    stored = teacher.prepare(forget, retain, pace.num_steps)
    batches = mix(*stored, pace.forget_share)
    for number in range(pace.num_rounds):
        rate = pace.lr * HIGHER**number
        report_setting("lr", rate)
        distil(model, teacher, batches.steps(pace.num_steps), rate, pace.batch_norm)
        if share_recognised(model, forget, teacher.lost) <= RECOGNISED:
            return
    note(
        "masked: after the last round the classes are still recognised, so a level step, if it follows, only hides "
        "them; raise lr"
    )


def share_recognised(model: nn.Module, forget: UnlabelledBatches, lost: Tensor) -> float:
    """Return the share of forgotten records, of at most CHECKED, that are predicted as a lost class."""
    checked = forget.take(forget.permutation("checked")[:CHECKED])
    predicted = predict_outputs(model, checked.sequential(CHUNK)).argmax(dim=1)
    return float(lost[predicted].float().mean())


@dataclass(frozen=True)
class Teacher:
    """The original without the outputs of the lost classes, a mask (K,); `temperature` is that for retain."""

    original: nn.Module
    lost: Tensor
    temperature: float

    @torch.no_grad()
    def predict(self, x: Tensor, temperature: Tensor | float) -> Tensor:
        """Return the target distributions (B, K)."""
        return masked_softmax(self.original(x), self.lost, temperature)

    def loss(self, outputs: Tensor, x: Tensor, y: Tensor, is_forget: Tensor) -> Tensor:
        """Return the loss of a batch: y has the targets if they were stored, else they are computed now."""
        temperature = torch.where(is_forget, 1.0, self.temperature)
        return distillation_loss(outputs, y if y.dim() == 2 else self.predict(x, temperature), temperature)

    def prepare(self, forget: UnlabelledBatches, retain: UnlabelledBatches, num_steps: int) -> tuple[Batches, Batches]:
        """Return the records of both splits, with stored targets if this saves work."""
        if not can_store([forget, retain], num_steps):
            return forget.batches, retain.batches
        of_forget, of_retain = (
            torch.cat([self.predict(x, temperature) for x in part.sequential(CHUNK)])
            for part, temperature in ((forget, 1.0), (retain, self.temperature))
        )
        return forget.with_distributions(of_forget), retain.with_distributions(of_retain)


def distil(model: nn.Module, teacher: Teacher, batches: Epochs[Batch], lr: float, batch_norm: BatchNorm) -> None:
    """Learn the teacher's outputs on mixed batches, with a learning rate that falls linearly to 0."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(batches, "distil", model, optimizer)
    for x, y, is_forget in steps:
        set_learning_rate(optimizer, lr * (1 - steps.share_done))
        loss = teacher.loss(model(x), x, y, is_forget)
        take_step(optimizer, loss)
        steps.log(loss=loss)


@dataclass(frozen=True)
class Guard:
    """Held-out records of the other classes, and the original's accuracy on them."""

    records: Batches
    accuracy: float

    @classmethod
    def of(cls, original: nn.Module, held_out: Batches, forget_classes: list[int]) -> "Guard":
        of_others = np.flatnonzero(~np.isin(held_out.targets.cpu().numpy(), forget_classes))
        records = held_out.take(of_others)
        return cls(records, measure_accuracy(original, records))

    def is_broken(self, model: nn.Module) -> bool:
        """Return whether the other classes have lost more than a point."""
        return measure_accuracy(model, self.records) < self.accuracy - TOLERATED


def measure_accuracy(model: nn.Module, records: Batches) -> float:
    outputs = predict_outputs(model, (x for x, _ in records.sequential(CHUNK)))
    return float((outputs.argmax(dim=1) == records.targets).float().mean())


def distil_forget(
    model: nn.Module,
    teacher: Teacher,
    forget: UnlabelledBatches,
    num_steps: int,
    lr: float,
    batch_norm: BatchNorm,
    guard: Guard | None,
) -> None:
    """Learn the teacher's outputs on the forgotten records only; the guard is checked after every few steps.

    If it is broken, the network returns to its state before these steps.
    """
    report_setting("lr", lr)
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    for first in range(0, num_steps, GUARDED_STEPS):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()} if guard else {}
        set_training_mode(model, batch_norm)
        steps = track(forget.steps(min(GUARDED_STEPS, num_steps - first)), "distil", model, optimizer)
        for x in steps:
            set_learning_rate(optimizer, lr * (1 - (first + steps.done) / num_steps))
            loss = distillation_loss(model(x), teacher.predict(x, 1.0))
            take_step(optimizer, loss)
            steps.log(loss=loss)
        if guard and guard.is_broken(model):
            model.load_state_dict(before)
            note(
                f"masked: stopped after {first} of {num_steps} steps; with more, held-out records of the other classes "
                "lose over 1 point of accuracy"
            )
            return


def bound_steps(settings: Mapping[str, Any], epoch: int) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest number of steps: with retain and without `lr` there are several rounds."""
    if settings["keep"] != "retain_inputs":
        steps = settings["steps"] or FEW_STEPS
        return {"steps": (0 if settings["keep"] == "held_out" else steps, steps)}
    rounds = 1 if settings["lr"] is not None else MAX_ROUNDS
    return {"steps": (settings["steps"] or FEWEST_STEPS, rounds * (settings["steps"] or STEPS))}
