"""Tries the usual normalisations of inputs, and orders of classes, by how well a checkpoint predicts a sample.

Nothing in a checkpoint says how its inputs were normalised. With the wrong numbers, most networks are worse but not
broken, so every candidate is measured on the same records and the best is reported with its lead.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from unlearn_cli.data.batches import Batches, Scaling
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.session import Session
from unlearn_cli.stats.outputs import Outputs

SAMPLE = 1000  # records
FEWEST, PIXELS = 200, 1000 * 96 * 96  # records and pixels of a sample of larger images
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
USUAL = {
    3: {
        "ImageNet's": IMAGENET,
        "CIFAR-10's": ([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]),
        "CIFAR-100's": ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
    },
    1: {"MNIST's": ([0.1307], [0.3081]), "Fashion-MNIST's": ([0.286], [0.353])},
}
FEWEST_PER_CLASS = 5  # records of a class in the sample, to recognise an order of classes
LEAD_OF_OWN = 1.05  # by which the loss with the data's own mean and std must be lower than with usual numbers
SHARE_MATCHED = 0.5  # of the sample that another order of classes must explain, and twice as much as the given order


@dataclass(frozen=True)
class Normalisation:
    """Numbers of the section `input`, under a name for messages; `is_new`: they differ from those of the manifest."""

    name: str
    mean: float | list[float]
    std: float | list[float]
    scale: float | None = None
    is_new: bool = True
    is_usual: bool = True  # not computed from this data

    @property
    def changes(self) -> dict[str, float | list[float]]:
        """The keys of `input` that a manifest needs for it."""
        scale = {} if self.scale is None else {"scale": self.scale}
        return {"mean": self.mean, "std": self.std, **scale} if self.is_new else {}


@dataclass(frozen=True)
class Trial:
    """How well a checkpoint predicts `n` training records with a normalisation.

    `score` is the accuracy (multilabel: of single labels), for a regression R^2; `loss` the mean cross-entropy or
    squared error, by which candidates are ordered; `chance` the score without any knowledge. `order` is an order of
    the classes that fits better than the given one, as the class of each output; score and loss are then those with
    this order.
    """

    normalisation: Normalisation
    score: float
    loss: float
    chance: float
    n: int
    order: tuple[int, ...] | None = None

    @property
    def is_better_than_chance(self) -> bool:
        """Whether the score is above chance by more than three standard errors of a share."""
        return self.score > self.chance + 3 * float(np.sqrt(max(self.chance * (1 - self.chance), 0.01) / self.n))


def list_normalisations(channels: int, own: tuple[np.ndarray, np.ndarray]) -> list[Normalisation]:
    """Return the candidates for images; `own` are the mean and std (channels,) of the data's pixels, from 0 to 1."""
    mean, std = ([float(f"{number:.4g}") for number in numbers] for numbers in own)
    usual = [Normalisation(name, *numbers) for name, numbers in USUAL.get(channels, {}).items()]
    return [
        *usual,
        Normalisation("from 0 to 1", 0.0, 1.0),
        Normalisation("from -1 to 1", 0.5, 0.5),
        Normalisation("with mean and std of this data", mean, [max(number, 1e-4) for number in std], is_usual=False),
        Normalisation("from 0 to 255", 0.0, 1.0, 1.0),
    ]


def try_normalisations(
    session: Session, model: nn.Module, sample: Batches, candidates: Sequence[Normalisation]
) -> list[Trial]:
    """Return the trials of all candidates with which the outputs are finite, the best first."""
    trials = [trial for each in candidates if (trial := _try(session, model, sample, each))]
    return sorted(trials, key=lambda trial: trial.loss * (1 if trial.normalisation.is_usual else LEAD_OF_OWN))


def measure_channels(sample: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and std (channels,) of the pixels, divided by the scale of the stored numbers."""
    plain = normalise(sample, Normalisation("", 0.0, 1.0))
    pixels = np.concatenate([x.double().cpu().numpy() for x, _ in plain.sequential(SAMPLE)])
    axes = (0, *range(2, pixels.ndim))
    return pixels.mean(axis=axes), pixels.std(axis=axes)


def normalise(sample: Batches, normalisation: Normalisation) -> Batches:
    """Return the same records with another normalisation."""
    ones = [1] * (len(sample.shape) - 1)
    mean, std = (
        torch.tensor(numbers, dtype=torch.float32, device=sample.targets.device).reshape(-1, *ones)
        for numbers in (normalisation.mean, normalisation.std)
    )
    return replace(sample, scaling=Scaling(normalisation.scale or sample.scaling.scale, mean, std))


def take_sample(session: Session) -> Batches:
    """Return at most SAMPLE records of train, fewer of large images, spread over all records.

    They depend only on the number of records and their shape.
    """
    batches = session.batches("train")
    size, pixels = batches.num_samples, math.prod(batches.shape[1:])
    number = min(size, SAMPLE, max(FEWEST, PIXELS // max(1, pixels)))
    return batches.take(np.unique(np.linspace(0, size - 1, number).round().astype(np.int64)))


def _try(session: Session, model: nn.Module, sample: Batches, normalisation: Normalisation) -> Trial | None:
    try:
        outputs = session.predict(model, normalise(sample, normalisation))
    except UserError:  # outputs that are not finite, which says enough about a candidate
        return None
    if outputs.task == "regression":
        return _judge_regression(outputs, normalisation)
    if outputs.task == "multilabel":
        return _judge_label_sets(outputs, normalisation)
    score, loss = measure_accuracy(outputs)
    order = find_order(outputs, score)
    if order:
        labels = np.argsort(order)[outputs.labels]
        score, loss = measure_accuracy(replace(outputs, labels=labels))
    chance = float(np.bincount(outputs.labels).max() / len(outputs))
    return Trial(normalisation, score, loss, chance, len(outputs), order)


def measure_accuracy(outputs: Outputs) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy."""
    values = outputs.values - outputs.values.max(axis=1, keepdims=True)
    losses = np.log(np.exp(values).sum(axis=1)) - values[np.arange(len(outputs)), outputs.labels]
    return float((values.argmax(axis=1) == outputs.labels).mean()), float(losses.mean())


def _judge_regression(outputs: Outputs, normalisation: Normalisation) -> Trial:
    errors = (outputs.values - outputs.labels) ** 2
    variance, loss = float(outputs.labels.var()), float(errors.mean())
    score = 1 - loss / variance if variance > 0 else 0.0  # equal labels have no R^2
    return Trial(normalisation, score, loss, 0.0, len(outputs))


def _judge_label_sets(outputs: Outputs, normalisation: Normalisation) -> Trial:
    """Compare the sign of every logit (n, K) with its label; chance is the more frequent value of each label."""
    losses = np.logaddexp(0, outputs.values) - outputs.labels * outputs.values
    score = float(((outputs.values > 0) == outputs.labels).mean())
    shares = outputs.labels.mean(axis=0)
    return Trial(normalisation, score, float(losses.mean()), float(np.maximum(shares, 1 - shares).mean()), len(outputs))


def find_order(outputs: Outputs, accuracy: float) -> tuple[int, ...] | None:
    """Return the label that fits each output best, if another order than the given one explains the outputs better.

    The sums of the confusion matrix are maximised over all orders (Hungarian method).
    """
    number = outputs.values.shape[1]
    if len(outputs) < FEWEST_PER_CLASS * number:
        return None
    confusion = np.zeros((number, number), dtype=np.int64)
    np.add.at(confusion, (outputs.values.argmax(axis=1), outputs.labels), 1)
    _, labels = linear_sum_assignment(confusion, maximize=True)
    matched = confusion[np.arange(number), labels].sum() / len(outputs)
    is_other = matched >= max(SHARE_MATCHED, 2 * accuracy)
    return tuple(labels.tolist()) if is_other else None
