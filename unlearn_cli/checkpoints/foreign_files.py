"""Reads checkpoints of all supported formats: of torch.save and safetensors, whole, sharded or distributed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from unlearn_cli.checkpoints import dcp_folder
from unlearn_cli.checkpoints.checkpoint_header import MAX_INDEX, read_header
from unlearn_cli.checkpoints.contents import Contents, WeightSet, read_content
from unlearn_cli.checkpoints.foreign_formats import find_checkpoint, recognise
from unlearn_cli.checkpoints.torch_file import read_torch_file
from unlearn_cli.errors import UserError
from unlearn_cli.storage import json_text
from unlearn_cli.storage.regular_files import read_regular


def read_contents(path: Path) -> Contents:
    """Return what a checkpoint contains; no code of it is executed.

    Raises:
        UserError: the format is not supported, or the files are broken.
    """
    file = find_checkpoint(path)
    readers: dict[str, Callable[[Path], Contents]] = {
        "safetensors": _read_safetensors,
        "sharded safetensors": _read_safetensors,
        "sharded torch.save": _read_sharded,
        "distributed": dcp_folder.read_folder,
        "torch.save": lambda file: read_content(file, "torch.save", read_torch_file(file)),
    }
    return readers[recognise(file)](file)


def _read_safetensors(path: Path) -> Contents:
    header = read_header(path, any_name=True)
    tensors = {name: tensor for file in header.files for name, tensor in load_file(file).items()}
    omitted = {name: other for name, other in header.metadata.items() if other in tensors and name not in tensors}
    tensors |= {name: tensors[other] for name, other in omitted.items()}
    form = "safetensors" if len(header.files) == 1 else f"safetensors in {len(header.files)} files"
    return Contents(path, form, [WeightSet("", tensors)], metadata=header.metadata)


def _read_sharded(path: Path) -> Contents:
    """Read the files of a `pytorch_model.bin.index.json`."""
    layout = _read_weight_map(path)
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(layout.values())):
        recognise(path.parent / name)  # refuses what is not a checkpoint
        contents = read_content(path.parent / name, "torch.save", read_torch_file(path.parent / name))
        if [weights.key for weights in contents.sets] != [""]:
            raise UserError(f"{path.parent / name}: is not a part of a state dict; {contents.describe()}")
        stray = [key for key in contents.sets[0].tensors if layout.get(key) != name]
        if stray:
            raise UserError(
                f"{path.parent / name}: contains {stray[0]}, contrary to {path.name}; fetch the files again"
            )
        tensors |= contents.sets[0].tensors
    if lost := sorted(set(layout) - set(tensors)):
        raise UserError(f"{path}: lists {lost[0]}, which its files do not contain; fetch the files again")
    return Contents(path, f"torch.save in {len(set(layout.values()))} files", [WeightSet("", tensors)])


def _read_weight_map(path: Path) -> dict[str, str]:
    try:
        layout: Any = json_text.read(read_regular(path, MAX_INDEX))["weight_map"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: is not an index of a sharded checkpoint; expected JSON with a 'weight_map'") from None
    if not isinstance(layout, dict) or not layout or not all(map(_is_plain_name, layout.values())):
        raise UserError(f"{path}: its weight_map must name files in the same folder")
    return layout


def _is_plain_name(file: Any) -> bool:
    return isinstance(file, str) and Path(file).name == file and "\\" not in file and file not in ("", ".", "..")
