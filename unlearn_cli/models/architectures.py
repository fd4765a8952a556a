"""Builds the network of the manifest's `model` section: bundled, from a library, or the user's own."""

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.models.config_files import find_config
from unlearn_cli.models.construction import MISTAKES, construct
from unlearn_cli.models.frozen import freeze
from unlearn_cli.models.network_outputs import OutputAdapter
from unlearn_cli.models.timm_networks import build_timm
from unlearn_cli.models.transformers_networks import build_transformers
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.network_sections import Model, is_own_code

SUM_TOLERANCE = 1e-3
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
    "Cat",  # of one logit and a constant
)


def build_network(
    section: Model,
    input_shape: Sequence[int],
    num_outputs: int,
    task: Task = "classification",
    folder: Path = Path(),
) -> nn.Module:
    """Return the network with random weights. The caller has checked that the user's own code is allowed.

    `folder` is that of the manifest, to which the file of a transformers network is relative. The network returns one
    tensor: see `network_outputs`.

    Raises:
        UserError: the architecture is unknown, or its arguments are wrong.
    """
    model = _build(section, tuple(input_shape), num_outputs, folder)
    model.register_forward_hook(OutputAdapter(section, num_outputs, task))
    freeze(model, section.frozen)
    return model


def _build(section: Model, shape: tuple[int, ...], num_outputs: int, folder: Path) -> nn.Module:
    architecture, arguments = section.architecture, dict(section.arguments)
    library, _, name = architecture.partition("/")
    if library == "torchvision":
        model = _build_torchvision(name, {"num_classes": num_outputs, **arguments})
        if section.stem == "cifar":
            _replace_stem(model, shape[0])
        return model
    if library == "timm":
        return build_timm(name, arguments, shape, num_outputs)
    if library == "transformers":
        return build_transformers(find_config(folder, name), arguments, shape, num_outputs)
    if is_own_code(architecture):
        return _build_own(architecture, arguments)
    function = getattr(importlib.import_module(f"unlearn_cli.models.{architecture}"), architecture)
    return construct(function, architecture, {"num_classes": num_outputs, "input_shape": shape, **arguments})


def check_forward(model: nn.Module, section: Model, input_shape: Sequence[int], num_outputs: int, task: Task) -> None:
    """Run one sample of zeros through a network on the CPU, in eval mode, before anything depends on it.

    Raises:
        UserError: it does not accept samples of this shape, returns another number of outputs or numbers that are not
            floating-point, ends in a softmax or a sigmoid although logits are expected, or its outputs are declared as
            probabilities and are none.
    """
    name = section.architecture
    was_training = model.training
    try:
        with torch.enable_grad():  # the graph contains the last operation
            outputs = model.eval()(torch.zeros(1, *input_shape))
    except MISTAKES as error:
        reason = f"{name} does not accept samples of shape {list(input_shape)} ({' '.join(str(error).split())})"
        raise UserError(f"model: {reason}; {_advise_on_inputs(model)}") from None
    model.train(was_training)
    returned = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if returned != [1, num_outputs]:
        expected = f"expected {[1, num_outputs]}; fix the model"
        raise UserError(f"model: {name} returns {returned} for one sample; {expected}")
    if not outputs.is_floating_point():
        kind = str(outputs.dtype).removeprefix("torch.")
        raise UserError(f"model: {name} returns numbers of type {kind}; expected floating-point numbers; fix the model")
    if task == "multilabel" or (task == "classification" and num_outputs > 1):
        _refuse_probabilities(outputs, name, "sigmoid" if task == "multilabel" else "softmax")
    if section.outputs == "probabilities" and not outputs.is_meta:
        _check_range(outputs, name) if task == "multilabel" else _check_sum(outputs, name)


def _advise_on_inputs(model: nn.Module) -> str:
    advice = "fix input.shape or model.arguments, such as img_size"
    if any(isinstance(module, nn.Embedding) for module in model.modules()):
        return f"samples are float32, so call x.long() before nn.Embedding in the network's forward; or {advice}"
    return advice


def _check_range(outputs: Tensor, name: str) -> None:
    """Check the logits of outputs that are declared as probabilities of labels."""
    if outputs.isnan().any():
        raise UserError(f"model.outputs: probabilities, but some outputs of {name} are not between 0 and 1; omit it")


def _check_sum(outputs: Tensor, name: str) -> None:
    """Check that the logarithms of outputs which are declared as probabilities are those of numbers with the sum 1."""
    total = float(outputs.detach().double().exp().sum())
    if not abs(total - 1) <= SUM_TOLERANCE:
        reason = "some are negative" if math.isnan(total) else f"they sum to {total:.4g}, not to 1"
        raise UserError(f"model.outputs: probabilities, but the outputs of {name} are none: {reason}; omit it")


def _refuse_probabilities(outputs: Tensor, name: str, applied: str) -> None:
    """Refuse a network whose last operation is a softmax or a sigmoid; views and copies after it are ignored.

    A log-softmax is allowed: softmax(log p) = p, so log-probabilities are logits.
    """
    node = outputs.grad_fn
    while node is not None and node.name().startswith(VIEWS):
        inputs = [function for function, _ in node.next_functions if function is not None]
        if len(inputs) != 1:
            break
        node = inputs[0]
    operation = ENDINGS.get(node.name() if node else "")
    if operation:
        raise UserError(
            f"model: {name} ends in a {operation}, but logits are expected (training and metrics apply the {applied}); "
            f"remove the {operation} from the model, or set model.outputs: probabilities"
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
    return construct(models.get_model_builder(name), f"torchvision/{name}", {**arguments, "weights": None})


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
    model = construct(function, architecture, arguments)
    if not isinstance(model, nn.Module):
        raise UserError(
            f"model.architecture: {architecture} returned a {type(model).__name__}; expected a torch.nn.Module"
        )
    return model
