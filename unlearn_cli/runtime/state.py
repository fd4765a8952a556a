"""The state of networks, optimizers and generators as one safetensors file; never a pickle.

A file has a digest of all its bytes in its metadata, where the digest itself counts as zeros: what was truncated or
changed since is not loaded. In a batch the digest has a key.
"""

import hmac
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor

from unlearn_cli import ranks
from unlearn_cli.runtime.processes import distribute_weight, is_distributed
from unlearn_cli.runtime.tensor_file import LazyTensors, write_tensors
from unlearn_cli.storage.atomic_files import output_file

NO_DIGEST = "0" * 64
DIGEST_START = b'"digest":"'  # only a key of the metadata is written so: inside texts a quote is escaped
PIECE = 2**20  # bytes

_seal_key: ContextVar[bytes] = ContextVar("seal_key", default=b"")


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


def save(path: Path, things: list[Stateful | Tensor], facts: dict[str, Any]) -> None:
    """Write the states of `things` and some facts, atomically."""
    tensors: dict[str, Tensor] = {}
    states = [thing if isinstance(thing, Tensor) else thing.state_dict() for thing in things]
    structure = _flatten(states, "", tensors)
    metadata = {"structure": json.dumps(structure), "facts": json.dumps(facts), "digest": NO_DIGEST}
    with output_file(path) if ranks.is_first() else nullcontext(path) as new:
        write_tensors(new, LazyTensors(tensors), metadata)
        if ranks.is_first():
            new.chmod(0o600)  # weights that know what is to be forgotten, and the salt
            new.parent.chmod(0o700)
            _seal(new)


@contextmanager
def seal_with(key: bytes) -> Iterator[None]:
    """Inside, the digests of states have this key: who lacks it cannot change a state unnoticed."""
    token = _seal_key.set(key)
    try:
        yield
    finally:
        _seal_key.reset(token)


def is_intact(path: Path) -> bool:
    """Say whether a file is as `save` wrote it, with the same key."""
    if not path.is_file():
        return False
    stated, found = _digests(path)
    return hmac.compare_digest(stated, found)


def _seal(path: Path) -> None:
    """Put the digest of a file that has none yet into it."""
    _, found = _digests(path)
    with path.open("r+b") as file:
        place = file.read(_header_bytes(path)).index(DIGEST_START) + len(DIGEST_START)
        file.seek(place)
        file.write(found)


def _digests(path: Path) -> tuple[bytes, bytes]:
    """Return the digest that a file states (nothing if it states none), and the one that it has."""
    with path.open("rb") as file:
        header = file.read(_header_bytes(path))
        before, mark, after = header.partition(DIGEST_START)
        stated, rest = after[: len(NO_DIGEST)], after[len(NO_DIGEST) :]
        digest = hmac.new(_seal_key.get(), before + mark + NO_DIGEST.encode() * bool(mark) + rest, "sha256")
        while piece := file.read(PIECE):
            digest.update(piece)
    return stated, digest.hexdigest().encode()


def _header_bytes(path: Path) -> int:
    """Return how long the part of a file before its tensors is; at most the whole file."""
    with path.open("rb") as file:
        return min(8 + int.from_bytes(file.read(8), "little"), path.stat().st_size)


def load(path: Path, things: list[Stateful | Tensor]) -> dict[str, Any]:
    """Give `things` the states that were saved in a file that is whole, and return the facts."""
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


def salt_identity(identity: str) -> dict[str, str]:
    """Return a digest of what a run works on, with the salt that only its state has: facts to be saved with it."""
    salt = secrets.token_bytes(32)
    return {"salt": salt.hex(), "identity": _with_salt(salt, identity)}


def matches_identity(path: Path, identity: str) -> bool:
    """Say whether a file that is whole was saved by a run that worked on the same."""
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
    salt = bytes.fromhex(facts.get("salt", ""))
    return hmac.compare_digest(facts.get("identity", ""), _with_salt(salt, identity))


def _with_salt(salt: bytes, identity: str) -> str:
    return hmac.digest(salt, identity.encode(), "sha256").hex()


def _flatten(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Replace each tensor by its name; dictionaries become lists of pairs, to keep whole numbers as keys."""
    if isinstance(value, Tensor):
        tensors[name] = value
        if is_distributed(value):
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
        return distribute_weight(tensors[value]) if kind == "weight" else tensors[value]
    if kind == "strided":  # fused optimizers read what they keep of a weight in the weight's own order in memory
        stored = tensors[value[0]]
        return torch.empty_strided(stored.shape, value[1], dtype=stored.dtype).copy_(stored)
    if kind == "dict":
        return {key: _unflatten(item, tensors) for key, item in value}
    if kind == "list":
        return [_unflatten(item, tensors) for item in value]
    return value
