"""The names of tensors in a checkpoint's file, and those that a shared tensor has once in a file."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor

from unlearn_cli.checkpoints.tensor_names import NameMapping, dotted


@dataclass(frozen=True)
class StoredNames:
    """The network's name of each tensor in the file, and the reverse, so that a result has the names of its source."""

    network: Mapping[str, str] = field(default_factory=dict)  # name in the file -> name in the network
    stored: Mapping[str, str] = field(default_factory=dict)  # name in the network -> name in the file
    prefix: str = ""  # in the file, of names that the network does not have

    @classmethod
    def read(cls, names: Iterable[str], mapping: NameMapping) -> "StoredNames":
        """Apply a mapping to the names in a file.

        Raises:
            UserError: as `NameMapping.apply`.
        """
        network = mapping.apply(names)
        prefix = dotted(mapping.prefix)
        has_prefix = bool(prefix) and all(name.startswith(prefix) for name in network)
        return cls(network, {new: old for old, new in network.items()}, prefix if has_prefix else "")

    def to_stored(self, name: str) -> str:
        """Return the name in the file; a tensor that the file lacks is named as its neighbours of the same module."""
        if name in self.stored:
            return self.stored[name]
        module, _, leaf = name.rpartition(".")
        neighbour = next((other for other in self.stored if other.rpartition(".")[0] == module), None)
        if neighbour is None:
            return f"{self.prefix}{name}"
        outer = self.stored[neighbour].rpartition(".")[0]
        return f"{outer}.{leaf}" if outer else leaf


def find_shared(tensors: Mapping[str, Tensor], stored: Collection[str]) -> dict[str, str]:
    """Return the names to omit, each with the name under which the same tensor is written.

    Names in `stored`, those of the source, are all written; without them, the first name in alphabetical order, as
    `safetensors.torch.save_model` does.
    """
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, tensor in sorted(tensors.items()):
        if hasattr(tensor, "to_local"):  # of several processes: only the process's own part has an address
            tensor = cast(Any, tensor).to_local()
        if tensor.numel() and not tensor.is_meta:
            key = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
            groups.setdefault(key, []).append(name)
    return {
        name: next((other for other in names if other in stored), names[0])
        for names in groups.values()
        for name in names
        if name not in stored and (name != names[0] or any(other in stored for other in names))
    }
