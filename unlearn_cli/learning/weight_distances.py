"""The tensors of a network by name, and distances between those of two networks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.results import Estimate, Layer

CHUNK = 2**20  # numbers per step: float64 copies of a whole network would be several times its size


@dataclass(frozen=True)
class Weights:
    """The tensors of a network by name, as they are in its file: parameters, and buffers such as batch norm's."""

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]


def norm_of_difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> Estimate:
    """Return the Euclidean distance over all of these tensors."""
    if not ours:
        return missing("the network has no such tensor")
    squares = [squared_distance(tensor, theirs[name]) for name, tensor in ours.items()]
    return Estimate(value=math.sqrt(math.fsum(squares)), n=sum(tensor.numel() for tensor in ours.values()))


def squared_distance(ours: Tensor, theirs: Tensor) -> float:
    """Return the sum of squared differences, in float64."""
    parts = (tensor.reshape(-1).split(CHUNK) for tensor in (ours, theirs))
    return math.fsum(float((a.double() - b.double()).square().sum()) for a, b in zip(*parts, strict=True))


def squared_norm(tensor: Tensor) -> float:
    """Return the sum of squares, in float64."""
    return math.fsum(float(part.double().square().sum()) for part in tensor.reshape(-1).split(CHUNK))


def compare_layers(weights: Weights, original_weights: Weights) -> list[Layer]:
    """Return the distance of each tensor from the original's, absolute and relative to its norm there."""
    pairs: list[tuple[Literal["parameter", "buffer"], Mapping[str, Tensor], Mapping[str, Tensor]]] = [
        ("parameter", weights.parameters, original_weights.parameters),
        ("buffer", weights.buffers, original_weights.buffers),
    ]
    return [
        _compare_layer(name, kind, tensor, theirs[name])
        for kind, ours, theirs in pairs
        for name, tensor in ours.items()
    ]


def _compare_layer(name: str, kind: Literal["parameter", "buffer"], ours: Tensor, theirs: Tensor) -> Layer:
    distance, norm = math.sqrt(squared_distance(ours, theirs)), math.sqrt(squared_norm(theirs))
    return Layer(name=name, kind=kind, distance=distance, relative=distance / norm if norm else None)
