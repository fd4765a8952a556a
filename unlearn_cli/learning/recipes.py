"""How the original was trained, from which methods derive their learning rates."""

from dataclasses import dataclass

from unlearn_cli.plugins.types import Optimizer, Schedule

USUAL_RATE = 1e-3  # of Adam, for a trained network


@dataclass(frozen=True)
class Recipe:
    """The settings of `train`, and whether they are known: those of a usual training if they are not."""

    epochs: int = 10
    lr: float = 2e-3
    optimizer: Optimizer = "adam"
    weight_decay: float = 0.0
    momentum: float = 0.9
    schedule: Schedule = "one_cycle"
    batch_size: int = 128
    is_known: bool = False


def choose_class_rate(recipe: Recipe) -> float:
    """Return a rate of Adam at which a class is forgotten and the others stay: half of the original's highest rate.

    0.001 if the original was trained by another optimizer, or if its recipe is not known. At three times this rate, a
    ResNet-20 lost 1 to 2 points of the other classes; at this rate amnesiac and masked lost none.
    """
    return recipe.lr / 2 if recipe.is_known and recipe.optimizer == "adam" else USUAL_RATE
