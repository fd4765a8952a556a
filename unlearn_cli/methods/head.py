"""Head: the last layer unlearns whole classes on synthetic features, in a second and without any data.

Idea: what enters the last layer can be drawn at random, because the layer is linear: if its outputs without the
forgotten classes F are right for features in all directions, they are right for those of data.

    features:  h = s max(0, u + g d_c),  u ~ N(0, I),  d_c = sqrt(width) (w_c - mean of w) / |w_c - mean of w|
    targets:   q(h) = softmax(W h + b), the columns of F set to 0 and the rest renormalised
    impair:    W', b' <- Adam steps on the mean of KL(q(h) || softmax(W' h + b')); all earlier layers stay as they are

with w_c the row of class c in the last layer (W, b) of the original, and g `guidance`. For `forget_share` of the
features c is a class of F, for the rest another class, so every class has features however many classes there are. The
original's last layer classifies them; no label is needed.

Source: A Universal Source-Free Class Unlearning Framework via Synthetic Embeddings (TMLR 2026), which draws from
N(0, I) and keeps equally many features per predicted class; the targets are those of Zhou et al., Decoupled
Distillation to Erase (DELETE, CVPR 2025). Needs no data: the network, its input's shape and the class numbers.
Warning: only the last layer changes. All that earlier layers have learned of F remains, and a new last layer, trained
on a few records of F, recognises it again. The report says so.

What the features of data are like is read from the network, without data.
1. Sign: the original runs on uniform random inputs. If no feature is negative, as after a ReLU, the features are cut at
   0; otherwise h = s (u + g d_c). The inputs are from 0 to 1, which are also valid word numbers.
2. Scale: s is the scale at which the original's mean largest probability on h is `confidence`. The steps are taken for
   s W and h / s, so the learning rate means the same for every network, whatever the scale of its features.

With the defaults, each of ten classes was forgotten to 0 % and the others kept their accuracy (digits, Fashion-MNIST;
LeNet-5, ResNet-20); with the wrong sign they lost up to 5 points, with a confidence from 0.8 to 0.99 nothing. How far
the outputs of F fall depends on learning rate and steps: the loss hardly has a gradient once their probability is low.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.errors import UserError
from unlearn_cli.learning.head import Head, find_head, is_linear, predict_features, read_head, write_rows
from unlearn_cli.learning.masking import distillation_loss, mask_classes, masked_softmax
from unlearn_cli.learning.training import lr_factor, set_learning_rate
from unlearn_cli.plugins.types import Doc
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import default_batch_size, full_precision, note
from unlearn_cli.runtime.seeds import Random

SUMMARY = "synthetic features for the last layer; no data, seconds"
TASK = "classification"
NUM_PROBES = 64  # random inputs by whose features the sign is decided
NUM_CALIBRATING = 4096  # features by which their scale is decided
LOG_SCALES, HALVINGS = (-6.0, 6.0), 40  # of the search for the scale: interval of its log10, and steps


def head(
    model: nn.Module,
    original: nn.Module,
    forget_classes: list[int],
    input_shape: tuple[int, ...],
    random: Random,
    *,
    steps: Annotated[PositiveInt, Doc("training steps of the last layer")] = 200,
    lr: Annotated[PositiveFloat, Doc("highest learning rate of Adam, at the scale of features 1")] = 1e-2,
    batch_size: Annotated[PositiveInt | None, Doc("features per step; null: --batch-size")] = None,
    forget_share: Annotated[
        Annotated[float, Field(gt=0, le=0.9)],
        Doc("share of features near a forgotten class, at least the share of these classes"),
    ] = 0.25,
    guidance: Annotated[NonNegativeFloat, Doc("g, how far features are moved to their class; 0: not at all")] = 1.0,
    confidence: Annotated[
        Annotated[float, Field(gt=0, lt=1)], Doc("the original's mean largest probability, which gives the scale")
    ] = 0.95,
    sign: Annotated[
        Literal["auto", "non_negative", "any"], Doc("sign of the features; auto: of those of random inputs")
    ] = "auto",
) -> nn.Module:
    """Distil the last layer of the original without the forgotten classes into that of the network."""
    with full_precision(random.uniform(1)):
        last, non_negative = read_last_layer(original, input_shape, random)
        if sign != "auto":
            non_negative = sign == "non_negative"
        source = FeatureSource(last, forget_classes, forget_share, guidance, non_negative)
        scale = find_scale(last, source.draw(NUM_CALIBRATING, random), confidence)
        scaled = replace(last, weight=scale * last.weight)
        changed = distil(scaled, source, forget_classes, steps, lr, batch_size or default_batch_size(), random)
    write_last_layer(model, replace(changed, weight=changed.weight / scale))
    note("head: only the last layer changed; all that earlier layers have learned of the forgotten classes remains")
    return model


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
        "the network's outputs are not those of a linear last layer, which the method head changes; use gkt or emmn, "
        "or with data unsir"
    )


def computes(last: Head, features: Tensor, outputs: Tensor) -> bool:
    """Return whether the layer computes these outputs (n, K), up to a number per sample, as of log-probabilities."""
    if last.weight.shape != (outputs.shape[1], features.shape[1]):
        return False
    shift = (outputs - last(features)).mean(dim=1, keepdim=True)
    return is_linear(last, features, outputs - shift)


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
    num_steps: int,
    lr: float,
    batch_size: int,
    random: Random,
) -> Head:
    """Return the last layer that learned the given one's outputs without the forgotten classes."""
    weight = last.weight.clone().requires_grad_()
    bias = None if last.bias is None else last.bias.clone().requires_grad_()
    own, parameters = Head(weight, bias), [weight] if bias is None else [weight, bias]
    lost = mask_classes(forget_classes, len(weight), weight.device)
    optimizer = torch.optim.Adam(parameters, lr, fused=True)
    progress = track(range(num_steps), "impair", optimizer, *parameters)
    for _ in progress:
        set_learning_rate(optimizer, lr * lr_factor("cosine", progress.share_done))
        features = source.draw(batch_size, random)
        loss = distillation_loss(own(features), masked_softmax(last(features), lost))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress.log(loss=loss)
    return Head(weight.detach(), None if bias is None else bias.detach())
