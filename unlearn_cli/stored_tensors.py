"""The digest of a checkpoint's tensors, read from its files as they lie, without torch."""

import hashlib
import json
import mmap
from pathlib import Path
from typing import Any

from unlearn_cli.checkpoint_header import Header
from unlearn_cli.errors import UserError

# As safetensors names the types, and as torch does, whose names are part of the digest.
TYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip
CHUNK = 2**24  # bytes that are hashed at a time


def tensor_digest(header: Header) -> str:
    """Return what `checkpoint.tensor_digest` does of the same tensors: the SHA-256 over name, type, shape and bytes.

    Raises:
        UserError: a tensor is of a type that torch may not know.
    """
    places = {file.name: _places(file) for file in header.files}
    digest = hashlib.sha256()
    for name in sorted(header.layout):
        file = header.files[0].parent / header.layout[name]
        described, start = places[file.name][name]
        if described["dtype"] not in TYPES:
            raise UserError(f"{file}: {name} is of type {described['dtype']}; expected one of {', '.join(TYPES)}")
        digest.update(f"{name}|torch.{TYPES[described['dtype']]}|{described['shape']}|".encode())
        first, last = described["data_offsets"]
        _add(digest, file, start + first, start + last)
    return digest.hexdigest()


def _places(file: Path) -> dict[str, tuple[dict[str, Any], int]]:
    """Return what the header says of each tensor, and where the tensors begin."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length))
    return {name: (described, 8 + length) for name, described in header.items() if name != "__metadata__"}


def _add(digest: Any, file: Path, first: int, last: int) -> None:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for start in range(first, last, CHUNK):
            digest.update(mapped[start : min(start + CHUNK, last)])
