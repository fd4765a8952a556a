"""Projection of weights, without a gradient: the directions that only the lost classes use are removed from the inputs.

    damp:  v_l = residual of the lost class's mean input of layer l, after projection onto the span of the others'
           W_l <- W_l (I - a_l v_l v_l^T),   a_l = max(0, 2 AUC - 1) of v_l^T x, forgotten against retained records
    svd:   P_l = I - (M_f - M_f M_r),  M = U diag(a s / ((a - 1) s + 1)) U^T,  W_l <- W_l P_l^T
           with U the directions and s the normalised squared singular values of the inputs of either kind of record

Inputs of a convolution are its patches. Sources: DAMP (arXiv 2604.15166) with one direction per class, here with the
separability by the AUC; POUR-P (arXiv 2511.19339), which is `damp` of the last layer with a = 1; Kodge et al., Deep
Unlearning: Fast and Efficient Training-free Class Forgetting (arXiv 2312.00761), a_r = 100, a_f = 3.
"""

from collections.abc import Callable
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from benchmarks.methods.candidates.levels import set_level_of_lost
from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.plugins.types import Doc
from unlearn_cli.runtime.seeds import Random

Layer = nn.Linear | nn.Conv2d
MOST_ROWS = 10_000  # patches of a layer


def damp(
    model: nn.Module,
    forget: Batches,
    retain: Batches,
    recipe: Recipe,
    random: Random,
    *,
    per_class: Annotated[PositiveInt, Doc("records of each class that are read")] = 100,
    last_only: Annotated[bool, Doc("only the last layer, with a = 1 (POUR-P)")] = False,
    refit: Annotated[bool, Doc("whether rows of lost classes are learned anew")] = True,
) -> nn.Module:
    """Remove one direction per lost class from every layer."""
    few_forget, few_retain = forget.per_class(per_class), retain.per_class(per_class)
    layers = find_layers(model)
    of_forget, of_retain = (collect_inputs(model, layers, part, mean_input) for part in (few_forget, few_retain))
    for layer, ours, theirs in list(zip(layers, of_forget, of_retain, strict=True))[-1 if last_only else 0 :]:
        directions = residual_directions(class_means(ours, few_forget.targets), class_means(theirs, few_retain.targets))
        for direction in directions:
            strength = 1.0 if last_only else separability(ours @ direction, theirs @ direction)
            remove(layer, strength * torch.outer(direction, direction))
    return set_level_of_lost(model, forget, retain, recipe, random) if refit else model


def pour(model: nn.Module, forget: Batches, retain: Batches, recipe: Recipe, random: Random) -> nn.Module:
    """Remove the direction from the last layer only."""
    return damp(model, forget, retain, recipe, random, last_only=True)


def svd(
    model: nn.Module,
    forget: Batches,
    retain: Batches,
    recipe: Recipe,
    random: Random,
    *,
    per_class: Annotated[PositiveInt, Doc("records of each retained class; of forget as many as of all these")] = 100,
    retain_scale: Annotated[PositiveFloat, Doc("a_r")] = 100.0,
    forget_scale: Annotated[PositiveFloat, Doc("a_f")] = 3.0,
    refit: Annotated[bool, Doc("whether rows of lost classes are learned anew")] = True,
) -> nn.Module:
    """Remove from every layer the part of the forgotten records' input space that retain does not use."""
    few_retain = retain.per_class(per_class)
    few_forget = forget.take(forget.permutation("svd")[: few_retain.num_samples])
    layers = find_layers(model)
    of_forget, of_retain = (collect_inputs(model, layers, part, patches) for part in (few_forget, few_retain))
    for layer, ours, theirs in zip(layers, of_forget, of_retain, strict=True):
        space_f, space_r = scaled_space(ours, forget_scale), scaled_space(theirs, retain_scale)
        remove(layer, space_f - space_f @ space_r)
    return set_level_of_lost(model, forget, retain, recipe, random) if refit else model


def find_layers(model: nn.Module) -> list[Layer]:
    return [module for module in model.modules() if isinstance(module, Layer)]


def patches(layer: Layer, x: Tensor) -> Tensor:
    """Return the inputs of a layer as rows (records, positions, width)."""
    if isinstance(layer, nn.Linear):
        return x[:, None]
    assert not isinstance(layer.padding, str)
    return F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride).mT


def mean_input(layer: Layer, x: Tensor) -> Tensor:
    return patches(layer, x).mean(dim=1, keepdim=True)


@torch.no_grad()
def collect_inputs(
    model: nn.Module, layers: list[Layer], batches: Batches, reduce: Callable[[Layer, Tensor], Tensor]
) -> list[Tensor]:
    """Return the inputs (n, width) of each layer; of patches at most MOST_ROWS."""
    model.eval()
    seen: list[list[Tensor]] = [[] for _ in layers]
    hooks = [watch(layer, rows, reduce) for layer, rows in zip(layers, seen, strict=True)]
    for x, _ in batches.sequential(512):
        model(x)
    for hook in hooks:
        hook.remove()
    return [thin(torch.cat(rows).flatten(0, 1)) for rows in seen]


def watch(layer: Layer, rows: list[Tensor], reduce: Callable[[Layer, Tensor], Tensor]) -> RemovableHandle:
    return layer.register_forward_pre_hook(lambda _, inputs: rows.append(reduce(layer, inputs[0])))


def thin(rows: Tensor) -> Tensor:
    return rows[:: max(1, len(rows) // MOST_ROWS)]


def class_means(rows: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([rows[labels == label].mean(dim=0) for label in labels.unique()])


def residual_directions(lost: Tensor, others: Tensor) -> Tensor:
    """Return orthonormal directions (F, width) of the lost means, orthogonal to the span of the others."""
    basis = torch.linalg.qr(others.T).Q
    residual = lost - (lost @ basis) @ basis.T
    return torch.linalg.qr(residual.T).Q.T


def separability(ours: Tensor, theirs: Tensor) -> float:
    """Return 2 AUC - 1, at least 0, of forgotten against retained coordinates."""
    order = torch.cat([ours, theirs]).argsort().argsort().double() + 1
    count, other = len(ours), len(theirs)
    auc = (order[:count].sum() - count * (count + 1) / 2) / (count * other)
    return max(0.0, 2 * float(auc) - 1)


def scaled_space(rows: Tensor, scale: float) -> Tensor:
    """Return M = U diag(a s / ((a - 1) s + 1)) U^T."""
    values, vectors = torch.linalg.eigh(rows.double().T @ rows.double())
    shares = values.clamp(min=0) / values.clamp(min=0).sum()
    return ((vectors * (scale * shares / ((scale - 1) * shares + 1))) @ vectors.T).float()


@torch.no_grad()
def remove(layer: Layer, space: Tensor) -> None:
    """W <- W (I - space)^T."""
    weight = layer.weight.flatten(1)
    layer.weight.copy_((weight - weight @ space.T).reshape(layer.weight.shape))
