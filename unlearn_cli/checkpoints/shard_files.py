"""Checkpoints in several files, for networks that are too large for one."""

import json
from pathlib import Path

from unlearn_cli import ranks
from unlearn_cli.runtime.tensor_file import LazyTensors, write_tensors

FILE_BYTES = 2**29  # of one file, if no process holds all the weights


def assign_files(tensors: LazyTensors) -> dict[str, str]:
    """Assign tensors to files of about FILE_BYTES; empty if one file is sufficient."""
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
        for number, names in enumerate(parts, start=1)
        for name in names
    }


def write_shards(path: Path, tensors: LazyTensors, metadata: dict[str, str], layout: dict[str, str]) -> None:
    """Write the files of a layout one after the other, then the index `path`."""
    last = max(layout.values())
    weight_map = {name: layout.get(name, last) for name in tensors}
    for file in sorted(set(weight_map.values())):
        names = [name for name in tensors if weight_map[name] == file]
        write_tensors(path.parent / file, tensors.select(names), metadata)
    if ranks.is_first():
        size = sum(tensors.num_bytes(name) for name in tensors)
        index = {"metadata": {"total_size": size}, "weight_map": weight_map}
        path.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
