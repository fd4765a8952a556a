"""Masked distillation: the network learns what the original predicts, with the lost classes taken out.

    q(x) = softmax of the original's outputs over the remaining classes; the lost classes get exactly 0
    theta <- Adam steps on the mean over x of KL(q(x) || softmax(f(x))), records of forget and retain in each batch;
             again with twice the learning rate while more than 1 % of the forgotten records are recognised
    then the level step: the rows of the lost classes are learned anew (learning.level)

Idea: without a class, a network distributes its records over the other classes by their resemblance, and the original's
outputs contain this resemblance. The target is close to what a network predicts that never saw the class, and close to
the original, so a few steps suffice and the other classes keep their outputs.

Source: Zhou et al., Decoupled Distillation to Erase (DELETE), CVPR 2025, arXiv 2503.23751: the part on forget. Needs
the records of `forget` and `retain` without labels, and the class numbers.
Warning: whole classes only. For part of a class the target would exclude the own class of records that a network
without them still gets right.

Two things differ from the source: the records of retain, and the level step, because the divergence has almost no
gradient once the probability of a lost class is small, which leaves its output too high.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, UnlabelledBatches
from unlearn_cli.data.mixed import mix
from unlearn_cli.learning.masking import CHUNK, can_store, distillation_loss, mask_classes, masked_softmax
from unlearn_cli.learning.recipes import Recipe, choose_class_rate
from unlearn_cli.learning.training import predict_outputs, set_learning_rate, set_training_mode
from unlearn_cli.plugins.types import BatchNorm, Doc
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import note, report_setting

SUMMARY = "distils the original's outputs without the lost classes"
TASK = "classification"
LEVEL_STEP = True
MAX_ROUNDS, HIGHER = 4, 2.0  # rounds, and the factor on the learning rate of the next one
RECOGNISED, CHECKED = 0.01, 1000  # share that may be recognised at the end, of this number of forgotten records


def masked(
    model: nn.Module,
    original: nn.Module,
    forget_inputs: UnlabelledBatches,
    retain_inputs: UnlabelledBatches,
    forget_classes: list[int],
    recipe: Recipe,
    *,
    steps: Annotated[PositiveInt, Doc("steps on forgotten and retained records, per round")] = 60,
    lr: Annotated[
        PositiveFloat | None,
        Doc("first learning rate of Adam, which falls to 0; null: half of the original's, or 0.001"),
    ] = None,
    forget_share: Annotated[
        Annotated[float, Field(gt=0, le=0.9)] | None,
        Doc("share of forgotten records in a batch, at least their share of the data; null: that share"),
    ] = 0.25,
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "batch",
) -> nn.Module:
    """Distil the masked original, in rounds with a higher rate each until the classes are not recognised."""
    num_classes = forget_inputs.batches.num_outputs
    teacher = Teacher(original, mask_classes(forget_classes, num_classes, forget_inputs.batches.targets.device))
    forget, retain = teacher.prepare(forget_inputs, retain_inputs, steps)
    rate = lr or choose_class_rate(recipe)
    for _ in range(1 if lr else MAX_ROUNDS):
        report_setting("lr", rate)
        distil(model, teacher, forget, retain, steps, rate, forget_share, batch_norm)
        if share_recognised(model, forget_inputs, teacher.lost) <= RECOGNISED:
            return model
        rate *= HIGHER
    note("masked: after the last round the classes are still recognised, so only the level step hides them; raise lr")
    return model


def share_recognised(model: nn.Module, forget: UnlabelledBatches, lost: Tensor) -> float:
    """Return the share of forgotten records, of at most CHECKED, that are predicted as a lost class."""
    checked = forget.take(forget.permutation("checked")[:CHECKED])
    predicted = predict_outputs(model, checked.sequential(CHUNK)).argmax(dim=1)
    return float(lost[predicted].float().mean())


@dataclass(frozen=True)
class Teacher:
    """The original without the outputs of the lost classes, a mask (K,)."""

    original: nn.Module
    lost: Tensor

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """Return the target distributions (B, K)."""
        return masked_softmax(self.original(x), self.lost)

    def targets(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the targets of a batch: y if they were stored, else those computed now."""
        return y if y.dim() == 2 else self.predict(x)

    def prepare(self, forget: UnlabelledBatches, retain: UnlabelledBatches, num_steps: int) -> tuple[Batches, Batches]:
        """Return the records of both splits, with stored targets if this saves work."""
        if not can_store([forget, retain], num_steps):
            return forget.batches, retain.batches
        of_forget, of_retain = (
            torch.cat([self.predict(x) for x in part.sequential(CHUNK)]) for part in (forget, retain)
        )
        return forget.with_distributions(of_forget), retain.with_distributions(of_retain)


def distil(
    model: nn.Module,
    teacher: Teacher,
    forget: Batches,
    retain: Batches,
    num_steps: int,
    lr: float,
    forget_share: float | None,
    batch_norm: BatchNorm,
) -> None:
    """Learn the teacher's outputs on mixed batches, with a learning rate that falls linearly to 0."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(mix(forget, retain, forget_share).steps(num_steps), "distil", model, optimizer)
    for x, y, _ in steps:
        set_learning_rate(optimizer, lr * (1 - steps.share_done))
        loss = distillation_loss(model(x), teacher.targets(x, y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)


def bound_steps(settings: Mapping[str, Any], epoch: int) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest number of steps: without `lr` there are 1 to MAX_ROUNDS rounds."""
    rounds = 1 if settings["lr"] is not None else MAX_ROUNDS
    return {"steps": (settings["steps"], rounds * settings["steps"])}
