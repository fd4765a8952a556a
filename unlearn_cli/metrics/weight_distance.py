"""Distance of the weights from the original's: how much was changed.

    d = sqrt(sum_l ||W_l - W_l(original)||_F^2)     over all parameters

Source: Chundawat et al., arXiv 2205.08096, section 4 (layer by layer). Needs the original. Warning: it says how much
changed, never how much was forgotten: two retrained networks lie as far from each other as from the original.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.results import Estimate, Layer

SUMMARY = "how far the weights moved from the original's"

PIECE = 2**20  # numbers that are looked at together: float64 copies of a whole network would be several times its size


@dataclass(frozen=True)
class Weights:
    """The tensors of a network by name, as they lie in its file: parameters, and buffers such as batch norm's."""

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]


def weight_distance(weights: Weights, original_weights: Weights) -> Estimate:
    """Return the distance over all parameters; n is their number, and there is no sampling, hence no interval."""
    return norm_of_difference(weights.parameters, original_weights.parameters)


def norm_of_difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> Estimate:
    """Return the Euclidean distance over all of these tensors."""
    if not ours:
        return missing("there is no such tensor")
    squares = [squared_distance(tensor, theirs[name]) for name, tensor in ours.items()]
    return Estimate(value=math.sqrt(math.fsum(squares)), n=sum(tensor.numel() for tensor in ours.values()))


def squared_distance(ours: Tensor, theirs: Tensor) -> float:
    """Return the sum of squared differences, in float64."""
    parts = (tensor.reshape(-1).split(PIECE) for tensor in (ours, theirs))
    return math.fsum(float((a.double() - b.double()).square().sum()) for a, b in zip(*parts, strict=True))


def squared_norm(tensor: Tensor) -> float:
    """Return the sum of squares, in float64."""
    return math.fsum(float(part.double().square().sum()) for part in tensor.reshape(-1).split(PIECE))


def layers(weights: Weights, original_weights: Weights) -> list[Layer]:
    """Return the distance of each tensor, and relative to its norm in the original."""
    return [
        *(
            _layer(name, "parameter", tensor, original_weights.parameters[name])
            for name, tensor in weights.parameters.items()
        ),
        *(_layer(name, "buffer", tensor, original_weights.buffers[name]) for name, tensor in weights.buffers.items()),
    ]


def _layer(name: str, kind: Literal["parameter", "buffer"], ours: Tensor, theirs: Tensor) -> Layer:
    distance, norm = math.sqrt(squared_distance(ours, theirs)), math.sqrt(squared_norm(theirs))
    return Layer(name=name, kind=kind, distance=distance, relative=distance / norm if norm else None)
