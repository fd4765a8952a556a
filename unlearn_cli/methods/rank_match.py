"""Rank matching: forgotten records become as uncertain as never-seen records of the same rank.

    theta <- Adam steps on l(retain) + w * mean over forget of d(f(x), target(x)), both in each batch
    l = (1 - s) * the manifest's loss on the labels + s * the loss against the original's outputs

Classification, where the loss against the original's outputs is KL(softmax(original) || softmax(f)):

    d = KL(target || softmax(f)) + 0.2 H(min(0, log-odds of y in f) - min(0, t(x)))      H: the Huber loss
    target(x) = sigma(t(x)) for the label y; the other classes share the rest as in the original's outputs

H acts where the label is improbable, so that KL has no gradient; log-odds below -8 count as -8. t(x) are the log-odds
of the held-out record of the class that is as difficult as x for a network that never saw x, the blindspot network:
new weights that are first trained on retain (learning.rank_matching). Regression, with d the manifest's loss
(learning.residual_ranks):

    target(x) = y + sign(r(x)) Q(u(x))      r = original(x) - y,  u = rank of |r| among retained records

Q are the quantiles of the residuals' size on held-out records. The targets are taken anew from the current network.

Idea: a network that never saw a record treats it as it treats held-out records. Their log-odds or residuals, matched by
rank, give the forgotten records the distribution of never-seen ones. A short training without the forgotten records
shows whether they are harder or easier than others, such as those of a person or a part of a class. The distribution
over the other classes, or the sign of the residual, stays the original's: the resemblance of this record to others.
With labels only, the retained records would be learned better than the original and a retrained network know them; with
the original's outputs only, they would lose accuracy to the forgotten ones.

Source: this project; ReGUn (arXiv 2603.11210) and FaLW (arXiv 2601.18650) use held-out outputs in other ways. Needs
labelled `forget` and `retain`, and labelled records that were never trained on, `held_out`.
Warning: held-out records must be like the retained and the forgotten ones. A whole class, or a range of labels that
retain lacks, has no counterpart among them and is refused. A part of a class that is unlike the rest needs held-out
records of this part: if they are few in their class, it is forgotten only in part (learning.rank_matching).

The blindspot network of a classification is trained for a third of the original's epochs, at most 10. If it finds the
forgotten records clearly harder or easier than held-out ones, as those of a person, it is trained for half of them, at
most 15, because a short training underrates what is unlike the rest, and the network for fewer. Fewer than 25 forgotten
records need none: their targets stay near the original's log-odds if it does not memorise. Both tasks have
the same other defaults but three. s (`distillation`): 0.5 for a classification, 0 for a regression. `steps`: 40 % of
the original's epochs over retain, at least 4 and at most 12, for a classification, 25 % and at most 8 for such a group,
fewer if few records are forgotten; 10 epochs for a regression; always at least 200 steps, which on very few records are
more epochs than the original's. `lr`: that of the original for a classification, so batches have the size that it was
trained with, unless --batch-size is given; for a regression a tenth of the median size of new weights
(learning.adaptive_training).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.data.mixed import MixedBatches, mix
from unlearn_cli.learning.adaptive_training import choose_lr
from unlearn_cli.learning.masking import distillation_loss
from unlearn_cli.learning.matched_targets import FEWEST_RECORDS, MatchedConfidences, MatchedResiduals, MatchedTargets
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.step_sizes import suit_rate
from unlearn_cli.learning.training import TaskLoss, fit, set_learning_rate, set_training_mode, take_step
from unlearn_cli.plugins.types import BatchNorm, Doc
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import note, report_setting

SUMMARY = "as uncertain as never-seen records of the same rank"
LIKE_ORIGINAL = True
RETAIN_PHASES = ("blindspot",)  # for --dry-run
PART_OF_CLASSES = True  # whole classes are refused: held-out records of a lost class are not an example
UPDATE_EVERY, FEWEST_UPDATES = 40, 30  # steps; updates of the targets in a run
FEWEST_EPOCHS, FEWEST_STEPS = 4, 200
MOST_READINGS = 100  # of a forgotten record, beyond the fewest steps
EPOCHS_OF_REGRESSION = 10
DISTILLATION = 0.5  # of a classification
USUAL_LR = 2e-3  # of Adam, where the original was trained by another optimizer


@dataclass(frozen=True)
class Budget:
    """How long the blindspot network and the network are trained: shares of the original's epochs, and most epochs."""

    blindspot: float
    most_of_blindspot: int
    matching: float
    most_of_matching: int


USUAL = Budget(1 / 3, 10, 0.4, 12)
OF_GROUPS = Budget(1 / 2, 15, 0.25, 8)  # of records that are harder or easier than held-out ones


def rank_match(
    model: nn.Module,
    original: nn.Module,
    fresh: nn.Module,
    forget: Batches,
    retain: Batches,
    held_out: Batches,
    task_loss: TaskLoss,
    recipe: Recipe,
    *,
    steps: Annotated[
        PositiveInt | None,
        Doc("number of steps; null: 40 % of the original's epochs over retain, 4 to 12 of them and 200 steps or more"),
    ] = None,
    lr: Annotated[
        PositiveFloat | None,
        Doc("first learning rate of Adam, which falls to 0; null: the original's, or by the size of new weights"),
    ] = None,
    forget_weight: Annotated[PositiveFloat, Doc("w, weight of the mean loss on forget")] = 2.0,
    forget_share: Annotated[
        Annotated[float, Field(gt=0, le=0.9)] | None,
        Doc("share of forgotten records in a batch, at least their share of the data; null: that share"),
    ] = 0.25,
    distillation: Annotated[
        Annotated[float, Field(ge=0, le=1)] | None,
        Doc("s, share of the loss on retain that is against the original's outputs; null: 0.5, of a regression 0"),
    ] = None,
    blindspot_epochs: Annotated[
        NonNegativeInt | None,
        Doc(
            "epochs of the network that never saw forget; null: a third of the original's, half for a group, 0 for few"
        ),
    ] = None,
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "batch",
) -> nn.Module:
    """Train on retain, and on forget with the matched targets, which are updated about every 40 steps."""
    is_regression, budget = forget.targets.is_floating_point(), USUAL
    if is_regression:
        if blindspot_epochs is not None:
            note("rank_match: blindspot_epochs has no effect on a regression")
        targets = MatchedResiduals(original, forget, retain, held_out, task_loss)
    else:
        parts = forget, retain, held_out
        targets, budget = match_confidences(original, fresh, parts, task_loss, recipe, blindspot_epochs)
    num_steps = steps or choose_steps(forget, retain, recipe.epochs, forget_share, budget)
    lr = lr or (choose_lr(fresh) if is_regression else choose_lr_of_classes(recipe, original))
    report_setting("steps", num_steps)
    report_setting("lr", lr)
    share = distillation if distillation is not None else 0.0 if is_regression else DISTILLATION
    report_setting("distillation", share)
    loss = BatchLoss(targets, forget_weight, original, task_loss, share)
    train(model, mix(number_records(forget), retain, forget_share), loss, num_steps, lr, batch_norm)
    return model


@dataclass(frozen=True)
class BatchLoss:
    """The loss of a mixed batch: w times that of the matched targets, plus that of the retained records."""

    targets: MatchedTargets
    forget_weight: float
    original: nn.Module
    task_loss: TaskLoss
    distillation: float  # share of the retained records' loss

    def __call__(self, outputs: Tensor, x: Tensor, y: Tensor, is_forget: Tensor) -> Tensor:
        """Return the loss of a batch, in which y has positions of forgotten records and labels of the others."""
        loss, retained = outputs.new_zeros(()), ~is_forget
        if is_forget.any():
            loss = loss + self.forget_weight * self.targets.loss(outputs[is_forget], y[is_forget].long())
        if retained.any():
            loss = loss + self.of_retained(outputs[retained], x[retained], y[retained])
        return loss

    def of_retained(self, outputs: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss on the labels, mixed with that against the original's outputs."""
        loss = self.task_loss(outputs, y)
        if not self.distillation:
            return loss
        with torch.no_grad():
            own = self.original(x).float()
        is_regression = y.is_floating_point()
        distance = self.task_loss(outputs, own[:, 0]) if is_regression else distillation_loss(outputs, own.softmax(1))
        return torch.lerp(loss, distance, self.distillation)


def choose_lr_of_classes(recipe: Recipe, original: nn.Module) -> float:
    """Return the rate with which Adam trained the original, or the usual one as it suits the network."""
    return recipe.lr if recipe.optimizer == "adam" else suit_rate(USUAL_LR, original)


def match_confidences(
    original: nn.Module,
    fresh: nn.Module,
    parts: tuple[Batches, Batches, Batches],
    task_loss: TaskLoss,
    recipe: Recipe,
    chosen_epochs: int | None,
) -> tuple[MatchedConfidences, Budget]:
    """Return the targets from a blindspot network of `fresh`, and the budget; `parts` are forget, retain and held_out.

    If it shows that the forgotten records are unlike the held-out ones, it is trained longer, unless its epochs were
    chosen.
    """
    forget, retain, _ = parts
    epochs = choose_blindspot_epochs(forget.num_samples, recipe.epochs, chosen_epochs)
    blindspot = train_blindspot(fresh, retain, task_loss, recipe, epochs) if epochs else None
    targets, budget = MatchedConfidences(original, *parts, blindspot), USUAL
    if blindspot and chosen_epochs is None and targets.are_unlike_held_out:
        budget = OF_GROUPS
        longer = choose_blindspot_epochs(forget.num_samples, recipe.epochs, None, budget)
        if longer > epochs:
            train_blindspot(blindspot, retain, task_loss, recipe, longer - epochs)
            targets, epochs = MatchedConfidences(original, *parts, blindspot), longer
    report_setting("blindspot_epochs", epochs)
    return targets, budget


def choose_blindspot_epochs(
    num_forgotten: int, epochs_of_original: int, chosen: int | None, budget: Budget = USUAL
) -> int:
    """Return the number of epochs of the blindspot network: the chosen one, or the default."""
    if chosen is not None:
        return chosen
    if num_forgotten < FEWEST_RECORDS:
        return 0
    return min(budget.most_of_blindspot, max(1, round(budget.blindspot * epochs_of_original)))


def train_blindspot(
    blindspot: nn.Module, retain: Batches, task_loss: TaskLoss, recipe: Recipe, epochs: int
) -> nn.Module:
    """Train a network on retain by the original's recipe for some epochs, and return it."""
    return fit(
        blindspot,
        retain,
        task_loss,
        epochs=epochs,
        optimizer=recipe.optimizer,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        momentum=recipe.momentum,
        schedule=recipe.schedule,
    )


def choose_epochs(is_regression: bool, epochs_of_original: int, budget: Budget = USUAL) -> float:
    """Return the default number of epochs over retain."""
    if is_regression:
        return EPOCHS_OF_REGRESSION
    return max(FEWEST_EPOCHS, min(budget.most_of_matching, budget.matching * epochs_of_original))


def choose_steps(
    forget: Batches, retain: Batches, epochs_of_original: int, forget_share: float | None, budget: Budget = USUAL
) -> int:
    """Return the default number of steps; few forgotten records, which are repeated often, need fewer."""
    is_regression = forget.targets.is_floating_point()
    steps = count_steps(choose_epochs(is_regression, epochs_of_original, budget), len(retain), forget_share)
    if is_regression or forget_share is None:
        return steps
    return min(steps, max(FEWEST_STEPS, round(MOST_READINGS * forget.num_samples / (forget_share * retain.batch_size))))


def count_steps(epochs: float, epoch: int, forget_share: float | None) -> int:
    """Return the number of steps of these epochs over retain, which has `epoch` batches."""
    return max(FEWEST_STEPS, round(epochs * epoch / (1 - (forget_share or 0))))


def bound_steps(settings: Mapping[str, Any], epoch: int) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest default number of steps, which depends on the original and the task."""
    epochs = (FEWEST_EPOCHS, max(USUAL.most_of_matching, EPOCHS_OF_REGRESSION))
    _, most = (count_steps(number, epoch, settings["forget_share"]) for number in epochs)
    bounds = {"steps": (FEWEST_STEPS, most)} if settings["steps"] is None else {}
    if settings["blindspot_epochs"] is None:
        bounds["blindspot_steps"] = (0, OF_GROUPS.most_of_blindspot * epoch)
    return bounds


def number_records(forget: Batches) -> Batches:
    """Return the forgotten records with their positions in the split as targets."""
    return forget.relabelled(torch.arange(forget.num_samples))


def train(
    model: nn.Module,
    batches: MixedBatches,
    batch_loss: BatchLoss,
    num_steps: int,
    lr: float,
    batch_norm: BatchNorm,
) -> None:
    """Train on mixed batches; the learning rate falls linearly to 0."""
    every = max(1, min(UPDATE_EVERY, num_steps // FEWEST_UPDATES))
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    steps = track(batches.steps(num_steps), "match", model, optimizer, *batch_loss.targets.state)
    for x, y, is_forget in steps:
        if steps.done and steps.done % every == 0:
            batch_loss.targets.update(model)
        set_training_mode(model, batch_norm)
        set_learning_rate(optimizer, lr * (1 - steps.share_done))
        loss = batch_loss(model(x), x, y, is_forget)
        take_step(optimizer, loss)
        steps.log(loss=loss)
