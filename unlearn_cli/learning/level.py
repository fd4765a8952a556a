"""The level step: sets how low the outputs of lost classes are, by learning their rows of the last layer anew.

    w_c, b_c ~ new weights for each lost class c
    w_c, b_c <- steps of the original's recipe on the mean over retain of logsumexp_k z_k(x)    (other rows are fixed)
    b_c <- b_c + level_c - mean over retain of (z_c(x) - logsumexp_{k != c} z_k(x))             (if a level is known)

Idea: a network that never saw a class learned its row of the last layer from the other classes only, whose records push
its output down for as long as the training lasts. Methods that stop as soon as the class is forgotten leave this output
too high, an edit of the row leaves it too low. The step repeats that part of the training, on stored features of
retain. Retain has no record of the class, so the cross-entropy depends on its row only through the logsumexp, and no
label is read. If a level is known, from references or from an earlier run, the bias is shifted to it. The level is
measured on retain, where it varies less between trainings than on the forgotten records.

Source: this project. Warning: the level of a training depends on its recipe; if the original's recipe is not known,
that of a usual training is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, UnlabelledBatches, without_labels
from unlearn_cli.learning.head import Head, computes, find_head, predict_features, read_head, write_rows
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import lr_factor, make_optimizer, set_learning_rate, take_step
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import note, remark, report_setting
from unlearn_cli.runtime.seeds import Random

CHUNK = 512  # records per forward pass
EQUAL = 0.05  # a smaller difference of levels is none
EPSILON = 1e-3  # by which the output of a lost class is at least below the largest retained one
MOST_RECORDS = 8192  # of retain, whose features are stored
# Steps of the refit. In a short training, the other layers move as well and push the output further down than as many
# steps of a refit, which can leave a class recognised; the later steps of a long one hardly change the level.
FEWEST_STEPS, MOST_STEPS = 1000, 20_000
SOURCES = {"reference": "that of the references", "lineage": "that of an earlier run on this network"}


@dataclass(frozen=True)
class Level:
    """The level of each lost class, mean log-odds of its output on retain, and where it comes from."""

    log_odds: dict[int, float]
    source: Literal["reference", "lineage"]

    @property
    def mean(self) -> float:
        return sum(self.log_odds.values()) / len(self.log_odds)


def set_level(
    model: nn.Module,
    retain: Batches | UnlabelledBatches,
    forget_classes: Sequence[int],
    recipe: Recipe,
    random: Random,
    level: Level | None = None,
    forget: UnlabelledBatches | None = None,
) -> None:
    """Learn the rows of the lost classes anew in fp32, and shift their biases to the level if one is known.

    With records of `forget`, the rows start from new weights; if some of these records are predicted as a lost class
    afterwards, the biases are shifted further, until none is: a network that never saw a class does not predict it.
    Without such records nothing shows whether new rows recognise the class, so the rows start from their own weights,
    which the method has changed, and a level only lowers them. If the last layer has no such rows, nothing changes and
    a note explains it.
    """
    measured = read_linear_head(model, retain)
    if measured is None:
        note("The last layer does not have one row per class, so the level of the lost outputs was not set.")
        return
    layer, head, features = measured
    rows = torch.tensor(sorted(forget_classes), device=features.device)
    others = _logsumexp_of_others(head, features, rows)
    lost = _draw_rows(head, len(rows), random) if forget else _copy_rows(head, rows)
    refit_rows(lost, features, others, recipe, retain.num_samples, random)
    learned = as_head(lost)
    if level is not None:
        wanted = torch.tensor([level.log_odds[int(row)] for row in rows]).to(features)
        amounts = wanted - log_odds(learned, features, others)
        learned = shift(learned, features, amounts if forget else amounts.clamp(max=0))
    if forget is not None:
        forgotten, _ = predict_features(model, forget.sequential(CHUNK))
        learned = shift(learned, features, -measure_excess(learned, head, forgotten, rows))
    write_rows(layer, rows, learned)
    reached = round(float(log_odds(learned, features, others).mean()), 3)
    report_setting("level", reached)
    if level is None:
        remark(describe_refit(reached, recipe))
    else:
        report_setting("known_level", round(level.mean, 3))
        remark(describe_known(reached, level, has_forget=forget is not None))


def describe_refit(reached: float, recipe: Recipe) -> str:
    """Describe a level that comes from the recipe only."""
    source = "the recipe of the original" if recipe.is_known else "a usual recipe"
    return f"The level of the lost outputs is {reached:.1f}: the rows were learned anew by {source}."


def describe_known(reached: float, level: Level, *, has_forget: bool) -> str:
    """Describe the level that was reached, compared with the known one, below which it may lie."""
    source = SOURCES[level.source]
    if abs(reached - level.mean) < EQUAL:
        return f"The level of the lost outputs is {reached:.1f}: {source}."
    reason = "at which forgotten records would be recognised" if has_forget else "to which rows are only lowered"
    return f"The level of the lost outputs is {reached:.1f}, below {source} ({level.mean:.1f}), {reason}."


def read_linear_head(
    model: nn.Module, retain: Batches | UnlabelledBatches
) -> tuple[nn.Linear | nn.Conv2d, Head, Tensor] | None:
    """Return the last layer, the layer as a linear map, and the features (n, width) of records of retain.

    None if the outputs are not a linear map of the features with one row per class, up to a number per record: levels
    are log-odds, which do not change where a log-softmax follows.
    """
    last = find_head(model)
    head = read_head(last[1]) if last else None
    if last is None or head is None:
        return None
    features, outputs = predict_features(model, select_records(retain).sequential(CHUNK))
    return (last[1], head, features) if computes(head, features, outputs) else None


def select_records(retain: Batches | UnlabelledBatches) -> UnlabelledBatches:
    """Return the records whose features are stored: retain, or MOST_RECORDS random ones of it, without labels."""
    inputs = without_labels(retain) if isinstance(retain, Batches) else retain
    if inputs.num_samples <= MOST_RECORDS:
        return inputs
    return inputs.take(inputs.permutation("level")[:MOST_RECORDS])


def refit_rows(
    lost: nn.Linear, features: Tensor, others: Tensor, recipe: Recipe, num_records: int, random: Random
) -> None:
    """Train the rows of the lost classes on features (n, width) of retain by the recipe.

    `others` (n,) is the logsumexp of the retained outputs. The size of retain, `num_records`, decides the number of
    steps; there may be fewer features.
    """
    optimizer = make_optimizer(lost, recipe.optimizer, recipe.lr, recipe.weight_decay, recipe.momentum)
    num_steps = count_steps(recipe, num_records)
    per_epoch = max(1, round(len(features) / recipe.batch_size))
    epochs = track(range(-(-num_steps // per_epoch)), "level", lost, optimizer)
    for epoch in epochs:
        first, loss = epoch * per_epoch, others.new_zeros(())
        chunks = random.permutation(len(features)).tensor_split(per_epoch)[: num_steps - first]
        for step, chunk in enumerate(chunks, start=first):
            set_learning_rate(optimizer, recipe.lr * lr_factor(recipe.schedule, step / num_steps))
            loss = torch.cat([others[chunk, None], lost(features[chunk])], dim=1).logsumexp(dim=1).mean()
            take_step(optimizer, loss)
        epochs.log(loss=loss)


def count_steps(recipe: Recipe, num_records: int) -> int:
    """Return the number of steps of the recipe on this number of records, within the bounds."""
    return min(MOST_STEPS, max(FEWEST_STEPS, recipe.epochs * round(num_records / recipe.batch_size)))


def _draw_rows(head: Head, count: int, random: Random) -> nn.Linear:
    """Return a linear layer with `count` rows like the head's, with torch's usual new weights."""
    width = head.weight.shape[1]
    lost = nn.Linear(width, count, bias=head.bias is not None, device=head.weight.device)
    with torch.no_grad():
        for parameter in lost.parameters():
            parameter.copy_((2 * random.uniform(*parameter.shape) - 1) / width**0.5)
    return lost


def _copy_rows(head: Head, rows: Tensor) -> nn.Linear:
    """Return a linear layer with these rows of the head."""
    lost = nn.Linear(head.weight.shape[1], len(rows), bias=head.bias is not None, device=head.weight.device)
    with torch.no_grad():
        lost.weight.copy_(head.weight[rows])
        if head.bias is not None:
            lost.bias.copy_(head.bias[rows])
    return lost


def as_head(layer: nn.Linear) -> Head:
    return Head(layer.weight.detach(), None if layer.bias is None else layer.bias.detach())


def shift(head: Head, features: Tensor, amounts: Tensor) -> Head:
    """Return the head with mean outputs over the features that are larger by these amounts (k,)."""
    if head.bias is not None:
        return Head(head.weight, head.bias + amounts)
    mean = features.mean(dim=0)
    return Head(head.weight + amounts[:, None] * mean / (mean @ mean), None)


def measure_excess(lost: Head, head: Head, features: Tensor, rows: Tensor) -> Tensor:
    """Return by how much each lost output (k,) exceeds, on some record, the largest retained output; 0 if on none."""
    largest = head(features).index_fill(1, rows, -torch.inf).amax(dim=1)
    excess = (lost(features) - largest[:, None]).amax(dim=0)
    return torch.where(excess >= 0, excess + EPSILON, 0.0)


def log_odds(lost: Head, features: Tensor, others: Tensor) -> Tensor:
    """Return the mean over records (k,) of each lost output minus the logsumexp of the retained ones."""
    return (lost(features) - others[:, None]).mean(dim=0)


def _logsumexp_of_others(head: Head, features: Tensor, rows: Tensor) -> Tensor:
    """Return the logsumexp (n,) of the outputs that are not in `rows`."""
    outputs = head(features)
    return outputs.index_fill(1, rows, -torch.inf).logsumexp(dim=1)


def measure_level(
    model: nn.Module, retain: Batches | UnlabelledBatches, forget_classes: Sequence[int]
) -> dict[int, float]:
    """Return the level of each lost class in a network: the mean log-odds of its output on records of retain."""
    model.eval()
    rows = torch.tensor(sorted(forget_classes))
    with torch.no_grad():
        outputs = torch.cat([model(x).double() for x in select_records(retain).sequential(CHUNK)])
    rows = rows.to(outputs.device)
    others = outputs.index_fill(1, rows, -torch.inf).logsumexp(dim=1)
    means = (outputs[:, rows] - others[:, None]).mean(dim=0)
    return dict(zip(rows.tolist(), means.tolist(), strict=True))
