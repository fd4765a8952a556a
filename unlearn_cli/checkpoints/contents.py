"""What a checkpoint file of any format contains: sets of weights, and other things by kind."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearn_cli.checkpoints.network_fit import list_some
from unlearn_cli.checkpoints.stubs import Stub, as_mapping, is_network
from unlearn_cli.checkpoints.unsupported_weights import DEQUANTISE
from unlearn_cli.checkpoints.wrapper_names import is_averaged
from unlearn_cli.console import pluralize
from unlearn_cli.errors import UserError, did_you_mean

PACKED = "_packed_params"  # of the quantised layers of torch
MOST_DEPTH = 10  # of mappings in each other: a pickled dictionary can contain itself
MOST_SHOWN, MOST_TEXT = 60, 30  # characters of a number and of a text
ARGUMENTS = ("args", "hyper_parameters", "hparams", "config", "cfg", "opt")  # keys of a program's arguments
NAMES_OF_NETWORKS = ("arch", "architecture", "model", "model_name", "net", "network", "backbone")
NUMPY_ARRAY = "multiarray._reconstruct"  # the function that a pickle names for an array, in all versions of NumPy
OPTIMIZER = {"state", "param_groups"}  # the keys of an optimizer's state


@dataclass(frozen=True)
class WeightSet:
    """One state dict: its key in the file, its tensors, and the kinds of its other entries."""

    key: str  # keys joined with dots; '' for the whole file
    tensors: dict[str, Tensor]
    others: dict[str, str] = field(default_factory=dict)

    @property
    def is_averaged(self) -> bool:
        """Whether the key names averaged weights, such as `state_dict_ema` or `ema1`."""
        return is_averaged(self.key)

    def describe(self) -> str:
        return f"{self.key or 'the whole file'} ({pluralize(len(self.tensors), 'tensor')})"


@dataclass(frozen=True)
class Contents:
    """All sets of weights in a file or folder, and the kinds of the other things in it."""

    path: Path
    format: str
    sets: list[WeightSet]
    others: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    content: Any = None  # of a file of torch.save

    def describe(self) -> str:
        """Return one line with the sets of weights and the other contents."""
        sets = [weights.describe() for weights in self.sets]
        others = [f"{key} ({kind})" for key, kind in self.others.items()]
        parts = [f"weights: {list_some(sets)}"] if sets else []
        return "; ".join([*parts, *([f"others: {list_some(others)}"] if others else [])]) or "nothing else is in it"


def read_content(path: Path, form: str, content: Any) -> Contents:
    """Find the sets of weights in the content of a file of torch.save."""
    sets = list(_find_sets(content, "", {}))
    keys = {weights.key for weights in sets}
    return Contents(path, form, sets, dict(_find_others(content, keys)), content=content)


def choose_weights(contents: Contents, key: str | None, *, averaged: bool) -> WeightSet:
    """Return the set with this key, the averaged one, or the only one.

    Raises:
        UserError: there is none, or several; with the list of what the file contains.
    """
    if key is not None:
        return _find_key(contents, key)
    if averaged:
        return _choose_averaged(contents)
    if not contents.sets:
        raise UserError(f"{contents.path}: contains no state dict; {contents.describe()}; {_advise(contents)}")
    if len(contents.sets) > 1:
        keys = " or ".join(f"--key {weights.key or '.'}" for weights in contents.sets[:3])
        ema = " or --ema" if any(weights.is_averaged for weights in contents.sets) else ""
        raise UserError(
            f"{contents.path}: contains {len(contents.sets)} sets of weights; choose one with {keys}{ema}; "
            f"{contents.describe()}"
        )
    return contents.sets[0]


def list_hints(contents: Contents) -> list[str]:
    """Return the names of architectures that a training program stored: `arch`, or `model` of its arguments."""
    top = as_mapping(contents.content) or {}
    arguments = [_list_attributes(value) for key, value in top.items() if key in ARGUMENTS]
    hints = [value for items in (top, *arguments) for key, value in items.items() if key in NAMES_OF_NETWORKS]
    return list(dict.fromkeys(hint for hint in hints if isinstance(hint, str) and 0 < len(hint) <= MOST_TEXT))


def _list_attributes(value: Any) -> Mapping[Any, Any]:
    """Return the entries of a mapping, or the attributes of the object that a stub replaces."""
    state = value.state if isinstance(value, Stub) else None
    return as_mapping(value) or (state if isinstance(state, dict) else {})


def kind_of(value: Any) -> str:
    """Return the kind of an object in a file, with its value if it is a number."""
    if isinstance(value, Tensor):
        return describe_tensor(value)
    if isinstance(value, bool | int | float) or value is None:
        return f"{value}" if len(str(value)) <= MOST_SHOWN else "number"
    if is_network(value):
        return f"whole network, {value.path}"
    if isinstance(value, Stub):
        return "NumPy array" if value.path.endswith(NUMPY_ARRAY) else value.path or "object"
    if isinstance(value, dict):
        return _describe_mapping(value)
    if isinstance(value, str | bytes):
        is_short = isinstance(value, str) and len(value) <= MOST_TEXT and "/" not in value and "\\" not in value
        return f"'{value}'" if is_short else "text" if isinstance(value, str) else "bytes"
    if isinstance(value, list | tuple | set):
        tensors = sum(isinstance(item, Tensor) for item in value)
        return f"list of {pluralize(len(value), 'item')}" + (f", {tensors} of them tensors" if tensors else "")
    return type(value).__name__


def describe_tensor(tensor: Tensor) -> str:
    """Return dtype and shape, such as `float32 [3, 64]`."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def find_unusual_kind(tensor: Tensor) -> str | None:
    """Return the kind of a tensor that a checkpoint cannot hold; None for plain ones."""
    kinds = {
        "nested": tensor.is_nested,
        "sparse": tensor.layout != torch.strided,
        "quantised": tensor.is_quantized,
        "meta": tensor.is_meta,
        "complex": tensor.is_complex(),
    }
    return next((kind for kind, applies in kinds.items() if applies), None)


def has_eight_bits(tensor: Tensor) -> bool:
    """Whether a tensor has floating-point numbers of 8 bits."""
    return tensor.dtype.itemsize == 1 and tensor.is_floating_point()


def count_bytes(tensor: Tensor) -> int:
    """Return the bytes that a tensor needs when it is written; expanded ones need more than they occupy."""
    return math.prod(tensor.shape) * tensor.dtype.itemsize


def _find_sets(value: Any, key: str, visited: dict[int, bool], depth: int = 0) -> Iterator[WeightSet]:
    """Find the innermost mappings of names to tensors, except optimizer states.

    `visited` are the mappings that were read, and whether they are sets: a set may have several keys, such as a model
    that is also the best; other mappings are read once.
    """
    items = _list_items(value)
    if items is None or depth > MOST_DEPTH or set(items) >= OPTIMIZER:
        return
    if id(value) not in visited:
        visited[id(value)] = False
        inner = [
            weights
            for name, item in items.items()
            for weights in _find_sets(item, f"{key}.{name}" if key else f"{name}", visited, depth + 1)
        ]
        yield from inner
        visited[id(value)] = not inner and isinstance(value, dict | Stub) and _is_weights(items)
    if visited[id(value)]:
        yield make_set(key, items)


def make_set(key: str, items: Mapping[Any, Any]) -> WeightSet:
    """Divide the entries of a mapping into tensors with names, and others by kind."""
    tensors = {name: item for name, item in items.items() if isinstance(name, str) and isinstance(item, Tensor)}
    others = {f"{name}": kind_of(item) for name, item in items.items() if name not in tensors}
    return WeightSet(key, tensors, others)


def _is_weights(items: Mapping[Any, Any]) -> bool:
    """Whether most entries are tensors with names, and one could be a weight: states of random generators are not."""
    named = [item for name, item in items.items() if isinstance(name, str) and isinstance(item, Tensor)]
    return 2 * len(named) >= len(items) > 0 and any(
        not item.is_nested and item.dim() > 0 and not _is_integer(item) for item in named
    )


def _is_integer(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized)


def _list_items(value: Any) -> Mapping[Any, Any] | None:
    """Return the entries of a mapping or of a list; None for other objects."""
    if isinstance(value, list | tuple) and not isinstance(value, Stub):
        return dict(enumerate(value))
    return as_mapping(value)


def _find_others(value: Any, sets: set[str], key: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield what is next to the sets of weights, or next to the mappings that contain them."""
    items = _list_items(value)
    outer = f"{key}." if key else ""
    if items is None and not key:
        yield "content", kind_of(value)
    if items is None or depth > MOST_DEPTH or "" in sets:
        return
    for name, item in items.items():
        full = f"{outer}{name}"
        if full not in sets and any(other.startswith(f"{full}.") for other in sets):
            yield from _find_others(item, sets, full, depth + 1)
        elif full not in sets:
            yield full, kind_of(item)


def _describe_mapping(value: dict[Any, Any]) -> str:
    if set(value) >= OPTIMIZER:
        return "optimizer state"
    return f"mapping of {pluralize(len(value), 'entry', 'entries')}"


def _find_key(contents: Contents, key: str) -> WeightSet:
    if chosen := [weights for weights in contents.sets if weights.key == ("" if key == "." else key)]:
        return chosen[0]
    if key == "." and contents.sets:
        return merge_sets(contents.sets)
    inner = [weights for weights in contents.sets if weights.key.startswith(f"{key}.")]
    if len(inner) == 1:
        return inner[0]
    value = _look_up(contents.content, key)
    items = as_mapping(value)
    if items is None or not make_set(key, items).tensors:
        reason = f"is {kind_of(value)}, not a set of weights" if value is not None else "is not in the file"
        keys = [weights.key for weights in contents.sets]
        advice = did_you_mean(key, keys) if value is None and keys else "choose another key"
        raise UserError(f"{contents.path}: --key {key}: {reason}; {advice}; {contents.describe()}")
    return make_set(key, items)


def merge_sets(sets: Sequence[WeightSet]) -> WeightSet:
    """Return all sets as one, for a network whose parts are stored separately: keys are put in front of the names."""
    tensors = {f"{weights.key}.{name}": tensor for weights in sets for name, tensor in weights.tensors.items()}
    others = {f"{weights.key}.{name}": kind for weights in sets for name, kind in weights.others.items()}
    return WeightSet("", tensors, others)


def _look_up(value: Any, key: str) -> Any:
    """Return the object with a dotted key, where the keys in the file may contain dots, too; None if absent."""
    items = _list_items(value)
    for name, item in (items or {}).items():
        if f"{name}" == key:
            return item
        if key.startswith(f"{name}."):
            inner = _look_up(item, key.removeprefix(f"{name}."))
            if inner is not None:
                return inner
    return None


def _choose_averaged(contents: Contents) -> WeightSet:
    chosen = [weights for weights in contents.sets if weights.is_averaged]
    if len(chosen) == 1 or len(contents.sets) == 1:  # a single set may contain averages under a prefix
        return [*chosen, *contents.sets][0]
    flaw = f"{len(chosen)} sets of averaged weights" if chosen else "no set of averaged weights"
    raise UserError(f"{contents.path}: --ema: contains {flaw}; choose one with --key; {contents.describe()}")


def _advise(contents: Contents) -> str:
    if any(PACKED in key for key in contents.others):
        return f"its layers are quantised: {DEQUANTISE}"
    if any(kind.startswith("whole network") for kind in contents.others.values()):
        return "only its own code can read a whole network: save its .state_dict() there, and convert that"
    if "NumPy array" in contents.others.values():
        return "save the arrays as tensors (torch.from_numpy) with torch.save, and convert that"
    return "save model.state_dict() and convert that"
