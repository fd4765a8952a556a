"""Reads the folders of torch.distributed.checkpoint. Their `.metadata` is a pickle, which is read with stubs only."""

import io
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from unlearn_cli.checkpoints.contents import Contents, read_content
from unlearn_cli.checkpoints.pickle_scan import scan_pickle
from unlearn_cli.checkpoints.stubs import Stub, make_stub_class
from unlearn_cli.checkpoints.torch_file import BROKEN, read_torch_stream
from unlearn_cli.errors import UserError
from unlearn_cli.storage.regular_files import open_regular, read_regular, require_regular_file

MOST_METADATA = 2**28  # bytes
OBJECT = "torch.distributed.checkpoint.metadata.BytesStorageMetadata"
TENSOR = "torch.distributed.checkpoint.metadata.TensorStorageMetadata"


@dataclass(frozen=True)
class Chunk:
    """A part of a tensor: where it begins in the tensor, its sizes, and the bytes of a file that contain it."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str
    offset: int
    length: int


@dataclass(frozen=True)
class StoredTensor:
    dtype: torch.dtype
    sizes: tuple[int, ...]
    chunks: list[Chunk]


class MetadataReader(pickle.Unpickler):
    """Creates a stub for every class; only dtypes are themselves."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        value = vars(torch).get(global_name) if module_name == "torch" else None  # getattr may import modules
        return value if isinstance(value, torch.dtype) else make_stub_class(f"{module_name}.{global_name}")


def read_folder(path: Path) -> Contents:
    """Return the contents of a distributed checkpoint, given the path of its `.metadata`.

    Raises:
        UserError: files are missing or broken.
    """
    try:
        entries, keys = _read_metadata(path)
    except (*BROKEN, pickle.UnpicklingError, AttributeError, LookupError, TypeError) as error:
        flaw = f"is not the metadata of a distributed checkpoint ({type(error).__name__})"
        raise UserError(f"{path}: {flaw}; name the folder that torch.distributed.checkpoint wrote") from None
    _check_files(path, entries)
    content: dict[Any, Any] = {}
    for name, entry in entries.items():
        *outer, last = keys.get(name) or (name,)
        inner = content
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = _read_tensor(path, name, entry) if isinstance(entry, StoredTensor) else entry
    return read_content(path, "torch.distributed.checkpoint", content)


def _read_metadata(path: Path) -> tuple[dict[str, StoredTensor | Stub], dict[str, tuple[Any, ...]]]:
    """Return the entries by name, and the keys of each in nested mappings."""
    data = read_regular(path, MOST_METADATA)
    scan_pickle(io.BytesIO(data))
    state = MetadataReader(io.BytesIO(data)).load().state
    places = {_index(key): info.state for key, info in state["storage_data"].items()}
    entries = {str(name): _read_entry(str(name), entry, places) for name, entry in state["state_dict_metadata"].items()}
    keys = state.get("planner_data") or {}
    return entries, {name: tuple(path) for name, path in keys.items() if isinstance(path, tuple)}


def _read_entry(name: str, entry: Stub, places: Mapping[Any, Mapping[str, Any]]) -> StoredTensor | Stub:
    if entry.path != TENSOR:
        return make_stub_class(OBJECT)()
    properties, chunks = entry.state["properties"].state, []
    for chunk in entry.state["chunks"]:
        starts, sizes = _sizes(chunk.state["offsets"]), _sizes(chunk.state["sizes"])
        info = places[name, starts] if (name, starts) in places else places[name, None]
        if info.get("transform_descriptors"):
            raise ValueError("it is compressed")
        chunks.append(Chunk(starts, sizes, str(info["relative_path"]), int(info["offset"]), int(info["length"])))
    dtype = properties["dtype"] if isinstance(properties, dict) else properties[0]
    if not isinstance(dtype, torch.dtype):
        raise TypeError("a tensor without a dtype")
    return StoredTensor(dtype, _sizes(entry.state["size"]), chunks)


def _index(key: Stub) -> tuple[str, tuple[int, ...] | None]:
    offset = key.state.get("offset")
    return str(key.state["fqn"]), None if offset is None else _sizes(offset)


def _sizes(size: Any) -> tuple[int, ...]:
    """Return the numbers of a torch.Size, for which a stub stands."""
    return tuple(int(number) for number in (size.arguments[0] if isinstance(size, Stub) else size))


def _check_files(path: Path, entries: Mapping[str, StoredTensor | Stub]) -> None:
    tensors = [entry for entry in entries.values() if isinstance(entry, StoredTensor)]
    names = {chunk.file for tensor in tensors for chunk in tensor.chunks}
    if strange := [name for name in sorted(names) if Path(name).name != name or name in ("", ".", "..")]:
        raise UserError(f"{path}: names {strange[0]}, which is not a file in its folder; do not use this checkpoint")
    available = sum(require_regular_file(path.parent / name).stat().st_size for name in names)
    if any(min(tensor.sizes, default=0) < 0 for tensor in tensors) or available < sum(map(_count_bytes, tensors)):
        raise UserError(f"{path}: its tensors are larger than its files; fetch the folder again")


def _count_bytes(tensor: StoredTensor) -> int:
    return math.prod(tensor.sizes) * tensor.dtype.itemsize


def _read_tensor(path: Path, name: str, entry: StoredTensor) -> Tensor:
    """Join the chunks of a tensor."""
    if sum(math.prod(chunk.sizes) for chunk in entry.chunks) != math.prod(entry.sizes):
        raise UserError(f"{path}: the parts of {name} are incomplete; fetch the folder again")
    tensor = torch.empty(entry.sizes, dtype=entry.dtype)
    for chunk in entry.chunks:
        file = path.parent / chunk.file
        with open_regular(file) as opened:
            part = read_torch_stream(_slice(opened, chunk), file)
        whole = tensor[tuple(slice(start, start + size) for start, size in zip(chunk.starts, chunk.sizes, strict=True))]
        if not isinstance(part, Tensor) or part.shape != whole.shape:
            raise UserError(f"{file}: the part of {name} has another shape than in .metadata; fetch the folder again")
        whole.copy_(part)
    return tensor


def _slice(file: BinaryIO, chunk: Chunk) -> BinaryIO:
    file.seek(max(chunk.offset, 0))
    return io.BytesIO(file.read(max(chunk.length, 0)))
