"""Bad teaching: the network learns from a random teacher on what it must forget, and from the original on the rest.

    q(x) = softmax(T_d(x) / tau) for records of forget, softmax(T_s(x) / tau) for those of retain
    impair:  theta <- Adam steps on the mean over x of KL(q(x) || softmax(S(x) / tau)), both kinds in each batch
    repair:  the same on retain only (a new optimizer; lr falls to 0)
    rewind:  optional; of the states of the repair, the one nearest to held-out records (learning.rewind)

T_s is the original (the competent teacher), T_d a network of the same architecture with random weights (the incompetent
teacher), S the network that is changed (the student). There is no factor tau^2, as in the paper. Multilabel: each label
has its own distribution, sigmoid(T(x) / tau), and the KL is summed over the labels.

Source: Chundawat, Tarun, Mandal, Kankanhalli: Can Bad Teaching Induce Forgetting?, arXiv 2205.08096, section 3.
Needs the records of `forget` and of `retain` without their labels; to rewind, also labelled `forget` and `held_out`.
Warning: the random teacher's outputs on the forgotten records differ from those of a network that never saw them;
without repair steps these outputs reveal which records were forgotten.

Four defaults differ from the paper; each is a setting.
1. The paper stops after the impair phase, which leaves forgotten records at chance, far below what a network without
   them reaches. The repair phase restores what follows from the other records. Learning rates and numbers of steps
   depend on whether retain still has records of the forgotten classes, as the original classifies them: a class without
   any record in retain cannot return, single records do unless the impair phase changes the weights strongly.
2. `correct_teachers`: the random teacher may agree with the original by chance, and the original's outputs on retain
   contain much of a lost class: without the correction 61 % of a class of Fashion-MNIST came back.
3. Forgotten records make up `forget_share` of a batch, not their share of the data: 85 of 1700 would have no effect.
4. After whole classes, the level step follows (learning.level).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, UnlabelledBatches, is_multilabel
from unlearn_cli.data.mixed import mix
from unlearn_cli.learning.masking import can_store
from unlearn_cli.learning.recipes import Recipe, choose_class_rate
from unlearn_cli.learning.rewind import NoRewind, Rewind, make_rewind
from unlearn_cli.learning.step_sizes import choose_rate
from unlearn_cli.learning.training import predict_outputs, set_learning_rate, set_training_mode, take_step
from unlearn_cli.plugins.types import BatchNorm, Doc, Fraction
from unlearn_cli.runtime.progress import track

SUMMARY = "a random teacher on forget, the original on retain"
LEVEL_STEP = True  # for whole classes
TASK = ("classification", "multilabel")
LOST = 0.75  # a class is lost when a larger share of its records is forgotten
CHECKED_PER_CLASS, MOST_CHECKED = 50, 5000  # records of each part, per class and in all, that decide what is lost
CHUNK = 256


def bad_teacher(
    model: nn.Module,
    original: nn.Module,
    incompetent_teacher: nn.Module,
    forget_inputs: UnlabelledBatches,
    retain_inputs: UnlabelledBatches,
    recipe: Recipe,
    *,
    forget: Batches | None = None,
    held_out: Batches | None = None,
    impair_steps: Annotated[
        PositiveInt | None, Doc("steps with both teachers; null: 40 if only lost classes are forgotten, else 75")
    ] = None,
    impair_lr: Annotated[
        PositiveFloat | None,
        Doc("null: half of the original's if only lost classes are forgotten, else 0.01; less in wide layers"),
    ] = None,
    repair_steps: Annotated[
        NonNegativeInt | None,
        Doc("steps on retain; null: 60 if only lost classes are forgotten, else 6 epochs, at least 150"),
    ] = None,
    repair_lr: Annotated[
        PositiveFloat | None,
        Doc("first rate; null: 0.001 if only lost classes are forgotten, else 0.002; less in wide layers"),
    ] = None,
    temperature: Annotated[PositiveFloat, Doc("tau, by which all outputs are divided before the softmax")] = 1.0,
    retain_share: Annotated[Fraction, Doc("share of the retain records that is used")] = 1.0,
    forget_share: Annotated[
        Annotated[float, Field(gt=0, le=0.9)] | None,
        Doc("share of forgotten records in an impair batch, at least their share of the data; null: that share"),
    ] = 0.25,
    correct_teachers: Annotated[
        bool, Doc("set lost classes to 0 in both teachers, and the original's class in the random one")
    ] = True,
    rewind: Annotated[
        Literal["held_out", "last"],
        Doc("the state of the repair that is taken: the one nearest to held-out records, or the last"),
    ] = "last",
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "batch",
) -> nn.Module:
    """Impair with both teachers, then repair with the competent one on retain.

    A class is lost when most of its records are forgotten. With `correct_teachers` the remaining probabilities are
    scaled up.
    """
    of_labels = is_multilabel(forget_inputs.batches)
    find_lost = find_lost_labels if of_labels else find_lost_classes
    lost, all_lost = find_lost(original, forget_inputs, retain_inputs)
    retain = retain_inputs.share(retain_share)
    teachers = Teachers(original, incompetent_teacher, temperature, lost if correct_teachers else None, of_labels)
    is_class = all_lost and not of_labels  # forgotten records with a lost label have others, which are retained
    default_steps = count_steps(is_class, len(retain))
    impair_steps = impair_steps or default_steps["impair_steps"]
    repair_steps = default_steps["repair_steps"] if repair_steps is None else repair_steps
    impair_lr = choose_rate("impair_lr", impair_lr, choose_class_rate(recipe) if is_class else 1e-2, original)
    repair_lr = choose_rate("repair_lr", repair_lr, 1e-3 if is_class else 2e-3, original)
    parts = Parts(forget_inputs.batches, retain.batches)
    if can_store([retain, forget_inputs], impair_steps + repair_steps):
        parts, teachers = teachers.store_targets(forget_inputs, retain), replace(teachers, are_stored=True)
    impair(model, teachers, parts, impair_steps, impair_lr, forget_share, batch_norm)
    rewinder = make_rewind(model, forget, None if all_lost else held_out, repair_steps)
    repair(model, teachers, parts.retain, repair_steps, repair_lr, rewinder, batch_norm)
    return model


def count_steps(all_lost: bool, epoch: int) -> dict[str, int]:
    """Return the default numbers of steps; an epoch of retain has `epoch` of them."""
    return {"impair_steps": 40 if all_lost else 75, "repair_steps": 60 if all_lost else max(150, 6 * epoch)}


def bound_steps(settings: Mapping[str, Any], epoch: int) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest default number of steps of each phase whose setting is null."""
    lost, others = count_steps(True, epoch), count_steps(False, epoch)
    return {name: (lost[name], others[name]) for name in lost if settings[name] is None}


class Parts(NamedTuple):
    """The records to train on, with the teachers' distributions (n, K) as targets, or with blank ones."""

    forget: Batches
    retain: Batches


@dataclass(frozen=True)
class Teachers:
    """The competent and the incompetent teacher; with `lost` (K,) bool their outputs are corrected.

    `of_labels`: the K outputs are independent labels instead of classes. `are_stored`: the targets of batches are the
    distributions.
    """

    original: nn.Module
    incompetent: nn.Module
    temperature: float
    lost: Tensor | None
    of_labels: bool = False
    are_stored: bool = False

    @torch.no_grad()
    def distributions(self, x: Tensor, num_forget: int) -> Tensor:
        """Return the target distribution (B, K) of each record; the first `num_forget` are to be forgotten."""
        logits = self.original(x)
        original_classes = logits[:num_forget].argmax(dim=1, keepdim=True)
        if self.lost is not None:
            logits = logits.masked_fill(self.lost, -torch.inf)
        if num_forget:
            random_logits = self.incompetent(x[:num_forget])
            if self.lost is not None:
                random_logits = random_logits.masked_fill(self.lost, -torch.inf)
            # Of two remaining classes, only the wrong one would be left, and the network would learn the opposite.
            if self.lost is not None and not self.of_labels and (~self.lost).sum() > 2:
                random_logits = random_logits.scatter(1, original_classes, -torch.inf)
            logits = torch.cat([random_logits, logits[num_forget:]])
        logits = logits.float() / self.temperature
        return logits.sigmoid() if self.of_labels else F.softmax(logits, dim=1)

    def targets(self, x: Tensor, y: Tensor, is_forget: Tensor | None = None) -> Tensor:
        """Return the target distributions of a batch: y if they were stored, else those computed now."""
        if self.are_stored:
            return y
        return self.distributions(x, 0 if is_forget is None else int(is_forget.sum()))

    def store_targets(self, forget: UnlabelledBatches, retain: UnlabelledBatches) -> Parts:
        """Compute the target distributions of each record once."""
        of_forget = torch.cat([self.distributions(x, len(x)) for x in forget.sequential(CHUNK)])
        of_retain = torch.cat([self.distributions(x, 0) for x in retain.sequential(CHUNK)])
        return Parts(forget.with_distributions(of_forget), retain.with_distributions(of_retain))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return KL(targets || the student's distribution), summed over the outputs, mean over the records."""
        if self.of_labels:
            return bernoulli_divergence(outputs.float() / self.temperature, targets)
        return F.kl_div(F.log_softmax(outputs.float() / self.temperature, dim=1), targets, reduction="batchmean")


def bernoulli_divergence(logits: Tensor, targets: Tensor) -> Tensor:
    """Return sum_k KL(targets_k || sigmoid(logits_k)) of independent labels, mean over the records; both (B, K)."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    entropy = -torch.xlogy(targets, targets) - torch.xlogy(1 - targets, 1 - targets)
    return (cross_entropy - entropy).sum(dim=1).mean()


def impair(
    model: nn.Module,
    teachers: Teachers,
    parts: Parts,
    num_steps: int,
    lr: float,
    forget_share: float | None,
    batch_norm: BatchNorm,
) -> None:
    """Learn from the random teacher on forget and from the original on retain, in the same batches."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(mix(parts.forget, parts.retain, forget_share).steps(num_steps), "impair", model, optimizer)
    for x, y, is_forget in steps:
        loss = teachers.loss(model(x), teachers.targets(x, y, is_forget))
        take_step(optimizer, loss)
        steps.log(loss=loss)


def repair(
    model: nn.Module,
    teachers: Teachers,
    retain: Batches,
    num_steps: int,
    lr: float,
    rewinder: Rewind | NoRewind,
    batch_norm: BatchNorm,
) -> None:
    """Learn from the original on retain only, with a new optimizer and a learning rate that falls linearly to 0."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(retain.steps(num_steps), "repair", model, optimizer, *rewinder.state)
    for x, y in steps:
        set_learning_rate(optimizer, lr * (1 - steps.share_done))
        loss = teachers.loss(model(x), teachers.targets(x, y))
        take_step(optimizer, loss)
        steps.log(loss=loss)
        rewinder.observe(steps.done + 1)
    rewinder.restore(num_steps)


def find_lost_classes(original: nn.Module, forget: UnlabelledBatches, retain: UnlabelledBatches) -> tuple[Tensor, bool]:
    """Return a mask (K,) of the lost classes, and whether most records of forget belong to lost classes.

    The original's predictions stand for the labels. At least one class is not lost.
    """
    forgotten, retained = (count_classes(original, part) for part in (forget, retain))
    lost = forgotten / (forgotten + retained).clamp(min=1) > LOST
    if lost.all():
        lost = torch.zeros_like(lost)
    return lost, bool(forgotten[lost].sum() > forgotten.sum() / 2)


def find_lost_labels(original: nn.Module, forget: UnlabelledBatches, retain: UnlabelledBatches) -> tuple[Tensor, bool]:
    """Return a mask (K,) of the lost labels, and whether most records of forget have one; as `find_lost_classes`."""
    marks, stride = predict_spread(original, forget)
    of_retain, stride_of_retain = predict_spread(original, retain)
    forgotten, retained = stride * (marks > 0).sum(dim=0), stride_of_retain * (of_retain > 0).sum(dim=0)
    lost = forgotten / (forgotten + retained).clamp(min=1) > LOST
    if lost.all():
        lost = torch.zeros_like(lost)
    return lost, bool((marks[:, lost] > 0).any(dim=1).float().mean() > 0.5)


def count_classes(original: nn.Module, part: UnlabelledBatches) -> Tensor:
    """Estimate how many records the original predicts to be of each class."""
    outputs, stride = predict_spread(original, part)
    return stride * outputs.argmax(dim=1).bincount(minlength=outputs.shape[1])


def predict_spread(original: nn.Module, part: UnlabelledBatches) -> tuple[Tensor, int]:
    """Return the original's outputs (n, K) on evenly spread records, and for how many records each stands."""
    num_checked = min(MOST_CHECKED, CHECKED_PER_CLASS * part.batches.num_outputs)
    stride = -(-part.num_samples // num_checked)
    checked = part.take(torch.arange(0, part.num_samples, stride).numpy())
    return predict_outputs(original, checked.sequential(CHUNK)), stride
