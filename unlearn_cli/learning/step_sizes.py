"""Learning rates that suit the network, from what can be measured before the first step.

    sensitivity = mean over the weight matrices of sqrt(n) / s, weighted by their numbers of weights
    rate        = usual rate * min(1, 500 / sensitivity)

n: inputs of a unit of the layer (of a convolution: input channels times kernel size); s: root mean square of the
weights.

Idea: a step of Adam changes each weight by about the learning rate, all in directions that serve the same inputs, so it
changes an output by up to rate * n times the size of the inputs. The output itself is about sqrt(n) * s times their
size. So rate * sqrt(n) / s is how far one step moves an output, relative to itself, and a rate that suits a narrow
network destroys a wide one. For the same reason rates fall with the width in Yang et al., Tensor Programs V, arXiv
2203.03466.

The usual rates were chosen on networks whose sensitivity is at most 500 (LeNet-5, ResNet-20, perceptrons). That of a
ResNet-18 is about 2,600; there, rates of 0.001 took 4 to 60 points from the classes that should stay.
"""

import math

import torch
from torch import Tensor, nn

from unlearn_cli.runtime.processes import full_tensor
from unlearn_cli.runtime.run import report_setting

TUNED = 500.0  # the largest sensitivity of the networks on which the usual rates were chosen


def suit_rate(rate: float, model: nn.Module) -> float:
    """Return a usual rate of Adam, lowered for a network that is more sensitive than those it was chosen on."""
    return rate * min(1.0, TUNED / measure_sensitivity(model))


def choose_rate(setting: str, chosen: float | None, usual: float, model: nn.Module) -> float:
    """Return the chosen rate, or else the usual one as it suits the network, which is added to the report."""
    if chosen is not None:
        return chosen
    rate = suit_rate(usual, model)
    report_setting(setting, rate)
    return rate


@torch.no_grad()
def measure_sensitivity(model: nn.Module) -> float:
    """Return the sensitivity; 1 for a network without weight matrices, or with none that differs from 0."""
    measured = [(matrix.numel(), measure_matrix(full_tensor(matrix))) for matrix in list_matrices(model)]
    finite = [(count, value) for count, value in measured if math.isfinite(value)]
    return math.fsum(count * value for count, value in finite) / sum(count for count, _ in finite) if finite else 1.0


def list_matrices(model: nn.Module) -> list[Tensor]:
    """Return the weights (outputs, inputs, ...) of layers; an embedding only selects rows, so it is not one."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    parameters = (parameter.detach() for parameter in model.parameters() if id(parameter) not in embeddings)
    return [parameter for parameter in parameters if parameter.dim() > 1 and len(parameter) > 1]


def measure_matrix(matrix: Tensor) -> float:
    """Return sqrt(n) / s of a weight matrix; infinity if all weights are 0."""
    size = float(matrix.double().square().mean().sqrt())
    return math.sqrt(matrix[0].numel()) / size if size else math.inf
