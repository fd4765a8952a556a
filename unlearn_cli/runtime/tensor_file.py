"""Writing safetensors files a tensor at a time, so that no second copy of a network is ever in memory.

safetensors' own writer takes all tensors at once, on the CPU and contiguous: a copy of every network that is in
channels_last, on a GPU, divided among processes, or written in another dtype than it is computed in. It also orders
metadata differently from process to process (safetensors issue 584); here the same tensors give the same bytes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from unlearn_cli import ranks
from unlearn_cli.runtime.processes import full_tensor

TYPES = {  # in safetensors' own order, the widest first: so every tensor begins at a multiple of its item size
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
ALIGNMENT = 8  # of where the tensors begin, in bytes


class LazyTensors(Mapping[str, Tensor]):
    """Tensors as they are written: each is brought together and copied when it is asked for, and not kept.

    `like` are tensors whose dtypes are taken. Of weights that are divided among processes all must ask for the same
    ones in the same order.
    """

    def __init__(self, tensors: Mapping[str, Tensor], like: Mapping[str, Tensor] | None = None) -> None:
        self.tensors, self.like = tensors, like or {}

    def __getitem__(self, name: str) -> Tensor:
        return full_tensor(self.tensors[name].detach()).to("cpu", self.dtype(name)).contiguous()

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def dtype(self, name: str) -> torch.dtype:
        return (self.like if name in self.like else self.tensors)[name].dtype

    def num_bytes(self, name: str) -> int:
        return self.tensors[name].numel() * self.dtype(name).itemsize

    def some(self, names: Iterable[str]) -> "LazyTensors":
        """Return those of these names."""
        return LazyTensors({name: self.tensors[name] for name in names}, self.like)


def write_tensors(path: Path, tensors: LazyTensors, metadata: dict[str, str]) -> Path:
    """Write one safetensors file. All processes must call this, for each has its part; the first one writes."""
    place = {dtype: number for number, dtype in enumerate(TYPES)}
    names = sorted(tensors, key=lambda name: (place[tensors.dtype(name)], name))
    with path.open("wb") if ranks.is_first() else nullcontext() as file:
        if file:
            file.write(format_header(tensors, names, metadata))
        for name in names:
            _write(file, tensors[name])
    return path


def _write(file: BinaryIO | None, tensor: Tensor) -> None:
    if file:
        file.write(tensor_bytes(tensor))


def format_header(tensors: LazyTensors, names: list[str], metadata: dict[str, str]) -> bytes:
    """Return what stands before the tensors: its length, and JSON that says where each lies, padded with spaces."""
    entries: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name in names:
        begin, end = end, end + tensors.num_bytes(name)
        shape = list(tensors.tensors[name].shape)
        entries[name] = {"dtype": TYPES[tensors.dtype(name)], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    length = -(-len(text) // ALIGNMENT) * ALIGNMENT
    return length.to_bytes(8, "little") + text.ljust(length)


def tensor_bytes(tensor: Tensor) -> memoryview:
    """Return the bytes of a contiguous tensor on the CPU, without a copy."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data
