"""The targets of the forgotten records of `rank_match`, which follow the network as it changes; one class per task."""

import math
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import huber_loss

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.masking import distillation_loss
from unlearn_cli.learning.rank_matching import (
    FARTHEST,
    FULL,
    RankMatching,
    are_unlike,
    assign_levels,
    expect_unseen,
    find_levels,
    log_odds,
    mix_targets,
    other_classes,
    rank_within_classes,
)
from unlearn_cli.learning.residual_ranks import rank_residuals
from unlearn_cli.learning.training import TaskLoss, predict_outputs
from unlearn_cli.plugins.suitability import require_represented
from unlearn_cli.stats.representation import share_represented

Described = tuple[Tensor, Tensor]  # log-odds and labels (n,)

CHUNK = 512  # records per forward pass
FEWEST_RECORDS = 25  # forgotten, for a blindspot network
HUBER_WEIGHT = 0.2  # of the loss on log-odds
MOST_RECORDS = 2500  # held-out, forgotten and retained records, each, that an update reads


class MatchedTargets(Protocol):
    """The targets of all forgotten records, by their position in the split."""

    @property
    def state(self) -> tuple[Tensor, ...]:
        """The tensors that an update changes."""
        ...

    def update(self, model: nn.Module) -> None:
        """Match the forgotten records with the held-out ones as the network predicts them now."""
        ...

    def loss(self, outputs: Tensor, positions: Tensor) -> Tensor:
        """Return the mean loss of outputs (B, K) for the forgotten records at these positions (B,)."""
        ...


class MatchedConfidences:
    """Target distributions: the log-odds of held-out records of the same class and level (learning.rank_matching).

    `blindspot` is a network that was trained on retain only, from which the levels are taken; without it, they are
    those of the original among the retained records.
    """

    def __init__(
        self,
        original: nn.Module,
        forget: Batches,
        retain: Batches,
        held_out: Batches,
        blindspot: nn.Module | None = None,
    ) -> None:
        outputs, labels = predict(original, forget), forget.targets
        own = log_odds(outputs, labels)
        self.forget, self.held_out = forget, take_sample(held_out)
        self.others = other_classes(outputs, labels)  # (n, K)
        self.limits = -FARTHEST, 0.0  # of log-odds in the loss
        first, held_out_labels = describe(original, self.held_out)
        more: dict[str, Any] = {}
        self.are_unlike_held_out = False  # as far as a blindspot network shows
        if blindspot is None:
            retained, retained_labels = describe(original, take_sample(retain))
            levels, order = find_levels(own, labels, retained, retained_labels), own
            if forget.num_samples < FEWEST_RECORDS:
                more = {"own": own, "share": measure_memorising(retained, first)}
                self.limits = -math.inf, math.inf
        else:
            unseen = measure_log_odds(blindspot, self.held_out)
            levels, order = find_unseen_levels(own, describe(blindspot, forget), (unseen, held_out_labels))
            self.are_unlike_held_out = are_unlike(levels)
            more = {"expected": expect_unseen(first, unseen, held_out_labels, levels, labels)}
        ranks = rank_within_classes(order, labels)
        self.matching = RankMatching(levels, ranks, labels, held_out_labels, first, **more)
        self.sample = torch.from_numpy(sample_positions(forget)).to(labels.device)

    @property
    def state(self) -> tuple[Tensor, ...]:
        return self.matching.correction, self.matching.targets

    def update(self, model: nn.Module) -> None:
        forgotten = measure_log_odds(model, self.forget.take(self.sample.cpu().numpy()))
        self.matching.update(measure_log_odds(model, self.held_out), forgotten, self.sample)

    def loss(self, outputs: Tensor, positions: Tensor) -> Tensor:
        """Return the mean of KL(target || softmax(outputs)) plus a Huber loss on log-odds of improbable labels.

        Where label and target are both improbable, the KL divergence has no gradient, but a never-seen record has far
        lower log-odds than a forgotten one that is only just wrong. The log-odds of few records have no limits.
        """
        labels, targets = self.matching.labels[positions], self.matching.targets[positions]
        divergence = distillation_loss(outputs, mix_targets(self.others[positions], labels, targets))
        reached = log_odds(outputs.float(), labels)
        return divergence + HUBER_WEIGHT * huber_loss(reached.clamp(*self.limits), targets.clamp(*self.limits))


def measure_memorising(retained: Tensor, held_out: Tensor) -> float:
    """Return m of learning.rank_matching, from the log-odds of retained and held-out records in the original.

    A positive log-odds is a probability above 1/2, which a network that memorises gives its own records.
    """
    difference = float((retained > 0).float().mean() - (held_out > 0).float().mean())
    return min(1.0, max(0.0, difference / FULL))


def find_unseen_levels(own: Tensor, forgotten: Described, held_out: Described) -> tuple[Tensor, Tensor]:
    """Return the levels (n,) of forgotten records in a network that never saw them, and their order (n,).

    `own` (n,) are their log-odds in the original; `forgotten` and `held_out` have the log-odds in the other network and
    the labels. The order is the mean of the ranks in both networks.
    """
    unseen, labels = forgotten
    order = rank_within_classes(own, labels) + rank_within_classes(unseen, labels)
    return assign_levels(find_levels(unseen, labels, *held_out), order, labels), order


class MatchedResiduals:
    """Target numbers: each label, moved by the residual of held-out records of the same rank (learning.residual_ranks).

    Raises:
        UnsuitableSelection: the labels are a range that retain lacks, for a network with errors of this size.
    """

    def __init__(
        self, original: nn.Module, forget: Batches, retain: Batches, held_out: Batches, task_loss: TaskLoss
    ) -> None:
        self.held_out, self.task_loss = take_sample(held_out), task_loss
        never_seen = measure_residuals(original, self.held_out)
        check_range(forget, retain, never_seen)
        residuals = measure_residuals(original, take_sample(retain))
        self.ranks = rank_residuals(predict(original, forget)[:, 0], forget.targets, residuals)
        self.targets = self.ranks.targets(never_seen)  # (n,) on the scale of the network's outputs

    @property
    def state(self) -> tuple[Tensor, ...]:
        return (self.targets,)

    def update(self, model: nn.Module) -> None:
        self.targets.copy_(self.ranks.targets(measure_residuals(model, self.held_out)))

    def loss(self, outputs: Tensor, positions: Tensor) -> Tensor:
        """Return the manifest's loss against the targets."""
        return self.task_loss(outputs, self.targets[positions])


def check_range(forget: Batches, retain: Batches, never_seen: Tensor) -> None:
    """Refuse labels that retain lacks within the median size of the residuals (h,) on never-seen records.

    Raises:
        UnsuitableSelection: retain represents less than half of the forgotten labels.
    """
    forget_labels, retain_labels = (part.targets.cpu().numpy() for part in (forget, retain))
    represented = share_represented(forget_labels, retain_labels, float(never_seen.abs().median()))
    require_represented("rank_match", represented, "blindspot, gaussian_amnesiac")


def sample_positions(batches: Batches) -> np.ndarray:
    """Return the positions of at most MOST_RECORDS random records; they depend only on the seed."""
    return np.sort(batches.permutation("sample")[:MOST_RECORDS])


def take_sample(batches: Batches) -> Batches:
    return batches.take(sample_positions(batches))


def predict(model: nn.Module, batches: Batches) -> Tensor:
    return predict_outputs(model, (x for x, _ in batches.sequential(CHUNK)))


def describe(model: nn.Module, batches: Batches) -> Described:
    """Return the log-odds and the labels of records."""
    return measure_log_odds(model, batches), batches.targets


def measure_log_odds(model: nn.Module, batches: Batches) -> Tensor:
    return log_odds(predict(model, batches), batches.targets)


def measure_residuals(model: nn.Module, batches: Batches) -> Tensor:
    """Return output minus label (n,), on the scale of the network's outputs."""
    return predict(model, batches)[:, 0] - batches.targets
