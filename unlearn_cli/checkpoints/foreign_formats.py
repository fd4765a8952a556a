"""Recognises the format of a checkpoint by its content, without torch."""

from pathlib import Path

from unlearn_cli.errors import UserError
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
FOREIGN = {  # first bytes of files that look like checkpoints
    b"\x89HDF": "is an HDF5 file (Keras); convert it with the library that wrote it",
    b"version https://git-lfs": "is a pointer of Git LFS, not the file itself; fetch it with 'git lfs pull'",
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
        raise UserError(
            f"{path}: is an adapter (LoRA/PEFT), not a whole network; merge it with peft's merge_and_unload(), and "
            "save the result"
        )
    files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES) and not file.name.startswith("."))
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
    return name.endswith(SUFFIXES) and (not name.endswith(".tar") or Path(name).stem.endswith(SUFFIXES))


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
        start = file.read(512)
    if not start:
        raise UserError(f"{path}: is empty; fetch it again")
    for mark, reason in FOREIGN.items():
        if start.startswith(mark):
            raise UserError(f"{path}: {reason}")
    if start[TAR : TAR + 5] == b"ustar":
        raise UserError(f"{path}: is a tar archive; unpack it, and convert the checkpoint in it")
    return "safetensors" if path.suffix == ".safetensors" or start[8:9] == b"{" else "torch.save"
