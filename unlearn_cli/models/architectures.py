"""Builds the network of the manifest's `model` section: bundled, from torchvision, or the user's own."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.network_sections import Model

ENDINGS = {"SoftmaxBackward0": "softmax", "SigmoidBackward0": "sigmoid", "HardsigmoidBackward0": "sigmoid"}
VIEWS = (
    "View",
    "UnsafeView",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Alias",
    "Clone",
    "ToCopy",
    "Permute",
    "Transpose",
    "TBack",
    "Select",
    "Slice",
    "Expand",
)


def build_network(section: Model, input_shape: Sequence[int], num_outputs: int) -> nn.Module:
    """Return the network with random weights. The caller has checked that the user's own code is allowed.

    Raises:
        UserError: the architecture is unknown, or its arguments are wrong.
    """
    architecture, arguments = section.architecture, dict(section.arguments)
    shape = tuple(input_shape)
    if architecture.startswith("torchvision/"):
        model = _build_torchvision(architecture.partition("/")[2], {"num_classes": num_outputs, **arguments})
        if section.stem == "cifar":
            _replace_stem(model, shape[0])
    elif ":" in architecture:
        model = _build_own(architecture, arguments)
    else:
        function = getattr(importlib.import_module(f"unlearn_cli.models.{architecture}"), architecture)
        model = _call(function, architecture, {"num_classes": num_outputs, "input_shape": shape, **arguments})
    # Inception and GoogLeNet return a tuple with auxiliary outputs in training mode.
    model.register_forward_hook(_select_main_output)
    return model


def check_forward(model: nn.Module, name: str, input_shape: Sequence[int], num_outputs: int, task: Task) -> None:
    """Run one sample of zeros through a network on the CPU, in eval mode, before anything depends on it.

    Raises:
        UserError: it does not accept samples of this shape, returns another number of outputs or numbers that are not
            floating-point, or ends in a softmax or a sigmoid although logits are expected.
    """
    was_training = model.training
    try:
        with torch.enable_grad():  # the graph contains the last operation
            outputs = model.eval()(torch.zeros(1, *input_shape))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = f"{name} does not accept samples of shape {list(input_shape)} ({error})"
        raise UserError(f"model: {reason}; fix input.shape or the architecture") from None
    model.train(was_training)
    returned = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if returned != [1, num_outputs]:
        expected = f"expected {[1, num_outputs]}; fix the model"
        raise UserError(f"model: {name} returns {returned} for one sample; {expected}")
    if not outputs.is_floating_point():
        kind = str(outputs.dtype).removeprefix("torch.")
        raise UserError(f"model: {name} returns numbers of type {kind}; expected floating-point numbers; fix the model")
    if task == "classification" and num_outputs > 1:
        _refuse_probabilities(outputs, name)


def _refuse_probabilities(outputs: Tensor, name: str) -> None:
    """Refuse a network whose last operation is a softmax or a sigmoid; views and copies after it are ignored.

    A log-softmax is allowed: softmax(log p) = p, so log-probabilities are logits.
    """
    node = outputs.grad_fn
    while node is not None and node.name().startswith(VIEWS) and len(node.next_functions) == 1:
        node = node.next_functions[0][0]
    operation = ENDINGS.get(node.name() if node else "")
    if operation:
        raise UserError(
            f"model: {name} ends in a {operation}, but logits are expected (training and metrics apply the softmax); "
            f"remove the {operation} from the model"
        )


def _build_torchvision(name: str, arguments: dict[str, Any]) -> nn.Module:
    from torchvision import models  # imported on use, because it takes seconds

    available = models.list_models(module=models)
    if name not in available:
        raise UserError(
            f"model.architecture: torchvision has no classification model '{name}'; {did_you_mean(name, available)}"
        )
    if name in ("googlenet", "inception_v3"):
        arguments.setdefault("init_weights", True)  # torchvision's default; passing it avoids a warning
    return _call(models.get_model_builder(name), f"torchvision/{name}", {**arguments, "weights": None})


def _call(function: Callable[..., nn.Module], name: str, arguments: dict[str, Any]) -> nn.Module:
    try:
        return function(**arguments)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        given = ", ".join(f"{key}={value}" for key, value in arguments.items() if key != "weights")
        raise UserError(
            f"model: {name} cannot be built with {given}: {error}; fix model.arguments or input.shape"
        ) from None


def _replace_stem(model: nn.Module, channels: int) -> None:
    """Replace the ImageNet stem of a ResNet, which reduces 32x32 images to 8x8 before the first block."""
    first = model.get_submodule("conv1")
    assert isinstance(first, nn.Conv2d)
    model.set_submodule("conv1", nn.Conv2d(channels, first.out_channels, 3, padding=1, bias=False))
    model.set_submodule("maxpool", nn.Identity())


def _build_own(architecture: str, arguments: dict[str, Any]) -> nn.Module:
    module, _, name = architecture.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"model.architecture: {architecture}: {error}; set PYTHONPATH to its folder") from None
    model = _call(function, architecture, arguments)
    if not isinstance(model, nn.Module):
        raise UserError(
            f"model.architecture: {architecture} returned a {type(model).__name__}; expected a torch.nn.Module"
        )
    return model


def _select_main_output(model: nn.Module, inputs: tuple[Tensor, ...], outputs: Any) -> Any:
    return outputs.logits if hasattr(outputs, "logits") else outputs
