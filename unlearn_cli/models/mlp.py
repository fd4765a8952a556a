"""A multi-layer perceptron for tables and flattened images."""

import math

from torch import Tensor, nn

SUMMARY = "multi-layer perceptron for tables"


def mlp(
    num_classes: int,
    input_shape: tuple[int, ...],
    *,
    hidden: list[int] | tuple[int, ...] = (128, 128),
    dropout: float = 0.0,
) -> "MLP":
    """Build a perceptron over all numbers of one sample, with `hidden` layers of ReLU units."""
    return MLP(math.prod(input_shape), tuple(hidden), num_classes, dropout)


class MLP(nn.Module):
    """`hidden` linear layers with ReLU (and dropout, if not 0), then the linear `head`."""

    def __init__(self, in_features: int, hidden: tuple[int, ...], num_classes: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Linear(in_features, size), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
            in_features = size
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(in_features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x.flatten(1)))
