"""Attention transfer: the difference between the attention maps of two networks of the same architecture.

    a(F) = normalise2(mean over channels of F^2)        L = sum over layers of mean((a(F_student) - a(F_teacher))^2)

Source: Zagoruyko and Komodakis, arXiv 1612.03928; used by GKT (Chundawat et al., arXiv 2201.05629) and Blindspot (Tarun
et al., arXiv 2210.08196). Their code averages 2-D activations over the units, so that each map is the number 1 and the
loss is always 0. Here the units are the positions of the map. Warning: record the activations of both networks on the
same batch and with the same list of layers.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.runtime.processes import gather_output

WEIGHTED = (
    nn.Linear,
    nn.modules.conv._ConvNd,
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
)
AFTERWARDS = (
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.GELU,
    nn.SiLU,
    nn.Hardswish,
    nn.ELU,
    nn.Tanh,
    nn.Sigmoid,
)


def attention_map(activation: Tensor) -> Tensor:
    """Return the map of each sample (B, N), normalised to length 1; a map of zeros stays zero.

    The positions are the pixels of (B, C, H, W), the time steps of (B, T, H), or the units of (B, H).
    """
    squares = activation.float().square()
    if squares.dim() == 3:
        squares = squares.mean(dim=2)
    elif squares.dim() > 3:
        squares = squares.mean(dim=1)
    return F.normalize(squares.flatten(1), dim=1)


def attention_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Return the sum over the layers of the mean squared difference of the maps.

    Raises:
        UserError: the activations of the two networks have different shapes, or there are none.
    """
    shapes = [[tuple(activation.shape) for activation in recorded] for recorded in (student, teacher)]
    if shapes[0] != shapes[1] or not student:
        raise UserError(f"layers: the networks' activations differ, {shapes[0]} and {shapes[1]}; name other layers")
    pairs = zip(student, teacher, strict=True)
    return torch.stack([F.mse_loss(attention_map(own), attention_map(other)) for own, other in pairs]).sum()


def choose_layers(model: nn.Module, input_shape: tuple[int, ...], layers: Sequence[str] | None) -> list[str]:
    """Return the layers to record: the named ones, or by default those of `find_layers`.

    Raises:
        UserError: the network has no layer with such a name, or none can be found.
    """
    if layers is None:
        return find_layers(model, input_shape)
    with record(model, layers):  # refuses unknown names
        return list(layers)


def find_layers(model: nn.Module, input_shape: tuple[int, ...]) -> list[str]:
    """Return the names of the layers to record: per layer with weights, the last layer before the next one.

    In a block of convolution, batch norm and ReLU, this is the ReLU. The order in which a network calls its modules is
    determined by a forward pass over zeros. The head is left out, because losses compare its outputs anyway.

    Raises:
        UserError: the network calls no layer of the listed types.
    """
    names, called = {id(module): name for name, module in model.named_modules()}, list[nn.Module]()
    with ExitStack() as stack, torch.no_grad():
        for module in model.modules():
            if isinstance(module, WEIGHTED + AFTERWARDS):
                stack.callback(module.register_forward_hook(lambda module, *_: called.append(module)).remove)
        was_training, parameter = model.training, next(model.parameters())
        model.eval()(torch.zeros(2, *input_shape, device=parameter.device))
        model.train(was_training)
    if not called:
        raise UserError("layers: none could be found in this network; name some, or set the weight of attention to 0")
    ends = [
        module
        for module, following in zip(called, [*called[1:], None], strict=True)
        if following is None or isinstance(following, WEIGHTED)
    ]
    last_layers = list(dict.fromkeys(names[id(module)] for module in ends))
    return [name for name in last_layers if name != names[id(ends[-1])]] or last_layers


@contextmanager
def record(model: nn.Module, layers: Sequence[str]) -> Iterator["Recording"]:
    """Record the outputs of these layers inside the block, in the order of the calls.

    Raises:
        UserError: the network has no layer with such a name.
    """
    modules = dict(model.named_modules())
    for name in layers:
        if name not in modules:
            raise UserError(f"layers: the network has no layer '{name}'; {did_you_mean(name, filter(None, modules))}")
    recording = Recording()
    with ExitStack() as stack:
        for name in layers:
            stack.callback(modules[name].register_forward_hook(recording.hook).remove)
        yield recording


class Recording:
    """The outputs of layers since the last `take`."""

    def __init__(self) -> None:
        self.activations: list[Tensor] = []

    def hook(self, module: nn.Module, inputs: Any, output: Any) -> None:
        activation = output[0] if isinstance(output, tuple) else output  # recurrent layers also return their state
        if getattr(module, "batch_first", True) is False:
            activation = activation.transpose(0, 1)
        self.activations.append(gather_output(activation))

    def take(self) -> list[Tensor]:
        """Return the activations and clear the recording.

        Of activations that share memory, because a layer works in place, only the last one is returned.
        """
        taken, self.activations = {activation.data_ptr(): activation for activation in self.activations}, []
        return list(taken.values())
