"""Checkpoints: reads and writes safetensors files, single or sharded; checked when read, canonical when written."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from unlearn_cli.checkpoints.checkpoint_header import digest_checkpoint_files, read_header
from unlearn_cli.checkpoints.shard_files import assign_files, write_shards
from unlearn_cli.errors import UserError
from unlearn_cli.runtime.processes import barrier, is_sharded
from unlearn_cli.runtime.tensor_file import LazyTensors, tensor_bytes, write_tensors

PREFIX = "unlearn_cli."  # of this tool's keys in a checkpoint's metadata
PIECE = 2**22  # numbers that are tested at a time


@dataclass(frozen=True)
class Checkpoint:
    """The memory-mapped weights of a file, with metadata and digests."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    layout: dict[str, str]  # tensor -> file name; more than one file when sharded
    file_sha256: str
    tensor_digest: str

    def describe(self) -> dict[str, Any]:
        """Describe the checkpoint for a report, as plain values."""
        lineage = {key.removeprefix(PREFIX): value for key, value in self.metadata.items() if key.startswith(PREFIX)}
        return {
            "name": self.path.name,
            "file_sha256": self.file_sha256,
            "tensor_digest": self.tensor_digest,
            "parameters": sum(tensor.numel() for tensor in self.tensors.values()),
            "lineage": lineage,
        }


def load(path: Path) -> Checkpoint:
    """Map a checkpoint into memory: a .safetensors file, an .index.json, or a folder with one of them.

    Raises:
        UserError: it is broken, contains a tensor twice, or has weights that are not finite.
    """
    header = read_header(path)
    tensors = {name: tensor for file in header.files for name, tensor in load_file(file).items()}
    if bad := find_non_finite(tensors):
        raise UserError(
            f"{path}: NaN or infinite weights in {', '.join(bad[:3])}; its training failed, use another checkpoint"
        )
    return Checkpoint(
        path, tensors, header.metadata, header.layout, digest_checkpoint_files(header), tensor_digest(tensors)
    )


def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy the weights into a network, in the network's dtypes.

    Raises:
        UserError: as `check_fits`.
    """
    check_fits(model, checkpoint)
    # Old files lack num_batches_tracked, which only momentum=None uses; torch then adds it.
    model.load_state_dict(checkpoint.tensors, strict=False)


def check_fits(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Refuse weights that do not fit this architecture.

    Raises:
        UserError: with every tensor that is missing, unexpected or of another shape or type.
    """
    expected, tensors = model.state_dict(), checkpoint.tensors
    missing = sorted(name for name in set(expected) - set(tensors) if not name.endswith("num_batches_tracked"))
    both = sorted(set(expected) & set(tensors))
    shapes = [
        f"{name} {list(tensors[name].shape)} instead of {list(expected[name].shape)}"
        for name in both
        if tensors[name].shape != expected[name].shape
    ]
    types = [
        f"{name} {tensors[name].dtype} instead of {expected[name].dtype}"
        for name in both
        if tensors[name].is_floating_point() != expected[name].is_floating_point()
    ]
    unexpected = sorted(set(tensors) - set(expected))
    problems = {"missing": missing, "unexpected": unexpected, "wrong shape": shapes, "wrong type": types}
    if any(problems.values()):
        listed = "; ".join(f"{problem}: {', '.join(names)}" for problem, names in problems.items() if names)
        raise UserError(f"{checkpoint.path}: does not fit the architecture of the manifest; {listed}")


@torch.no_grad()
def round_like(model: nn.Module, like: Checkpoint | None) -> None:
    """Round the weights to the dtypes in which they will be written, so that the written network is measured."""
    for name, tensor in model.state_dict().items():
        if like and name in like.tensors and like.tensors[name].dtype != tensor.dtype:
            tensor.copy_(tensor.to(like.tensors[name].dtype))


def save(folder: Path, weights: Mapping[str, Tensor], metadata: dict[str, str], like: Checkpoint | None = None) -> Path:
    """Write `model.safetensors` (or the shards of `like`, in its dtypes) into a folder.

    If weights are divided among processes, all processes must call this; none holds more than one whole tensor.

    Raises:
        UserError: a weight is not finite.
    """
    tensors = LazyTensors(weights, like.tensors if like else None)
    layout = (
        like.layout if like and len(set(like.layout.values())) > 1 else assign_files(tensors) if is_sharded() else {}
    )
    if bad := find_non_finite(tensors):
        raise UserError(f"the run ended with NaN or infinite weights in {', '.join(bad[:3])}; lower the learning rate")
    foreign = {key: value for key, value in (like.metadata if like else {}).items() if not key.startswith(PREFIX)}
    ours = {f"{PREFIX}{key}": value for key, value in metadata.items()}
    facts = {**foreign, "format": "pt", **ours, f"{PREFIX}tensor_digest": tensor_digest(tensors)}
    path = folder / ("model.safetensors.index.json" if layout else "model.safetensors")
    if layout:
        write_shards(path, tensors, facts, layout)
    else:
        write_tensors(path, tensors, facts)
    barrier()
    return path


def find_non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors with NaN or infinite numbers; tested in pieces, because the test makes copies."""
    return sorted(
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not all(part.isfinite().all() for part in tensor.reshape(-1).split(PIECE))
    )


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of name, dtype, shape and bytes of all tensors, sorted; it does not depend on the sharding."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{list(tensor.shape)}|".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()
