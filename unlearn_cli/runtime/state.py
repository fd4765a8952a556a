"""The state of networks, optimizers and generators as one safetensors file; never a pickle."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor

from unlearn_cli import ranks
from unlearn_cli.files import output_file
from unlearn_cli.runtime.processes import is_divided, weight_like
from unlearn_cli.runtime.tensor_file import Stored, write_tensors


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


def save(path: Path, things: list[Stateful | Tensor], facts: dict[str, Any]) -> None:
    """Write the states of `things` and some facts, atomically."""
    tensors: dict[str, Tensor] = {}
    states = [thing if isinstance(thing, Tensor) else thing.state_dict() for thing in things]
    structure = _flatten(states, "", tensors)
    metadata = {"structure": json.dumps(structure), "facts": json.dumps(facts)}
    with output_file(path) if ranks.is_first() else nullcontext(path) as new:
        write_tensors(new, Stored(tensors), metadata)


def load(path: Path, things: list[Stateful | Tensor]) -> dict[str, Any]:
    """Give `things` the states that were saved, and return the facts."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    states = _unflatten(json.loads(metadata["structure"]), tensors)
    for thing, state in zip(things, states, strict=True):
        if isinstance(thing, Tensor):
            with torch.no_grad():
                thing.copy_(state)
        else:
            thing.load_state_dict(state)
    return json.loads(metadata["facts"])


def _flatten(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Replace each tensor by its name; dictionaries become lists of pairs, to keep whole numbers as keys."""
    if isinstance(value, Tensor):
        tensors[name] = value
        if is_divided(value):
            return {"weight": name}
        return {"tensor": name} if value.is_contiguous() else {"strided": [name, list(value.stride())]}
    if isinstance(value, dict):
        return {"dict": [[key, _flatten(item, f"{name}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"list": [_flatten(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]}
    return {"value": value}


def _unflatten(node: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    kind, value = next(iter(node.items()))
    if kind in ("tensor", "weight"):
        return weight_like(tensors[value]) if kind == "weight" else tensors[value]
    if kind == "strided":  # fused optimizers read what they keep of a weight in the weight's own order in memory
        stored = tensors[value[0]]
        return torch.empty_strided(stored.shape, value[1], dtype=stored.dtype).copy_(stored)
    if kind == "dict":
        return {key: _unflatten(item, tensors) for key, item in value}
    if kind == "list":
        return [_unflatten(item, tensors) for item in value]
    return value
