"""Rank matching: forgotten records become as uncertain as never-seen records of the same class and rank.

    target(x, y) = sigma(t(x)) for the label y; the other classes share the rest as in the original's outputs
    theta <- Adam steps on CE(retain) + w * mean over forget of KL(target || softmax(f(x))), both in each batch

t(x) are the log-odds of the held-out record whose rank within the class is that of x among the forgotten records; they
are taken anew from the current network (learning.rank_matching).

Idea: a network that never saw a record treats it as it treats held-out records. Their log-odds, matched by rank, give
the forgotten records the distribution of never-seen ones without any retrained network. The distribution over the other
classes stays the original's, which has the resemblance of this record to other classes.

Source: this project; ReGUn (arXiv 2603.11210) and FaLW (arXiv 2601.18650) use held-out outputs in other ways. Needs
labelled `forget` and `retain`, and labelled records that were never trained on, `held_out`.
Warning: held-out records must be like the forgotten ones. A whole class has no counterpart among them; and records of
persons that are harder than others keep the order, not the level, of their difficulty.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.data.mixed import MixedBatches, mix
from unlearn_cli.learning.level import Recipe
from unlearn_cli.learning.masking import distillation_loss
from unlearn_cli.learning.rank_matching import RankMatching, log_odds, mix_targets, other_classes, rank_within_classes
from unlearn_cli.learning.training import predict_outputs, set_learning_rate, set_training_mode
from unlearn_cli.plugins.types import BatchNorm, Doc
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import report_setting

SUMMARY = "as uncertain as never-seen records of the same rank"
TASK = "classification"
PART_OF_CLASSES = True  # whole classes are refused: held-out records of a lost class are no example
CHUNK = 512  # records per forward pass
MOST_RECORDS = 2500  # held-out and forgotten records, each, that an update reads
UPDATE_EVERY, FEWEST_UPDATES = 40, 30  # steps; updates of the targets in a run
SHARE_OF_EPOCHS, FEWEST_EPOCHS, MOST_EPOCHS, FEWEST_STEPS = 0.3, 4, 8, 200
USUAL_LR = 2e-3  # of Adam, where the original was trained by another optimizer


def rank_match(
    model: nn.Module,
    original: nn.Module,
    forget: Batches,
    retain: Batches,
    held_out: Batches,
    recipe: Recipe,
    *,
    steps: Annotated[
        PositiveInt | None, Doc("number of steps; null: 30 % of the original's epochs over retain, 4 to 8 epochs")
    ] = None,
    lr: Annotated[
        PositiveFloat | None, Doc("first learning rate of Adam, which falls to 0; null: the original's, or 0.002")
    ] = None,
    forget_weight: Annotated[PositiveFloat, Doc("w, weight of the divergence on forget")] = 2.0,
    forget_share: Annotated[
        Annotated[float, Field(gt=0, le=0.9)] | None,
        Doc("share of forgotten records in a batch, at least their share of the data; null: that share"),
    ] = 0.25,
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "batch",
) -> nn.Module:
    """Train on retain, and on forget with the matched targets, which are updated about every 40 steps."""
    targets = MatchedTargets(original, forget, take_sample(held_out))
    batches = mix(targets.number_records(), retain, forget_share)
    num_steps = steps or count_steps(recipe.epochs, len(retain), forget_share)
    lr = lr or (recipe.lr if recipe.optimizer == "adam" else USUAL_LR)
    report_setting("steps", num_steps)
    report_setting("lr", lr)
    train(model, batches, targets, num_steps, lr, forget_weight, batch_norm)
    return model


def count_steps(epochs_of_original: int, epoch: int, forget_share: float | None) -> int:
    """Return the default number of steps; retain has `epoch` batches."""
    epochs = max(FEWEST_EPOCHS, min(MOST_EPOCHS, SHARE_OF_EPOCHS * epochs_of_original))
    return max(FEWEST_STEPS, round(epochs * epoch / (1 - (forget_share or 0))))


def bound_steps(settings: Mapping[str, Any], epoch: int) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest default number of steps, which depends on the original's epochs."""
    numbers = [count_steps(epochs, epoch, settings["forget_share"]) for epochs in (1, 1000)]
    return {"steps": (min(numbers), max(numbers))} if settings["steps"] is None else {}


class MatchedTargets:
    """The target distributions of the forgotten records, which follow the network as it changes."""

    def __init__(self, original: nn.Module, forget: Batches, held_out: Batches) -> None:
        outputs, labels = predict(original, forget), forget.targets
        ranks = rank_within_classes(log_odds(outputs, labels), labels)
        self.forget, self.held_out = forget, held_out
        self.others = other_classes(outputs, labels)  # (n, K)
        self.matching = RankMatching(ranks, labels, held_out.targets, measure_log_odds(original, held_out))
        self.sample = torch.from_numpy(sample_positions(forget)).to(labels.device)

    def number_records(self) -> Batches:
        """Return the forgotten records with their positions in the split as targets."""
        return self.forget.relabelled(torch.arange(self.forget.num_samples))

    def update(self, model: nn.Module) -> None:
        """Match the forgotten records with the held-out ones as the network predicts them now."""
        forgotten = measure_log_odds(model, self.forget.take(self.sample.cpu().numpy()))
        self.matching.update(measure_log_odds(model, self.held_out), forgotten, self.sample)

    def of(self, positions: Tensor) -> Tensor:
        """Return the distributions (B, K) of forgotten records by their positions."""
        labels, targets = self.matching.labels[positions], self.matching.targets[positions]
        return mix_targets(self.others[positions], labels, targets)


def train(
    model: nn.Module,
    batches: MixedBatches,
    targets: MatchedTargets,
    num_steps: int,
    lr: float,
    forget_weight: float,
    batch_norm: BatchNorm,
) -> None:
    """Train on mixed batches; the learning rate falls linearly to 0."""
    every = max(1, min(UPDATE_EVERY, num_steps // FEWEST_UPDATES))
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    state = targets.matching.correction, targets.matching.targets
    steps = track(batches.steps(num_steps), "match", model, optimizer, *state)
    for x, y, is_forget in steps:
        if steps.done and steps.done % every == 0:
            targets.update(model)
        set_training_mode(model, batch_norm)
        set_learning_rate(optimizer, lr * (1 - steps.share_done))
        loss = batch_loss(model(x), y, is_forget, targets, forget_weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)


def batch_loss(outputs: Tensor, y: Tensor, is_forget: Tensor, targets: MatchedTargets, forget_weight: float) -> Tensor:
    """Return the loss of one batch, in which y has positions of forgotten records and labels of the others."""
    loss = outputs.new_zeros(())
    if is_forget.any():
        loss = loss + forget_weight * distillation_loss(outputs[is_forget], targets.of(y[is_forget]))
    if not is_forget.all():
        loss = loss + F.cross_entropy(outputs[~is_forget], y[~is_forget])
    return loss


def sample_positions(batches: Batches) -> np.ndarray:
    """Return the positions of at most MOST_RECORDS random records; they depend only on the seed."""
    return np.sort(batches.permutation("sample")[:MOST_RECORDS])


def take_sample(batches: Batches) -> Batches:
    return batches.take(sample_positions(batches))


def predict(model: nn.Module, batches: Batches) -> Tensor:
    return predict_outputs(model, (x for x, _ in batches.sequential(CHUNK)))


def measure_log_odds(model: nn.Module, batches: Batches) -> Tensor:
    return log_odds(predict(model, batches), batches.targets)
