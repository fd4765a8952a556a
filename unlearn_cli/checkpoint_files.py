"""Writing safetensors files: canonical headers, and more than one file where a network is too large for one."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from unlearn_cli import ranks
from unlearn_cli.files import set_default_mode
from unlearn_cli.runtime.processes import whole

FILE_BYTES = 2**29  # of one file, where no process holds all the weights


class Stored(Mapping[str, Tensor]):
    """Weights as they are written: each is brought together and copied when it is asked for, and not kept.

    Of weights that are divided among processes all must ask for the same ones in the same order.
    """

    def __init__(self, weights: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> None:
        self.weights, self.like = weights, like

    def __getitem__(self, name: str) -> Tensor:
        # Contiguous copies: safetensors refuses channels_last and tensors that share memory.
        stored = whole(self.weights[name].detach()).to("cpu", self.dtype(name))
        return stored.clone(memory_format=torch.contiguous_format)

    def __iter__(self) -> Iterator[str]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)

    def dtype(self, name: str) -> torch.dtype:
        return (self.like if name in self.like else self.weights)[name].dtype

    def num_bytes(self, name: str) -> int:
        return self.weights[name].numel() * self.dtype(name).itemsize


def split(tensors: Stored) -> dict[str, str]:
    """Return the file of each tensor, so that none has much more than FILE_BYTES; nothing where one is enough."""
    parts: list[list[str]] = [[]]
    filled = 0
    for name in tensors:
        if parts[-1] and filled + tensors.num_bytes(name) > FILE_BYTES:
            parts.append([])
            filled = 0
        parts[-1].append(name)
        filled += tensors.num_bytes(name)
    if len(parts) == 1:
        return {}
    return {
        name: f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        for number, names in enumerate(parts, start=1) for name in names
    }  # fmt: skip


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> Path:
    """Write one safetensors file: the same tensors give the same bytes, and others may read it as the umask says."""
    save_file(tensors, path, metadata)
    canonical_header(path)
    set_default_mode(path)  # safetensors lets nobody but the owner read it
    return path


def write_shards(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str], layout: dict[str, str]) -> None:
    """Write the files of a layout one after the other, and last the index `path` that names them."""
    last, size = max(layout.values()), 0
    weight_map = {name: layout.get(name, last) for name in tensors}
    for file in sorted(set(weight_map.values())):
        part: dict[str, Tensor] = {}
        for name in (name for name in tensors if weight_map[name] == file):
            tensor = tensors[name]  # every process takes part in bringing it together; the first alone keeps it
            size += tensor.numel() * tensor.element_size()
            part |= {name: tensor} if ranks.is_first() else {}
        if ranks.is_first():
            write_tensors(path.parent / file, part, metadata)
    if ranks.is_first():
        index = {"metadata": {"total_size": size}, "weight_map": weight_map}
        path.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def canonical_header(path: Path) -> None:
    """Rewrite a safetensors header with sorted keys, padded to its old length.

    `save_file` orders two or more metadata keys differently from process to process (safetensors issue 584).
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        text = json.dumps(json.loads(file.read(length)), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert len(text.encode()) <= length
        file.seek(8)
        file.write(text.encode().ljust(length))
