"""Controls that change only the rows of the lost classes: never predicted, or learned anew by the level step."""

import torch
from torch import nn

from benchmarks.methods.candidates.levels import set_level_of_lost
from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.head import Head, find_head, write_rows
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.runtime.seeds import Random

BIAS = -100.0


def mask_row(model: nn.Module, forget_classes: list[int]) -> nn.Module:
    """Set w_c = 0 and b_c = -100 for each lost class c."""
    layer = find_head(model)
    assert layer is not None, "a network without a linear layer"
    rows = torch.tensor(forget_classes)
    weight = layer[1].weight.detach().flatten(1)[rows]
    write_rows(layer[1], rows, Head(torch.zeros_like(weight), torch.full((len(rows),), BIAS)))
    return model


def refit_row(model: nn.Module, forget: Batches, retain: Batches, recipe: Recipe, random: Random) -> nn.Module:
    """Take only the level step: the rows of the lost classes are learned anew on stored features of retain."""
    return set_level_of_lost(model, forget, retain, recipe, random)
