"""Names of the tensors of a transformers network: those of `save_pretrained` instead of those of the module.

Newer versions of transformers rename layers and keep the names in files. `state_dict` and `load_state_dict` of the
network use the names in files, so that a result loads with every version.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from unlearn_cli.checkpoints.tensor_names import NameMapping, refuse_equal
from unlearn_cli.errors import UserError


def use_saved_names(model: nn.Module) -> None:
    """Let `state_dict` and `load_state_dict` of a transformers network use the names of `save_pretrained`.

    Raises:
        UserError: transformers would merge or split tensors when it writes this network.
    """
    saved = _find_saved_names(model)
    if all(inner == outer for inner, outer in saved.items()):
        return
    inner_names = {outer: inner for inner, outer in saved.items()}
    model.register_state_dict_post_hook(_Renaming(saved))
    model.register_load_state_dict_pre_hook(_Renaming(inner_names))


class _Renaming:
    """Renames the tensors of a whole network in its state dict; both kinds of hooks call it."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)

    def __call__(self, model: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
        renamed = {self._rename(name, prefix): tensor for name, tensor in state.items()}
        state.clear()
        state.update(renamed)

    def _rename(self, name: str, prefix: str) -> str:
        return prefix + self.names.get(name.removeprefix(prefix), name.removeprefix(prefix))


def _find_saved_names(model: nn.Module) -> dict[str, str]:
    """Return the name of each tensor in files by its name in the module."""
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    stored = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    state = {name: tensor for name, tensor in state.items() if id(tensor) in stored}
    owners = {id(tensor): name for name, tensor in state.items()}
    written = _import_loading().revert_weight_conversion(model, dict(state))
    names = {owners[id(tensor)]: name for name, tensor in written.items() if id(tensor) in owners}
    if len(names) < len(owners) or len(written) != len(state):
        raise UserError(
            f"model.architecture: transformers merges or splits tensors when it writes a {type(model).__name__}, which "
            "is not supported; use another architecture"
        )
    return names


@dataclass(frozen=True)
class NamesOfOtherVersions(NameMapping):
    """Also accepts names of older versions, those of the module, and another base prefix, as `from_pretrained` does."""

    network: nn.Module = field(default_factory=nn.Identity)

    def apply(self, names: Iterable[str]) -> dict[str, str]:
        """Return the network's name of each stored name, as `NameMapping.apply` does.

        Raises:
            UserError: two names become equal.
        """
        renamed = super().apply(names)
        expected = self.network.state_dict().keys()
        if expected >= set(renamed.values()):
            return renamed
        translate = _Translation(self.network)
        renamed = {name: new if new in expected else translate(new) for name, new in renamed.items()}
        refuse_equal(renamed)
        return renamed


class _Translation:
    """Translates a name of another version to the one of `save_pretrained`."""

    def __init__(self, network: nn.Module) -> None:
        self.loading = _import_loading()
        self.saved = _find_saved_names(network)
        self.base: str = getattr(network, "base_model_prefix", "")
        conversions = importlib.import_module("transformers.conversion_mapping").get_model_conversion_mapping(network)
        self.renamings = [item for item in conversions if isinstance(item, self.loading.WeightRenaming)]
        self.converters = [item for item in conversions if isinstance(item, self.loading.WeightConverter)]

    def __call__(self, name: str) -> str:
        if name in self.saved:
            return self.saved[name]
        inner, _ = self.loading.rename_source_key(name, self.renamings, self.converters, self.base, self.saved)
        return self.saved.get(inner, name)


def _import_loading() -> Any:
    """Import the part of transformers that renames tensors; it is installed where such a network was built."""
    return importlib.import_module("transformers.core_model_loading")


def name_tensors(model: nn.Module, tensors: Iterable[Tensor]) -> list[str]:
    """Return the names that `state_dict` gives these parameters and buffers; those that it omits are omitted."""
    stored = model.state_dict(keep_vars=True)
    names = {id(tensor): name for name, tensor in reversed(stored.items())}  # of a shared tensor, the first name
    return [names[id(tensor)] for tensor in tensors if id(tensor) in names]
