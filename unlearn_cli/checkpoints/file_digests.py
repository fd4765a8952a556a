"""The digest of a checkpoint's tensors, computed from its files without torch."""

import hashlib
import math
import mmap
from pathlib import Path
from typing import Any

from unlearn_cli.checkpoints import safetensors_header
from unlearn_cli.checkpoints.checkpoint_header import Header

# Names of types in safetensors and in torch; torch's names are part of the digest.
TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
CHUNK = 2**24  # bytes that are hashed at a time


def tensor_digest(header: Header) -> str:
    """Return the same digest as `checkpoint.tensor_digest`: the SHA-256 of name, type, shape and bytes.

    Raises:
        UserError: as `safetensors_header.read`.
    """
    headers = {file.name: (file, safetensors_header.read(file)) for file in header.files}
    digest = hashlib.sha256()
    for name in sorted(header.layout):
        file, described = headers[header.layout[name]]
        entry = described.entries[name]
        digest.update(f"{name}|torch.{TYPES[entry.dtype]}|{list(entry.shape)}|".encode())
        _add(digest, file, entry.start, entry.start + math.prod(entry.shape) * safetensors_header.BYTES[entry.dtype])
    return digest.hexdigest()


def _add(digest: Any, file: Path, first: int, last: int) -> None:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for start in range(first, last, CHUNK):
            digest.update(mapped[start : min(start + CHUNK, last)])
