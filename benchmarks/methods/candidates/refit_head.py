"""Refit the last layer on frozen features of retain: a strongly convex problem, so its start does not matter.

    (W, b) = argmin over retain of the mean CE(W h(x) + b, y) + decay / 2 (|W|^2 + |b|^2),  until |gradient| <= tau

What follows from it: the last layer lies within tau / decay of the one that retain gives on these features. The
features themselves were learned from the forgotten records, so the statement does not cover them.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import nn

from unlearn_cli.data.batches import Batches, without_labels
from unlearn_cli.learning.head import Head, find_head, predict_features, write_rows
from unlearn_cli.plugins.types import Doc
from unlearn_cli.runtime.run import report_setting

CHUNK = 512


def refit_head(
    model: nn.Module,
    retain: Batches,
    num_classes: int,
    *,
    decay: Annotated[PositiveFloat, Doc("weight of the squared norm")] = 1e-4,
    tau: Annotated[PositiveFloat, Doc("largest norm of the gradient at the end")] = 1e-6,
) -> nn.Module:
    """Minimise with L-BFGS in float64 from zero."""
    features, _ = predict_features(model, without_labels(retain).sequential(CHUNK))
    features, labels = features.double(), retain.targets
    weight = torch.zeros(num_classes, features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(num_classes, dtype=torch.float64, requires_grad=True)
    lbfgs = torch.optim.LBFGS(
        [weight, bias], max_iter=500, tolerance_grad=tau / 10, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        lbfgs.zero_grad()
        value = F.cross_entropy(features @ weight.T + bias, labels) + decay / 2 * (weight.square().sum() + bias @ bias)
        value.backward()
        return value

    lbfgs.step(loss)
    loss()
    assert weight.grad is not None and bias.grad is not None
    report_setting("gradient", float(torch.cat([weight.grad.flatten(), bias.grad]).norm()))
    layer = find_head(model)
    assert layer is not None, "a network without a linear layer"
    write_rows(layer[1], torch.arange(num_classes), Head(weight.detach().float(), bias.detach().float()))
    return model
