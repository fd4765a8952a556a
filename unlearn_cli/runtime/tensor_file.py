"""A writer of safetensors files that holds one tensor at a time, so that a network is never copied as a whole.

The writer of safetensors takes all tensors at once, on the CPU and contiguous. This copies every network in
channels_last, on a GPU, divided among processes, or in another dtype than that of the file. It also orders metadata
differently in each process (safetensors issue 584); here the same tensors give the same bytes.
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

TYPES = {  # in the order of safetensors, widest first, so that tensors start at multiples of their item size
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
ALIGNMENT = 8  # of the first tensor, in bytes


class LazyTensors(Mapping[str, Tensor]):
    """Tensors to write: each is gathered and copied when it is accessed, and not kept.

    `like` are tensors whose dtypes are used. If weights are divided among processes, all processes must access the same
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

    def select(self, names: Iterable[str]) -> "LazyTensors":
        """Return the tensors with these names."""
        return LazyTensors({name: self.tensors[name] for name in names}, self.like)


def write_tensors(path: Path, tensors: LazyTensors, metadata: dict[str, str]) -> Path:
    """Write one safetensors file. All processes must call this, because each has a share; the first one writes."""
    order = {dtype: number for number, dtype in enumerate(TYPES)}
    names = sorted(tensors, key=lambda name: (order[tensors.dtype(name)], name))
    with path.open("wb") if ranks.is_first() else nullcontext() as file:
        if file:
            file.write(format_header(tensors, names, metadata))
        for name in names:
            _write(file, tensors[name])
    return path


def _write(file: BinaryIO | None, tensor: Tensor) -> None:
    """Write a tensor. As an argument of a function it is freed before the next one is gathered."""
    if file:
        file.write(tensor_bytes(tensor))


def format_header(tensors: LazyTensors, names: list[str], metadata: dict[str, str]) -> bytes:
    """Return the bytes before the tensors: the length, and padded JSON with the position of each tensor."""
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
