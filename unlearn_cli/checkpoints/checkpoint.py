"""Checkpoints: reads and writes safetensors files, single or sharded; checked when read, canonical when written."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from unlearn_cli.checkpoints.checkpoint_header import Header, digest_checkpoint_files, read_header
from unlearn_cli.checkpoints.network_fit import OTHER_CLASSES, complete_tied, describe_misfit, list_tied
from unlearn_cli.checkpoints.shard_files import assign_files, write_shards
from unlearn_cli.checkpoints.stored_names import StoredNames, find_shared
from unlearn_cli.checkpoints.tensor_names import NameMapping
from unlearn_cli.errors import UserError, prefix_field
from unlearn_cli.runtime.processes import barrier, is_sharded
from unlearn_cli.runtime.tensor_file import LazyTensors, tensor_bytes, write_tensors

PREFIX = "unlearn_cli."  # of this tool's keys in a checkpoint's metadata
PIECE = 2**22  # numbers that are tested at a time


@dataclass(frozen=True)
class Checkpoint:
    """The memory-mapped weights of a file, with metadata and digests."""

    path: Path
    tensors: dict[str, Tensor]  # by the network's names
    metadata: dict[str, str]
    layout: dict[str, str]  # tensor -> file name, by the names in the file; more than one file when sharded
    file_sha256: str
    tensor_digest: str
    names: StoredNames = field(default_factory=StoredNames)
    others: dict[str, Tensor] = field(default_factory=dict)  # outside `model.prefix`, by the names in the file

    def describe(self) -> dict[str, Any]:
        """Describe the checkpoint for a report, as plain values."""
        lineage = {key.removeprefix(PREFIX): value for key, value in self.metadata.items() if key.startswith(PREFIX)}
        return {
            "name": self.path.name,
            "file_sha256": self.file_sha256,
            "tensor_digest": self.tensor_digest,
            "parameters": sum({id(tensor): tensor.numel() for tensor in self.tensors.values()}.values()),
            "lineage": lineage,
        }


def load(path: Path, mapping: NameMapping | None = None) -> Checkpoint:
    """Map a checkpoint into memory: a .safetensors file, an .index.json, or a folder with one of them.

    `mapping` gives the network's names. A shared tensor that the file holds once, and names in its metadata, is
    returned under both names.

    Raises:
        UserError: it is broken, contains a tensor twice, or has weights that are not finite.
    """
    header = read_header(path)
    stored = _map_files(header)
    digest = tensor_digest(stored)
    omitted = {name: other for name, other in header.metadata.items() if other in stored and name not in stored}
    stored |= {name: stored[other] for name, other in omitted.items()}
    with prefix_field(f"{path}"):
        names = StoredNames.read(stored, mapping or NameMapping())
    tensors = {names.network[name]: tensor for name, tensor in stored.items() if name in names.network}
    with prefix_field(f"{path}"):
        refuse_non_finite(tensors)
    others = {name: tensor for name, tensor in stored.items() if name not in names.network and name not in omitted}
    return Checkpoint(
        path, tensors, header.metadata, header.layout, digest_checkpoint_files(header), digest, names, others
    )


def refuse_non_finite(tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        UserError: with the names of tensors.
    """
    if bad := find_non_finite(tensors):
        raise UserError(f"NaN or infinite weights in {', '.join(bad[:3])}; its training failed, use another checkpoint")


def _map_files(header: Header) -> dict[str, Tensor]:
    """Map the tensors of all files into memory, by the names in the files; their bytes are read on access."""
    return {name: tensor for file in header.files for name, tensor in load_file(file).items()}


def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy the weights into a network, in the network's dtypes.

    Raises:
        UserError: as `check_fits`.
    """
    check_fits(model, checkpoint)
    # Old files lack num_batches_tracked, which only momentum=None uses; torch then adds it.
    model.load_state_dict(complete_tied(model, checkpoint.tensors), strict=False)


def check_fits(model: nn.Module, checkpoint: Checkpoint, classes: str = OTHER_CLASSES) -> None:
    """Refuse weights that do not fit this architecture; `classes` is what to do if only the number of outputs differs.

    Raises:
        UserError: with the change of names that makes them fit, or the tensors that are missing, unexpected or of
            another shape or type.
    """
    tensors = complete_tied(model, checkpoint.tensors)
    _refuse_misfit(model, tensors, checkpoint.path, classes)
    for first, *others in list_tied(model):
        different = [name for name in others if name in tensors and not torch.equal(tensors[name], tensors[first])]
        if different:
            raise UserError(
                f"{checkpoint.path}: does not fit the architecture of the manifest; {first} and {different[0]} differ, "
                "but are one tensor of the network"
            )


def check_names_fit(model: nn.Module, path: Path, mapping: NameMapping, classes: str = OTHER_CLASSES) -> None:
    """Refuse a file whose names, shapes or types do not fit this architecture; its weights are not read.

    Raises:
        UserError: as `check_fits`.
    """
    stored = _map_files(read_header(path))
    with prefix_field(f"{path}"):
        names = StoredNames.read(stored, mapping)
    tensors = {names.network[name]: tensor for name, tensor in stored.items() if name in names.network}
    _refuse_misfit(model, complete_tied(model, tensors), path, classes)


def _refuse_misfit(model: nn.Module, tensors: Mapping[str, Tensor], path: Path, classes: str) -> None:
    if misfit := describe_misfit(model.state_dict(), tensors, classes):
        raise UserError(f"{path}: does not fit the architecture of the manifest; {misfit}")


@torch.no_grad()
def round_like(model: nn.Module, like: Checkpoint | None) -> None:
    """Round the weights to the dtypes in which they will be written, so that the written network is measured."""
    for name, tensor in model.state_dict().items():
        if like and name in like.tensors and like.tensors[name].dtype != tensor.dtype:
            tensor.copy_(tensor.to(like.tensors[name].dtype))


def save(folder: Path, weights: Mapping[str, Tensor], metadata: dict[str, str], like: Checkpoint | None = None) -> Path:
    """Write `model.safetensors` (or the shards of `like`, in its dtypes and with its names) into a folder.

    A tensor that the network shares under several names is written once, unless `like` contains it twice; the metadata
    names the others, as `safetensors.torch.save_model` does. Tensors of `like` outside `model.prefix` are copied.

    If weights are divided among processes, all processes must call this; none holds more than one whole tensor.

    Raises:
        UserError: a weight is not finite.
    """
    names, stored = (like.names, set(like.layout)) if like else (StoredNames(), set())
    written = {names.to_stored(name): tensor for name, tensor in weights.items()}
    omitted = find_shared(written, stored) if not is_sharded() else {}
    written = {**(like.others if like else {}), **{name: written[name] for name in written if name not in omitted}}
    tensors = LazyTensors(
        written, {names.to_stored(name): like.tensors[name] for name in like.tensors} if like else None
    )
    layout = (
        like.layout if like and len(set(like.layout.values())) > 1 else assign_files(tensors) if is_sharded() else {}
    )
    if bad := find_non_finite(tensors):
        raise UserError(f"the run ended with NaN or infinite weights in {', '.join(bad[:3])}; lower the learning rate")
    foreign = {key: value for key, value in (like.metadata if like else {}).items() if not key.startswith(PREFIX)}
    foreign = {key: value for key, value in foreign.items() if key not in written}
    ours = {f"{PREFIX}{key}": value for key, value in metadata.items()}
    facts = {**foreign, **omitted, "format": "pt", **ours, f"{PREFIX}tensor_digest": tensor_digest(tensors)}
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
