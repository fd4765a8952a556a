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

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from unlearn_cli.learning.synthetic_features import SyntheticTraining, unlearn_last_layer
from unlearn_cli.plugins.types import Doc
from unlearn_cli.runtime.run import note
from unlearn_cli.runtime.seeds import Random

SUMMARY = "synthetic features for the last layer; no data, seconds"
TASK = "classification"


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
    training = SyntheticTraining(steps, lr, batch_size, forget_share, guidance, confidence, sign)
    unlearn_last_layer(model, original, forget_classes, input_shape, random, training)
    note("head: only the last layer changed; all that earlier layers have learned of the forgotten classes remains")
    return model
