"""Parts of a network that no method changes: `model.frozen` of the manifest."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from types import MethodType

from torch import nn

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.models.saved_names import name_tensors


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Give the parameters that the patterns select no gradient; modules with only such parameters stay in eval mode.

    Batch norm of these modules therefore keeps its running statistics.

    Raises:
        UserError: a pattern selects no parameter, or the patterns select all.
    """
    if not patterns:
        return
    names = name_tensors(model, model.parameters())
    for pattern in patterns:
        if not any(_selects(pattern, name) for name in names):
            parts = dict.fromkeys(part for name in names for part in _list_prefixes(name))
            raise UserError(f"model.frozen: no parameter is named '{pattern}'; {did_you_mean(pattern, list(parts))}")
    selected = [any(_selects(pattern, name) for pattern in patterns) for name in names]
    if all(selected):
        raise UserError("model.frozen: selects every parameter, so nothing can be unlearned; name the backbone only")
    for parameter, is_selected in zip(model.parameters(), selected, strict=True):
        parameter.requires_grad_(not is_selected)
    for module in _list_frozen_modules(model):
        module.train = MethodType(_stay_in_eval, module)  # type: ignore[method-assign]
        module.eval()


def list_frozen(model: nn.Module) -> list[str]:
    """Return the names of the tensors of a network, as built, that must not change, buffers included."""
    parameters = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    buffers = [buffer for module in _list_frozen_modules(model) for buffer in module.buffers(recurse=False)]
    return name_tensors(model, [*parameters, *buffers])


def _list_frozen_modules(model: nn.Module) -> list[nn.Module]:
    """Return the modules that have parameters, all of them frozen."""
    parameters = {module: list(module.parameters()) for module in model.modules()}
    return [
        module for module, own in parameters.items() if own and not any(parameter.requires_grad for parameter in own)
    ]


def _stay_in_eval(module: nn.Module, mode: bool = True) -> nn.Module:
    """Replace `train`, which a method calls for the whole network."""
    return nn.Module.train(module, False)


def _selects(pattern: str, name: str) -> bool:
    """Return whether a pattern is a name, the beginning of a name up to a dot, or a glob of either."""
    return any(fnmatchcase(part, pattern) for part in _list_prefixes(name))


def _list_prefixes(name: str) -> list[str]:
    components = name.split(".")
    return [".".join(components[:count]) for count in range(1, len(components) + 1)]
