"""The header of one safetensors file, checked before it is used or memory is allocated. No torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from unlearn_cli.checkpoints.foreign_formats import START, explain_content, is_torch_file
from unlearn_cli.errors import UserError
from unlearn_cli.storage import json_text, regular_files

MAX_HEADER, MAX_TENSORS = 2**25, 100_000  # bytes and tensors; the largest networks have some thousand tensors
BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
}
EIGHT_BITS = {"F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1}  # floating-point; `convert` reads them
SIZES = BYTES | EIGHT_BITS
ADVICE = "fetch it again, or 'unlearn-cli convert'"


@dataclass(frozen=True)
class Entry:
    """One tensor: `start` is the offset of its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class TensorHeader:
    entries: dict[str, Entry]
    metadata: dict[str, str]


def read(path: Path, source: str = "", *, missing: str = "no such file", eight_bits: bool = False) -> TensorHeader:
    """Read and check the header of a safetensors file; with `eight_bits`, floating-point numbers may have 8 bits.

    Raises:
        UserError: it is not a regular file or not an intact safetensors file, the header is too large, a name occurs
            twice, some bytes belong to no tensor, or a tensor has an unsupported type.
    """
    at = f"{source}: {path}" if source else f"{path}"
    with regular_files.open_regular(path, source, missing=missing) as file:
        start = file.read(START)
        if reason := _explain_content(start):
            raise UserError(f"{at}: is not an intact safetensors file: it {reason}")
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if MAX_HEADER < length < 2**32:
            flaw = f"a header of {length} bytes; expected at most {MAX_HEADER}"
            raise UserError(f"{at}: is not an intact safetensors file ({flaw}); {ADVICE}")
        content = file.read(length) if length <= MAX_HEADER else b""
    try:
        with safe_open(path, framework="numpy") as file:  # performs the checks of the library
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(f"{at}: is not an intact safetensors file ({error}); {ADVICE}") from None
    try:
        described = json_text.read(content)
        _check_types(described, at, SIZES if eight_bits else BYTES)
        entries = {
            name: _check_entry(name, facts, 8 + length) for name, facts in described.items() if name != "__metadata__"
        }
    except ValueError as error:
        raise UserError(f"{at}: {error}; the file is damaged, {ADVICE}") from None
    if len(entries) > MAX_TENSORS:
        raise UserError(f"{at}: contains {len(entries)} tensors; expected at most {MAX_TENSORS}")
    return TensorHeader(entries, metadata)


def _explain_content(start: bytes) -> str | None:
    if is_torch_file(start):
        return "was written by torch.save; 'unlearn-cli convert' reads it"
    return explain_content(start)


def _check_types(described: dict[str, Any], at: str, allowed: Mapping[str, int]) -> None:
    """Refuse tensors of a type that a network cannot be trained with.

    Raises:
        UserError: with the name of the first one.
    """
    types = {name: facts["dtype"] for name, facts in described.items() if name != "__metadata__"}
    wrong = next((name for name, kind in types.items() if kind not in allowed), None)
    if wrong is not None:
        advice = "'unlearn-cli convert' makes it float32" if types[wrong] in EIGHT_BITS else "save it as float32"
        raise UserError(f"{at}: '{wrong}' is of type {types[wrong]}; expected one of {', '.join(BYTES)}; {advice}")


def _check_entry(name: str, facts: Any, start: int) -> Entry:
    """Check the header of a tensor: its type and numbers that are too large, which the library does not check."""
    first, last = facts["data_offsets"]
    if math.prod(facts["shape"]) * SIZES[facts["dtype"]] != last - first or max(facts["shape"], default=0) >= 2**63:
        raise ValueError(f"'{name}' has shape {facts['shape']}, which does not fit its {last - first} bytes")
    return Entry(facts["dtype"], tuple(facts["shape"]), start + first)
