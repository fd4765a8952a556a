"""Saliency: a method moves only the weights that matter to the forgotten records.

    m = 1 for the share of weights with the largest |sum over forget of d CE / d theta|, at the original; the others are
    set back after every step of the method

Source: SalUn (arXiv 2310.12508), whose method is relabelling, here `amnesiac`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.methods.candidates.levels import set_level_of_lost
from benchmarks.methods.candidates.reset import sum_gradients
from unlearn_cli.data.batches import Batches, without_labels
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.methods.amnesiac import amnesiac
from unlearn_cli.methods.masked import masked
from unlearn_cli.runtime.seeds import Random

SHARE = 0.5


def salient_masked(
    model: nn.Module, original: nn.Module, forget: Batches, retain: Batches, recipe: Recipe, random: Random
) -> nn.Module:
    """Masked distillation of the salient half of the weights."""
    of_forget, of_retain = without_labels(forget), without_labels(retain)
    lost, shape = forget.targets.unique().tolist(), tuple(next(retain.sequential(1))[0].shape[1:])
    with only_salient(model, forget, SHARE):
        masked(model, original, of_forget, lost, shape, recipe, random, retain_inputs=of_retain)
    return set_level_of_lost(model, forget, retain, recipe, random)


def salient_amnesiac(
    model: nn.Module, forget: Batches, retain: Batches, num_classes: int, random: Random, recipe: Recipe
) -> nn.Module:
    """Relabelling that moves the salient half of the weights."""
    with only_salient(model, forget, SHARE):
        amnesiac(model, forget, retain, num_classes, random, recipe)
    return set_level_of_lost(model, forget, retain, recipe, random)


@contextmanager
def only_salient(model: nn.Module, forget: Batches, share: float) -> Iterator[None]:
    """Inside, after every step of an optimizer the weights that are not salient are set back."""
    masks, before = find_salient(model, forget, share), [p.detach().clone() for p in model.parameters()]

    def restore(optimizer: torch.optim.Optimizer, arguments: Any, keywords: Any) -> None:
        with torch.no_grad():
            for parameter, mask, value in zip(model.parameters(), masks, before, strict=True):
                parameter.copy_(torch.where(mask, parameter, value))

    hook = register_optimizer_step_post_hook(restore)
    try:
        yield
    finally:
        hook.remove()


def find_salient(model: nn.Module, forget: Batches, share: float) -> list[Tensor]:
    """Return a mask for each parameter: the share of all weights with the largest gradients."""
    gradients = sum_gradients(model, forget, F.cross_entropy)
    sizes = [gradients[parameter].abs() for parameter in model.parameters()]
    together = torch.cat([size.flatten() for size in sizes])
    least = together.kthvalue(max(1, round((1 - share) * len(together)))).values
    return [size > least for size in sizes]
