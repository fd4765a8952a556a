"""The last layer of a network, and the features that enter it."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn_cli.runtime.processes import distribute_like, full_tensor, gather_output

TOLERANCE = 1e-3  # share of the outputs' range by which computed and actual outputs may differ


@dataclass(frozen=True)
class Head:
    """The last layer as the linear map `features @ weight.T + bias` of pooled features (n, width) to outputs (n, K)."""

    weight: Tensor  # (K, width)
    bias: Tensor | None  # (K,)

    def __call__(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight, self.bias)


def find_head(model: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d] | None:
    """Return the last linear or convolutional layer with its name; None if the network has no such layer."""
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return layers[-1] if layers else None


def pool_features(features: Tensor) -> Tensor:
    """Return features (B, width) of the whole batch; feature maps (B, C, H, W) are averaged over their positions."""
    return gather_output(features if features.dim() == 2 else features.flatten(2).mean(2))


def read_head(layer: nn.Linear | nn.Conv2d) -> Head | None:
    """Return a copy of the layer as a linear map of pooled features; None for a convolution larger than 1x1."""
    if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
        return None
    weight = full_tensor(layer.weight).detach().float().flatten(1).clone()
    bias = None if layer.bias is None else full_tensor(layer.bias).detach().float().clone()
    return Head(weight, bias)


@torch.no_grad()
def write_rows(layer: nn.Linear | nn.Conv2d, rows: Tensor, head: Head) -> None:
    """Replace the rows with these numbers (k,) of the layer's weight and bias by the head's rows (k, width), (k,)."""
    _write(layer.weight, rows, head.weight)
    if layer.bias is not None and head.bias is not None:
        _write(layer.bias, rows, head.bias)


def _write(parameter: Tensor, rows: Tensor, values: Tensor) -> None:
    whole = full_tensor(parameter).detach().clone()
    whole[rows] = values.reshape(len(rows), *whole.shape[1:]).to(whole.dtype)
    parameter.copy_(distribute_like(whole, parameter))


@torch.no_grad()
def predict_features(model: nn.Module, inputs: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the features (n, width) that enter the last layer, and the outputs (n, K), in eval mode."""
    head = find_head(model)
    assert head is not None, "a network without a linear or convolutional layer"
    seen: list[Tensor] = []
    handle = head[1].register_forward_pre_hook(lambda _, inputs: seen.append(pool_features(inputs[0]).float()))
    model.eval()
    try:
        outputs = torch.cat([model(x).float() for x in inputs])
    finally:
        handle.remove()
    return torch.cat(seen), outputs


def is_linear(head: Head, features: Tensor, outputs: Tensor) -> bool:
    """Return whether the head computes these outputs (n, K) from the features (n, width).

    It does not where a layer without weights follows it, such as a ReLU.
    """
    difference = (head(features) - outputs).abs().max()
    return bool(difference <= TOLERANCE * outputs.abs().max().clamp(min=1.0))


def computes(head: Head, features: Tensor, outputs: Tensor) -> bool:
    """Return whether the head computes these outputs (n, K), up to a number per sample, as of log-probabilities."""
    if head.weight.shape != (outputs.shape[1], features.shape[1]):
        return False
    shift = (outputs - head(features)).mean(dim=1, keepdim=True)
    return is_linear(head, features, outputs - shift)
