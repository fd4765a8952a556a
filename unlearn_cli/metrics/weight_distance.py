"""Distance of the weights from the original's: how much was changed.

    d = sqrt(sum_l ||W_l - W_l(original)||_F^2)     over all parameters

Source: Chundawat et al., arXiv 2205.08096, section 4 (layer by layer). Needs the original. Warning: it says how much
changed, never how much was forgotten: two retrained networks lie as far from each other as from the original.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unlearn_cli.report import Estimate, Layer
from unlearn_cli.stats.intervals import missing


@dataclass(frozen=True)
class Weights:
    """The tensors of a network by name: parameters, and buffers such as the statistics of batch norm."""

    parameters: dict[str, np.ndarray]
    buffers: dict[str, np.ndarray]


def weight_distance(weights: Weights, original_weights: Weights) -> Estimate:
    """Return the distance over all parameters; n is their number, and there is no sampling, hence no interval."""
    return norm_of_difference(weights.parameters, original_weights.parameters)


def norm_of_difference(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> Estimate:
    """Return the Euclidean distance over all of these tensors."""
    if not ours:
        return missing("there is no such tensor")
    squares = [float(np.square(tensor - theirs[name]).sum()) for name, tensor in ours.items()]
    return Estimate(value=math.sqrt(math.fsum(squares)), n=sum(tensor.size for tensor in ours.values()))


def layers(weights: Weights, original_weights: Weights) -> list[Layer]:
    """Return the distance of each tensor, and relative to its norm in the original."""
    return [
        *(_layer(name, "parameter", tensor, original_weights.parameters[name])
          for name, tensor in weights.parameters.items()),
        *(_layer(name, "buffer", tensor, original_weights.buffers[name]) for name, tensor in weights.buffers.items()),
    ]  # fmt: skip


def _layer(name: str, kind: Literal["parameter", "buffer"], ours: np.ndarray, theirs: np.ndarray) -> Layer:
    distance, norm = float(np.linalg.norm(ours - theirs)), float(np.linalg.norm(theirs))
    return Layer(name=name, kind=kind, distance=distance, relative=distance / norm if norm else None)
