"""Selective synaptic dampening: weights that matter more to the forgotten records than to all records are made smaller.

    I_S = mean over records x of S of (d L(x) / d theta)^2
    theta <- theta * min(I_train / I_forget, 1)     where I_forget > alpha I_train

L is the cross-entropy, or |f(x)|^2 where labels are not read. Sources: SSD (arXiv 2308.07707), its variant without
labels (LFSSD, arXiv 2402.19308), and per-record gradients instead of those of batches. alpha is the smallest one at
which accuracy on held-out records of the retained classes falls by at most `tolerance`: a bisection over log alpha.
"""

from collections.abc import Callable
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from benchmarks.methods.candidates.levels import lacks_classes, set_level_of_lost
from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import predict_outputs
from unlearn_cli.plugins.types import Doc
from unlearn_cli.runtime.run import add_samples, report_setting
from unlearn_cli.runtime.seeds import Random

CHUNK, LARGEST_LOG_ALPHA, TRIALS = 128, 3.0, 10
Weights = dict[str, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


def ssd(
    model: nn.Module,
    forget: Batches,
    retain: Batches,
    held_out: Batches,
    recipe: Recipe,
    random: Random,
    *,
    alpha: Annotated[PositiveFloat | None, Doc("null: searched")] = None,
    labels: Annotated[bool, Doc("whether L is the cross-entropy; false: the squared norm of the outputs")] = True,
    tolerance: Annotated[NonNegativeFloat, Doc("of the accuracy on held-out records, in points")] = 1.0,
    most_records: Annotated[PositiveInt, Doc("of forget and of retain, whose gradients are read")] = 4000,
    refit: Annotated[bool, Doc("whether rows of lost classes are learned anew")] = True,
) -> nn.Module:
    """Dampen once, then set the level of lost classes."""
    loss = F.cross_entropy if labels else squared_norm
    share = forget.num_samples / (forget.num_samples + retain.num_samples)
    of_forget, of_retain = (
        mean_squared_gradients(model, sample(part, most_records), loss) for part in (forget, retain)
    )
    of_train = {name: share * of_forget[name] + (1 - share) * of_retain[name] for name in of_forget}
    guard = select_retained(held_out, forget, retain)
    alpha = alpha or find_alpha(model, of_forget, of_train, guard, tolerance)
    report_setting("alpha", alpha)
    dampen(model, of_forget, of_train, alpha)
    return set_level_of_lost(model, forget, retain, recipe, random) if refit else model


def ssd_without_labels(
    model: nn.Module, forget: Batches, retain: Batches, held_out: Batches, recipe: Recipe, random: Random
) -> nn.Module:
    """Dampen by the gradients of the squared norm of the outputs."""
    return ssd(model, forget, retain, held_out, recipe, random, labels=False)


def squared_norm(outputs: Tensor, labels: Tensor) -> Tensor:
    return outputs.square().sum()


def sample(batches: Batches, most: int) -> Batches:
    return batches.take(batches.permutation("dampen")[:most])


def select_retained(held_out: Batches, forget: Batches, retain: Batches) -> Batches:
    """Return the held-out records that count: without those of lost classes."""
    if not lacks_classes(forget, retain):
        return held_out
    of_others = ~torch.isin(held_out.targets, forget.targets)
    return held_out.take(of_others.nonzero()[:, 0].cpu().numpy())


def mean_squared_gradients(model: nn.Module, batches: Batches, loss: Loss) -> Weights:
    """Return I_S: the mean over records of the squared gradient of each record's loss, in eval mode."""
    model.eval()
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def record_loss(weights: Weights, x: Tensor, y: Tensor) -> Tensor:
        return loss(functional_call(model, weights, (x[None],)), y[None])

    gradients = vmap(grad(record_loss), in_dims=(None, 0, 0))
    sums = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    for x, y in batches.sequential(CHUNK):
        for name, gradient in gradients(weights, x, y).items():
            sums[name] += gradient.square().sum(dim=0)
    add_samples(batches.num_samples)
    return {name: total / batches.num_samples for name, total in sums.items()}


@torch.no_grad()
def dampen(model: nn.Module, of_forget: Weights, of_train: Weights, alpha: float) -> None:
    for name, parameter in model.named_parameters():
        chosen = of_forget[name] > alpha * of_train[name]
        factors = (of_train[name] / of_forget[name]).clamp(max=1)
        parameter.copy_(torch.where(chosen, parameter * factors, parameter))


def find_alpha(model: nn.Module, of_forget: Weights, of_train: Weights, guard: Batches, tolerance: float) -> float:
    """Return the smallest alpha at which accuracy on `guard` falls by at most `tolerance` points."""
    before = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    first, low, high = measure_accuracy(model, guard), 0.0, LARGEST_LOG_ALPHA
    for _ in range(TRIALS):
        middle = (low + high) / 2
        dampen(model, of_forget, of_train, 10**middle)
        keeps = first - measure_accuracy(model, guard) <= tolerance
        low, high = (low, middle) if keeps else (middle, high)
        model.load_state_dict(before)
    return 10**high


def measure_accuracy(model: nn.Module, batches: Batches) -> float:
    outputs = predict_outputs(model, (x for x, _ in batches.sequential(512)))
    return 100 * float((outputs.argmax(dim=1) == batches.targets).float().mean())
