"""The level step after a candidate that forgets whole classes, as after the methods of the package."""

import torch
from torch import nn

from unlearn_cli.data.batches import Batches, without_labels
from unlearn_cli.learning.level import set_level
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.runtime.seeds import Random


def set_level_of_lost(model: nn.Module, forget: Batches, retain: Batches, recipe: Recipe, random: Random) -> nn.Module:
    """Learn the rows of the classes that retain lacks anew, if it lacks all classes of forget."""
    if lacks_classes(forget, retain):
        set_level(model, retain, forget.targets.unique().tolist(), recipe, random, None, without_labels(forget))
    return model


def lacks_classes(forget: Batches, retain: Batches) -> bool:
    return not bool(torch.isin(forget.targets, retain.targets).any())
