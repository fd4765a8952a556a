"""Checks of a checkpoint that need no torch: its files, their headers and the index of a sharded checkpoint."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_cli.checkpoints import safetensors_header
from unlearn_cli.checkpoints.unsupported_weights import MERGE_ADAPTER, NO_INDEX
from unlearn_cli.errors import UserError
from unlearn_cli.storage import json_text
from unlearn_cli.storage.regular_files import read_regular, require_regular_file, sha256
from unlearn_cli.storage.remote import locate

MAX_INDEX = 10 * 2**20


@dataclass(frozen=True)
class Header:
    """The files of a checkpoint, the file of each tensor, and the metadata."""

    files: list[Path]
    layout: dict[str, str]  # tensor -> file name
    metadata: dict[str, str]


def read_header(path: Path, *, any_name: bool = False) -> Header:
    """Check the structure of a checkpoint and return it.

    `any_name`, to convert it: the file may have another suffix, and numbers of 8 bits.

    Raises:
        UserError: the file does not exist, is not a safetensors file, is truncated, or contains a tensor twice.
    """
    path = path if any_name else resolve_checkpoint(path)
    if path.name.endswith(".index.json"):
        return _read_index(path, eight_bits=any_name)
    names, metadata = _read_file(path, eight_bits=any_name)
    return Header([path], dict.fromkeys(names, path.name), metadata)


def digest_checkpoint_files(header: Header) -> str:
    """Return the SHA-256 of a checkpoint's file, or of the names and SHA-256 digests of several files."""
    if len(header.files) == 1:
        return sha256(header.files[0])
    digests = [f"{file.name} {sha256(file)}" for file in header.files]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def resolve_checkpoint(path: Path) -> Path:
    """Return the checkpoint file of a path: itself, the checkpoint in a folder, or the copy of a URL."""
    path = locate(path)
    if path.is_dir():
        for name in ("model.safetensors.index.json", "model.safetensors"):
            if (path / name).is_file():
                return path / name
        if (path / "adapter_config.json").is_file():
            raise UserError(
                f"{path}: contains an adapter (LoRA or another of PEFT) without its network; {MERGE_ADAPTER}"
            )
        if any(path.glob("*-of-*.safetensors")):
            raise UserError(f"{path}: {NO_INDEX}")
        advice = "name a checkpoint, or convert one of another format with 'unlearn-cli convert'"
        raise UserError(f"{path}: the folder has no model.safetensors; {advice}")
    require_regular_file(path, missing="no such checkpoint; name a .safetensors file, or a folder with one")
    if not path.name.endswith((".safetensors", ".index.json")):
        raise UserError(f"{path}: is not a .safetensors file; 'unlearn-cli convert' converts other formats")
    return path


def _read_index(path: Path, *, eight_bits: bool) -> Header:
    try:
        layout: Any = json_text.read(read_regular(path, MAX_INDEX))["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        reason = f" ({error})" if isinstance(error, ValueError) else ""
        flaw = f"is not an index of a sharded checkpoint{reason}; expected JSON with a 'weight_map'"
        raise UserError(f"{path}: {flaw}") from None
    if layout == {}:
        raise UserError(f"{path}: its weight_map names no tensors; fetch it again")
    if not isinstance(layout, dict) or not all(_is_plain_name(file) for file in layout.values()):
        raise UserError(f"{path}: its weight_map must name .safetensors files in the same folder")
    files, stored, metadata = [path.parent / file for file in sorted(set(layout.values()))], {}, {}
    for file in files:
        names, metadata = _read_file(file, eight_bits=eight_bits)
        stray = [name for name in names if layout.get(name) != file.name]
        if stray:  # the file belongs to another checkpoint
            raise UserError(f"{file}: contains {', '.join(stray[:3])}, contrary to {path.name}; fetch the files again")
        stored.update(dict.fromkeys(names, file.name))
    if set(stored) != set(layout):
        lost = sorted(set(layout) - set(stored))
        raise UserError(
            f"{path}: lists tensors that its files do not contain: {', '.join(lost[:3])}; fetch the files again"
        )
    return Header(files, layout, metadata)


def _is_plain_name(file: Any) -> bool:
    return isinstance(file, str) and file.endswith(".safetensors") and Path(file).name == file and "\\" not in file


def _read_file(path: Path, *, eight_bits: bool) -> tuple[list[str], dict[str, str]]:
    """Check the header of one file; return its tensor names and metadata."""
    missing = "no such file, but the index next to it lists it"
    header = safetensors_header.read(path, missing=missing, eight_bits=eight_bits)
    if not header.entries:
        raise UserError(f"{path}: contains no tensors; name another checkpoint")
    return list(header.entries), header.metadata
