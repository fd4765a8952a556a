"""Bad teaching: the network learns from a random teacher on what it must forget, from its old self on the rest.

    q(x) = softmax(T_d(x) / tau) for records of forget, softmax(T_s(x) / tau) for those of retain
    impair:  theta <- Adam steps on the mean over x of KL(q(x) || softmax(S(x) / tau)), both kinds in each batch
    repair:  the same on retain alone (a new optimizer; lr falls to 0)

T_s is the original, T_d a network of the same kind with random weights, S the network that is changed.

Source: Chundawat, Tarun, Mandal, Kankanhalli: Can Bad Teaching Induce Forgetting?, arXiv 2205.08096, section 3.
Needs the records of `forget` and of `retain` without their labels. There is no factor tau^2, as in the paper.
Warning: the random teacher's outputs on the forgotten records are unlike those of a network that never saw them;
without repair steps that alone tells who was forgotten.

Three things differ from the paper by default; each is a setting.
1. The paper stops after the impair phase, which leaves forgotten records at chance, far under what a network without
   them reaches; the repair phase brings back what follows from the others. How hard to impair and how long to repair
   goes by whether retain still has records of the forgotten classes, as the original sees them: a class that is lost
   altogether cannot come back from retain; single records do come back unless the weights are shaken hard.
2. `correct_teachers`: the random teacher may by chance say what the original says, and the original's outputs on retain
   tell much of a lost class: without the correction 61 % of a class of Fashion-MNIST came back.
3. Forgotten records make up `forget_share` of a batch, not their share of the data: 85 of 1700 would hardly be noticed.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, UnlabelledBatches
from unlearn_cli.data.mixed import mix
from unlearn_cli.learning.training import BatchNorm, predict_outputs, set_learning_rate, set_training_mode
from unlearn_cli.plugins.types import Fraction
from unlearn_cli.runtime.progress import track

SUMMARY = "a random teacher on forget, the original on retain"
TASK = "classification"
LOST = 0.75  # a class is lost when a larger share of its records is forgotten
CHECKED_A_CLASS, MOST_CHECKED = 50, 5000  # records of each part for each class, and in all, by which that is told
CHUNK = 256
KEPT_NUMBERS = 1 << 27  # of the teachers' outputs: half a GiB


def bad_teacher(
    model: nn.Module,
    original: nn.Module,
    incompetent_teacher: nn.Module,
    forget_inputs: UnlabelledBatches,
    retain_inputs: UnlabelledBatches,
    *,
    impair_steps: PositiveInt | None = None,
    impair_lr: PositiveFloat | None = None,
    repair_steps: NonNegativeInt | None = None,
    repair_lr: PositiveFloat | None = None,
    temperature: PositiveFloat = 1.0,
    retain_share: Fraction = 1.0,
    forget_share: Annotated[float, Field(gt=0, le=0.9)] | None = 0.25,
    correct_teachers: bool = True,
    batch_norm: Literal["batch", "frozen"] = "batch",
) -> nn.Module:
    """Impair with both teachers, then repair with the competent one on retain, of which `retain_share` is used.

    If only lost classes are forgotten, there are 40 steps of `impair_lr` 0.003 and 60 of `repair_lr` 0.001 unless
    given; else 75 of 0.01, and 6 epochs of retain (at least 150 steps) of 0.002. Forgotten records come so often that
    they are about `forget_share` of an impair batch, never less often than the data has them; null: as often as that.
    With `correct_teachers` neither teacher gives a lost class any probability, nor the random one the class that the
    original gives; the other probabilities are scaled up.
    """
    lost, all_lost = lost_classes(original, forget_inputs, retain_inputs)
    retain = retain_inputs.share(retain_share)
    teachers = Teachers(original, incompetent_teacher, temperature, lost if correct_teachers else None)
    if repair_steps is None:
        repair_steps = 60 if all_lost else max(150, 6 * len(retain))
    impair_steps = impair_steps or (40 if all_lost else 75)
    impair_lr = impair_lr or (3e-3 if all_lost else 1e-2)
    parts = Parts(forget_inputs.batches, retain.batches)
    if worth_keeping(forget_inputs, retain, impair_steps + repair_steps):
        parts = teachers.taught(forget_inputs, retain)
    impair(model, teachers, parts, impair_steps, impair_lr, forget_share, batch_norm)
    repair(model, teachers, parts.retain, repair_steps, repair_lr or (1e-3 if all_lost else 2e-3), batch_norm)
    return model


class Parts(NamedTuple):
    """What is learned on: records with the teachers' distributions (n, K) as targets, or with blank ones (n,)."""

    forget: Batches
    retain: Batches


@dataclass(frozen=True)
class Teachers:
    """The competent and the incompetent teacher; with `lost` (K,) bool their outputs are corrected."""

    original: nn.Module
    incompetent: nn.Module
    temperature: float
    lost: Tensor | None

    @torch.no_grad()
    def wanted(self, x: Tensor, num_forget: int) -> Tensor:
        """Return the distribution (B, K) that each record is to get; the first `num_forget` are to be forgotten."""
        logits = self.original(x)
        said = logits[:num_forget].argmax(dim=1, keepdim=True)
        if self.lost is not None:
            logits = logits.masked_fill(self.lost, -torch.inf)
        if num_forget:
            random_logits = self.incompetent(x[:num_forget])
            if self.lost is not None:
                random_logits = random_logits.masked_fill(self.lost, -torch.inf)
            if self.lost is not None and (~self.lost).sum() > 1:  # of a single class left nothing can be taken away
                random_logits = random_logits.scatter(1, said, -torch.inf)
            logits = torch.cat([random_logits, logits[num_forget:]])
        return F.softmax(logits.float() / self.temperature, dim=1)

    def lesson(self, x: Tensor, y: Tensor, is_forget: Tensor | None = None) -> Tensor:
        """Return what is wanted of a batch: its targets if the teachers were asked before, else what they say now."""
        if y.dim() == 2:
            return y
        return self.wanted(x, 0 if is_forget is None else int(is_forget.sum()))

    def taught(self, forget: UnlabelledBatches, retain: UnlabelledBatches) -> Parts:
        """Ask the teachers once about each record."""
        of_forget = torch.cat([self.wanted(x, len(x)) for x in forget.sequential(CHUNK)])
        of_retain = torch.cat([self.wanted(x, 0) for x in retain.sequential(CHUNK)])
        return Parts(forget.with_distributions(of_forget), retain.with_distributions(of_retain))

    def loss(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Return KL(wanted || the student's distribution), summed over the classes, mean over the records."""
        return F.kl_div(F.log_softmax(outputs.float() / self.temperature, dim=1), wanted, reduction="batchmean")


def worth_keeping(forget: UnlabelledBatches, retain: UnlabelledBatches, num_steps: int) -> bool:
    """Say whether to ask the teachers about each record once instead of at each step that reads it.

    Not if the steps read fewer records than there are, if a record looks different each time, or for lack of room.
    """
    num_samples = forget.num_samples + retain.num_samples
    read = num_steps * retain.batches.batch_size
    room = num_samples * retain.batches.num_outputs <= KEPT_NUMBERS
    return read >= num_samples and room and not retain.augmented


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
        loss = teachers.loss(model(x), teachers.lesson(x, y, is_forget))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)


def repair(
    model: nn.Module, teachers: Teachers, retain: Batches, num_steps: int, lr: float, batch_norm: BatchNorm
) -> None:
    """Learn from the original on retain alone, with a new optimizer and a learning rate that falls linearly to 0."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(retain.steps(num_steps), "repair", model, optimizer)
    for x, y in steps:
        set_learning_rate(optimizer, lr * (1 - steps.share_done))
        loss = teachers.loss(model(x), teachers.lesson(x, y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)


def lost_classes(original: nn.Module, forget: UnlabelledBatches, retain: UnlabelledBatches) -> tuple[Tensor, bool]:
    """Say of each class (K,) whether it is lost, and whether most records of forget are of lost classes.

    The original's outputs stand for the labels. At least one class is left.
    """
    forgotten, retained = (class_counts(original, part) for part in (forget, retain))
    share = forgotten / (forgotten + retained).clamp(min=1)
    lost = share > LOST
    if lost.all():
        lost = torch.zeros_like(lost)
    return lost, bool(forgotten[lost].sum() > forgotten.sum() / 2)


def class_counts(original: nn.Module, part: UnlabelledBatches) -> Tensor:
    """Return how many records the original takes for each class, from some evenly spread ones."""
    checked = min(MOST_CHECKED, CHECKED_A_CLASS * part.batches.num_outputs)
    stride = -(-part.num_samples // checked)
    outputs = predict_outputs(original, part.take(torch.arange(0, part.num_samples, stride).numpy()).sequential(CHUNK))
    return stride * outputs.argmax(dim=1).bincount(minlength=outputs.shape[1])
