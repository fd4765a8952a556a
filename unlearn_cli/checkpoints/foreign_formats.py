"""Recognises the format of a checkpoint by its content, without torch."""

import re
from pathlib import Path

from unlearn_cli.checkpoints.unsupported_weights import MERGE_ADAPTER, NO_INDEX
from unlearn_cli.errors import UserError
from unlearn_cli.storage.foreign_texts import find_text
from unlearn_cli.storage.regular_files import open_regular
from unlearn_cli.storage.remote import locate

NAMES = (  # in a folder, in this order
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    ".metadata",
)
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar", ".pkl", ".index.json", ".metadata")
ADAPTER = "adapter_config.json"
TAR = 257  # the offset of its mark
ZIP, PICKLE = b"PK\x03\x04", b"\x80"  # the first bytes of files of torch.save, new and old
LONGEST = 2**40  # bytes of a safetensors header; eight letters of a text are a larger number
START = 512  # bytes by which a format is recognised
OTHERS = {  # suffixes of formats without marks
    ".onnx": "ONNX",
    ".msgpack": "Flax",
    ".pb": "TensorFlow",
    ".tflite": "TensorFlow Lite",
    ".mlmodel": "Core ML",
}
PART = re.compile(r"-(\d{5})-of-(\d{5})\.")  # in the name of a file of a sharded checkpoint
FOREIGN = {  # first bytes of files that look like checkpoints
    b"\x89HDF": "is an HDF5 file (Keras); convert it with the library that wrote it",
    b"<": "is a web page or XML, not a checkpoint; fetch the file again",
    b"\x1f\x8b": "is compressed with gzip; decompress it first",
    b"GGUF": "is a GGUF file, whose weights are quantised; convert the original checkpoint",
    b"\x93NUMPY": "is a NumPy array; save a state dict with torch.save",
}


def find_checkpoint(path: Path) -> Path:
    """Return the file of a checkpoint: itself, or the one in a folder (for a distributed checkpoint `.metadata`).

    Raises:
        UserError: a folder has none or several.
    """
    path = locate(path)
    if not path.is_dir():
        return path
    for name in NAMES:
        if (path / name).is_file():
            return path / name
    if (path / ADAPTER).is_file():
        raise UserError(f"{path}: is an adapter (LoRA or another of PEFT) without its network; {MERGE_ADAPTER}")
    files = sorted(
        file for file in path.iterdir() if file.name.lower().endswith(SUFFIXES) and not file.name.startswith(".")
    )
    if any(describe_part(file) for file in files):
        raise UserError(f"{path}: {NO_INDEX}")
    if len(files) != 1:
        listed = ", ".join(file.name for file in files[:5]) or f"no file with {', '.join(SUFFIXES)}"
        raise UserError(f"{path}: the folder has {listed}; name a checkpoint file")
    return files[0]


def has_checkpoint(folder: Path) -> bool:
    """Whether a folder contains the files of a checkpoint, directly in it."""
    return any((folder / name).is_file() for name in (*NAMES, ADAPTER)) or any(
        is_checkpoint_name(file.name) for file in folder.iterdir() if not file.name.startswith(".")
    )


def is_checkpoint_name(name: str) -> bool:
    """Whether a file is a checkpoint by its name; `.tar` only after another suffix: shards of data are archives."""
    lowered = name.lower()
    return lowered.endswith(SUFFIXES) and (not lowered.endswith(".tar") or Path(lowered).stem.endswith(SUFFIXES))


def recognise(path: Path) -> str:
    """Return the format of a checkpoint file.

    Raises:
        UserError: it is not a regular file, or not a checkpoint of a supported format.
    """
    if path.name == ".metadata":
        return "distributed"
    if path.name.endswith(".index.json"):
        return "sharded torch.save" if ".bin." in path.name else "sharded safetensors"
    with open_regular(path) as file:
        start = file.read(START)
    if reason := explain_content(start):
        raise UserError(f"{path}: {reason}")
    is_torch = is_torch_file(start)
    if path.suffix == ".distcp":
        raise UserError(f"{path}: is a part of a distributed checkpoint; name its folder, which has .metadata")
    if not is_torch and (library := OTHERS.get(path.suffix.lower())):
        raise UserError(f"{path}: is a file of {library}; convert it with the library that wrote it")
    return "safetensors" if is_safetensors(start) or (path.suffix == ".safetensors" and not is_torch) else "torch.save"


def is_safetensors(start: bytes) -> bool:
    """Whether a file begins as safetensors: eight bytes with the length of the header, then the header in JSON.

    The length is tested first of all formats: its bytes can be those of any other mark, such as `<` for 60.
    """
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") < LONGEST


def is_torch_file(start: bytes) -> bool:
    """Whether a file begins as those of torch.save, new and old."""
    return start.startswith((ZIP, PICKLE)) and not is_safetensors(start)


def explain_content(start: bytes) -> str | None:
    """Return what a file is instead of a checkpoint, by its first START bytes; None if it may be a checkpoint."""
    if not start:
        return "is empty; fetch it again"
    if is_safetensors(start):
        return None
    if text := find_text(start):
        return f"is {text}" if ";" in text else f"is {text}, not a checkpoint; fetch the file again"
    for mark, reason in FOREIGN.items():
        if start.startswith(mark):
            return reason
    if start[TAR : TAR + 5] == b"ustar":
        return "is a tar archive; unpack it, and convert the checkpoint in it"
    return (
        "is a text file, such as the message of a server, not a checkpoint; fetch it again" if _is_text(start) else None
    )


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < START - 3:  # otherwise the last letter is cut
            return False
        text = start[: error.start].decode()
    return all(letter.isprintable() or letter.isspace() for letter in text.removeprefix("\ufeff"))


def describe_part(path: Path) -> str | None:
    """Return which part of a sharded checkpoint a file is by its name; None if it is not one of several."""
    match = PART.search(path.name)
    return f"part {int(match[1])} of {int(match[2])}" if match and int(match[2]) > 1 else None
