"""The state of networks, optimizers and generators as one safetensors file; never a pickle.

A file has a digest of all its bytes in its metadata; the digest's own bytes count as zeros. A file that was truncated
or changed is not loaded. In a batch the digest has a key.
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
DIGEST_START = b'"digest":"'  # occurs only as a key of the metadata: in texts, quotes are escaped
PIECE = 2**20  # bytes

_seal_key: ContextVar[bytes] = ContextVar("seal_key", default=b"")


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


def save(path: Path, stateful: list[Stateful | Tensor], facts: dict[str, Any]) -> None:
    """Write the states of these objects and some facts, atomically."""
    tensors: dict[str, Tensor] = {}
    states = [item if isinstance(item, Tensor) else item.state_dict() for item in stateful]
    structure = _flatten(states, "", tensors)
    metadata = {"structure": json.dumps(structure), "facts": json.dumps(facts), "digest": NO_DIGEST}
    with output_file(path) if ranks.is_first() else nullcontext(path) as new:
        write_tensors(new, LazyTensors(tensors), metadata)
        if ranks.is_first():
            new.chmod(0o600)  # weights of a network that has not forgotten yet, and the salt
            new.parent.chmod(0o700)
            _seal(new)


@contextmanager
def seal_with(key: bytes) -> Iterator[None]:
    """Inside, the digests of states have this key: without it, a state cannot be changed unnoticed."""
    token = _seal_key.set(key)
    try:
        yield
    finally:
        _seal_key.reset(token)


def is_intact(path: Path) -> bool:
    """Return whether a file is unchanged since `save` wrote it with the same key."""
    if not path.is_file():
        return False
    return hmac.compare_digest(*_read_digests(path))


def _seal(path: Path) -> None:
    """Write the digest into a file that has none yet."""
    _, digest = _read_digests(path)
    with path.open("r+b") as file:
        position = file.read(_count_header_bytes(path)).index(DIGEST_START) + len(DIGEST_START)
        file.seek(position)
        file.write(digest)


def _read_digests(path: Path) -> tuple[bytes, bytes]:
    """Return the digest in a file's metadata (empty if there is none), and the digest of its bytes."""
    with path.open("rb") as file:
        header = file.read(_count_header_bytes(path))
        before, mark, after = header.partition(DIGEST_START)
        stated, rest = after[: len(NO_DIGEST)], after[len(NO_DIGEST) :]
        digest = hmac.new(_seal_key.get(), before + mark + NO_DIGEST.encode() * bool(mark) + rest, "sha256")
        while piece := file.read(PIECE):
            digest.update(piece)
    return stated, digest.hexdigest().encode()


def _count_header_bytes(path: Path) -> int:
    """Return the number of bytes before the tensors; at most the size of the file."""
    with path.open("rb") as file:
        return min(8 + int.from_bytes(file.read(8), "little"), path.stat().st_size)


def load(path: Path, stateful: list[Stateful | Tensor]) -> dict[str, Any]:
    """Load the states in an intact file into these objects, and return the facts."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    states = _unflatten(json.loads(metadata["structure"]), tensors)
    for item, state in zip(stateful, states, strict=True):
        if isinstance(item, Tensor):
            with torch.no_grad():
                item.copy_(state)
        else:
            item.load_state_dict(state)
    return json.loads(metadata["facts"])


def salt_identity(identity: str) -> dict[str, str]:
    """Return a salted digest of the identity of a run's inputs, and the salt: facts to be saved with the state."""
    salt = secrets.token_bytes(32)
    return {"salt": salt.hex(), "identity": _digest_with_salt(salt, identity)}


def matches_identity(path: Path, identity: str) -> bool:
    """Return whether an intact file was saved by a run with the same inputs."""
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
    salt = bytes.fromhex(facts.get("salt", ""))
    return hmac.compare_digest(facts.get("identity", ""), _digest_with_salt(salt, identity))


def _digest_with_salt(salt: bytes, identity: str) -> str:
    return hmac.digest(salt, identity.encode(), "sha256").hex()


def _flatten(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Replace each tensor by its name. Dictionaries become lists of pairs, because keys may be numbers."""
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
    if kind == "strided":  # fused optimizers need their state in the memory order of the weight
        stored = tensors[value[0]]
        return torch.empty_strided(stored.shape, value[1], dtype=stored.dtype).copy_(stored)
    if kind == "dict":
        return {key: _unflatten(item, tensors) for key, item in value}
    if kind == "list":
        return [_unflatten(item, tensors) for item in value]
    return value
