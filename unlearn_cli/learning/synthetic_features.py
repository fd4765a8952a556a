"""The last layer without some classes, learned on synthetic features: no data are read. See methods.head.

features:  h = s max(0, u + g d_c),  u ~ N(0, I),  d_c = sqrt(width) (w_c - mean of w) / |w_c - mean of w|
targets:   q(h) = softmax(W h + b), the columns of the forgotten classes set to 0 and the rest renormalised
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn_cli.errors import UserError
from unlearn_cli.learning.head import Head, computes, find_head, predict_features, read_head, write_rows
from unlearn_cli.learning.masking import distillation_loss, mask_classes, masked_softmax
from unlearn_cli.learning.training import lr_factor, set_learning_rate, take_step
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import default_batch_size, full_precision
from unlearn_cli.runtime.seeds import Random

NUM_PROBES = 64  # random inputs by whose features the sign is decided
NUM_CALIBRATING = 4096  # features by which their scale is decided
LOG_SCALES, HALVINGS = (-6.0, 6.0), 40  # of the search for the scale: interval of its log10, and steps


@dataclass(frozen=True)
class SyntheticTraining:
    """The settings of the method head, with its defaults."""

    steps: int = 200
    lr: float = 1e-2
    batch_size: int | None = None  # None: --batch-size
    forget_share: float = 0.25
    guidance: float = 1.0
    confidence: float = 0.95
    sign: Literal["auto", "non_negative", "any"] = "auto"


def unlearn_last_layer(
    model: nn.Module,
    original: nn.Module,
    forget_classes: list[int],
    input_shape: tuple[int, ...],
    random: Random,
    training: SyntheticTraining = SyntheticTraining(),
) -> None:
    """Distil the last layer of the original without the forgotten classes into that of the network.

    Raises:
        UserError: the network's outputs are not those of a linear last layer.
    """
    with full_precision(random.uniform(1)):
        last, non_negative = read_last_layer(original, input_shape, random)
        if training.sign != "auto":
            non_negative = training.sign == "non_negative"
        source = FeatureSource(last, forget_classes, training.forget_share, training.guidance, non_negative)
        scale = find_scale(last, source.draw(NUM_CALIBRATING, random), training.confidence)
        scaled = replace(last, weight=scale * last.weight)
        changed = distil(scaled, source, forget_classes, training, random)
    write_last_layer(model, replace(changed, weight=changed.weight / scale))


def read_last_layer(original: nn.Module, input_shape: tuple[int, ...], random: Random) -> tuple[Head, bool]:
    """Return the last layer, and whether none of the features of random inputs is negative.

    Raises:
        UserError: the network's outputs are not those of a linear last layer.
    """
    layer = find_head(original)
    last = read_head(layer[1]) if layer else None
    if last is not None:
        features, outputs = predict_features(original, [random.uniform(NUM_PROBES, *input_shape)])
        if computes(last, features, outputs):
            return last, bool((features >= 0).all())
    raise UserError(
        "the network's outputs are not those of a linear last layer, the only one that can be changed without data; "
        "use gkt or emmn, or with data unsir"
    )


def write_last_layer(model: nn.Module, last: Head) -> None:
    """Replace the weights and the bias of the last layer."""
    layer = find_head(model)
    assert layer is not None, "a network without a linear or convolutional layer"
    write_rows(layer[1], torch.arange(len(last.weight)), last)


@dataclass(frozen=True)
class FeatureSource:
    """Draws synthetic features near the rows of the last layer."""

    last: Head
    forget_classes: list[int]
    forget_share: float
    guidance: float
    non_negative: bool

    def draw(self, count: int, random: Random) -> Tensor:
        """Return features (count, width) of scale 1."""
        weight = self.last.weight
        directions = weight.shape[1] ** 0.5 * F.normalize(weight - weight.mean(dim=0), dim=1)
        features = random.normal(count, weight.shape[1]) + self.guidance * directions[self.draw_classes(count, random)]
        return features.clamp(min=0) if self.non_negative else features

    def draw_classes(self, count: int, random: Random) -> Tensor:
        """Return class numbers (count,), a share of which are forgotten classes."""
        num_classes = len(self.last.weight)
        forgotten = torch.tensor(self.forget_classes, device=random.device)
        retained = torch.tensor(sorted({*range(num_classes)} - {*self.forget_classes}), device=random.device)
        is_forgotten = random.uniform(count) < max(self.forget_share, len(forgotten) / num_classes)
        drawn = [numbers[random.integers(len(numbers), count)] for numbers in (forgotten, retained)]
        return torch.where(is_forgotten, *drawn)


@torch.no_grad()
def find_scale(last: Head, features: Tensor, confidence: float) -> float:
    """Return the factor on the features at which the mean largest probability is `confidence`, by bisection."""
    low, high = LOG_SCALES
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        reached = last(10**middle * features).softmax(dim=1).amax(dim=1).mean()
        low, high = (middle, high) if reached < confidence else (low, middle)
    return 10**low


def distil(
    last: Head,
    source: FeatureSource,
    forget_classes: list[int],
    training: SyntheticTraining,
    random: Random,
) -> Head:
    """Return the last layer that learned the given one's outputs without the forgotten classes."""
    weight = last.weight.clone().requires_grad_()
    bias = None if last.bias is None else last.bias.clone().requires_grad_()
    own, parameters = Head(weight, bias), [weight] if bias is None else [weight, bias]
    lost = mask_classes(forget_classes, len(weight), weight.device)
    optimizer = torch.optim.Adam(parameters, training.lr, fused=True)
    batch_size = training.batch_size or default_batch_size()
    progress = track(range(training.steps), "impair", optimizer, *parameters)
    for _ in progress:
        set_learning_rate(optimizer, training.lr * lr_factor("cosine", progress.share_done))
        features = source.draw(batch_size, random)
        loss = distillation_loss(own(features), masked_softmax(last(features), lost))
        take_step(optimizer, loss)
        progress.log(loss=loss)
    return Head(weight.detach(), None if bias is None else bias.detach())
