"""Fisher forgetting: add noise to every weight; the less a weight matters for retain, the more noise.

    F_i = mean over retain of (d/d theta_i log p(y | x; theta))^2          y ~ p(. | x; theta), or the record's label
    theta_i <- theta_i + n_i sqrt(v_i),  n_i ~ N(0, 1),  v_i = alpha min(F_i^(-1/2) / median(F^(-1/2)), `max_ratio`)

Source: Golatkar, Achille, Soatto: Eternal Sunshine of the Spotless Net, arXiv 1911.04933, section 5; a baseline of
Tarun et al., arXiv 2111.08947. Needs labelled `retain`, the labels only to measure the accuracy; never reads forget.
Warning: it removes only the knowledge in weights that retain does not need, because it does not read forget.

The paper chooses alpha by hand for each network. Without `alpha` the largest value is searched with which the accuracy
on retain falls by at most `max_accuracy_drop`. The paper's formula has no median; here it makes alpha mean the same for
every network: the variance of the noise of a typical weight.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.training import predict_outputs
from unlearn_cli.plugins.types import Doc, Fraction
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import add_samples, full_precision, report_setting
from unlearn_cli.runtime.seeds import Random

SUMMARY = "noise on the weights that retain does not need"
TASK = "classification"
WHOLE = True  # per-sample gradients reach into the network, so every process computes all of it
CHUNK, CHUNK_NUMBERS = 64, 2**25  # records whose gradients are in memory together, and the numbers in these gradients
CHECKED_RECORDS = 2000  # of retain, on which the accuracy is measured
SEARCH_INTERVAL, HALVINGS = (-8.0, 1.0), 12  # of log10 alpha

Weights = dict[str, Tensor]


def fisher(
    model: nn.Module,
    retain: Batches,
    num_classes: int,
    random: Random,
    *,
    max_records: Annotated[PositiveInt, Doc("records of retain on which F is estimated")] = 2000,
    labels: Annotated[
        Literal["model", "data"], Doc("y: every class, weighted by the network's probability, or the record's label")
    ] = "model",
    alpha: Annotated[
        PositiveFloat | None, Doc("variance of the noise of a typical weight; null: searched on retain")
    ] = None,
    max_ratio: Annotated[PositiveFloat, Doc("bound on a weight's variance relative to alpha")] = 100.0,
    max_accuracy_drop: Annotated[Fraction, Doc("how far accuracy on retain may fall when alpha is searched")] = 0.02,
) -> nn.Module:
    """Estimate F on retain, then add the noise once."""
    diagonal = fisher_diagonal(model, subsample(retain, max_records), num_classes, labels)
    ratios = noise_ratios(diagonal, max_ratio)
    noise = {name: ratio.sqrt() * random.normal(*ratio.shape) for name, ratio in ratios.items()}
    if alpha is None:
        alpha = find_largest_alpha(model, subsample(retain, CHECKED_RECORDS), noise, max_accuracy_drop)
        report_setting("alpha", alpha)
    model.load_state_dict(add_noise(model, noise, alpha), strict=False)
    return model


def fisher_diagonal(model: nn.Module, batches: Batches, num_classes: int, labels: Literal["model", "data"]) -> Weights:
    """Return for each weight the mean over the records of the squared derivative of log p(y | x)."""
    model.eval()
    weights = {name: parameter.detach() for name, parameter in list_trained(model).items()}
    diagonal = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    chunk = max(2, min(CHUNK, CHUNK_NUMBERS // sum(weight.numel() for weight in weights.values())))
    gradients = per_sample_gradients(model)
    steps = track(batches.epochs(1), "fisher", *diagonal.values())
    for x, y in steps:
        for x_chunk, y_chunk in zip(x.split(chunk), y.split(chunk), strict=True):
            for classes, shares in list_labels(model, x_chunk, y_chunk, num_classes, labels):
                with full_precision(x):  # batch norm under vmap takes no mixed types
                    per_sample = gradients(weights, x_chunk, classes)
                add_samples(len(x_chunk) - 1)  # under vmap hooks see a single sample
                for name, gradient in per_sample.items():  # (B, *weight)
                    diagonal[name] += torch.einsum("b...,b->...", gradient.square(), shares) / batches.num_samples
        steps.log(trace=sum(values.sum() for values in diagonal.values()))
    return diagonal


def list_trained(model: nn.Module) -> Weights:
    """Return the parameters that are not frozen by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def per_sample_gradients(model: nn.Module) -> Callable[[Weights, Tensor, Tensor], Weights]:
    """Return a function from weights, x (B, *shape) and classes (B,) to gradients of log p(class | x) (B, *weight)."""
    buffers = dict(model.named_buffers())

    def log_probability(weights: Weights, x: Tensor, number: Tensor) -> Tensor:
        outputs = functional_call(model, (weights, buffers), (x[None],))
        return F.log_softmax(outputs[0], dim=0).gather(0, number[None])[0]

    return vmap(grad(log_probability), in_dims=(None, 0, 0))


@torch.no_grad()
def list_labels(
    model: nn.Module, x: Tensor, y: Tensor, num_classes: int, labels: Literal["model", "data"]
) -> list[tuple[Tensor, Tensor]]:
    """Return the possible y of each record, as pairs of classes (B,) and their probabilities (B,)."""
    if labels == "data":
        return [(y, torch.ones(len(y), device=y.device))]
    probabilities = model(x).float().softmax(dim=1)
    return [(torch.full_like(y, number), probabilities[:, number]) for number in range(num_classes)]


def noise_ratios(diagonal: Weights, max_ratio: float) -> Weights:
    """Return F^(-1/2) of each weight relative to its median over all, at most `max_ratio`."""
    values = torch.cat([values.flatten() for values in diagonal.values()])
    median = values[values > 0].median()  # weights behind a unit that is never active have none
    return {name: (median / values).sqrt().clamp(max=max_ratio) for name, values in diagonal.items()}


def add_noise(model: nn.Module, noise: Weights, alpha: float) -> Weights:
    weights = list_trained(model)
    return {name: weights[name].detach() + alpha**0.5 * values for name, values in noise.items()}


def find_largest_alpha(model: nn.Module, checked: Batches, noise: Weights, max_accuracy_drop: float) -> float:
    """Return the largest alpha, up to a factor of 1.01, that costs at most `max_accuracy_drop` of the accuracy."""

    def accuracy() -> float:
        outputs = predict_outputs(model, (x for x, _ in checked.sequential(checked.batch_size)))
        return float((outputs.argmax(dim=1) == checked.targets).float().mean())

    weights = {name: parameter.detach().clone() for name, parameter in list_trained(model).items()}
    min_accuracy = accuracy() - max_accuracy_drop
    low, high = SEARCH_INTERVAL
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        model.load_state_dict(add_noise(model, noise, 10**middle), strict=False)
        low, high = (middle, high) if accuracy() >= min_accuracy else (low, middle)
        model.load_state_dict(weights, strict=False)
    return 10**low


def subsample(retain: Batches, count: int) -> Batches:
    """Return at most `count` records, evenly spread and without augmentation."""
    stride = -(-retain.num_samples // count)
    return replace(retain.take(torch.arange(0, retain.num_samples, stride).numpy()), augmentations=())
