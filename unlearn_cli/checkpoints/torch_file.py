"""Reads files of torch.save without running code: tensors are read, every other object becomes a stub."""

import mmap
import struct
import warnings
import zipfile
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import torch

from unlearn_cli.checkpoints.foreign_formats import SUFFIXES, ZIP
from unlearn_cli.checkpoints.pickle_scan import PROTOCOL, Scan, find_dangerous, scan_pickle
from unlearn_cli.checkpoints.stubs import make_stub_class
from unlearn_cli.errors import UserError
from unlearn_cli.storage.regular_files import open_regular

LAYERS = "torch.nn.modules."  # the names of classes in a pickled network
MOST_NAMES = 1000  # of classes and functions in a pickle; torch's reader compares each call with all of them
MOST_PICKLE = 2**28  # bytes of the pickle in a file, which has the names and shapes of tensors
LEGACY_PICKLES = 4  # magic number, version, facts about the system, content; the storages follow
SMALL_FILE = 2**28  # bytes; a smaller file that does not fit into memory declares objects that it does not have
BROKEN = (ValueError, EOFError, OverflowError, NotImplementedError, RuntimeError, struct.error, zipfile.BadZipFile)
ADVICE = "in the program that wrote it, save model.state_dict() with torch.save, and convert that"


def read_torch_file(path: Path) -> Any:
    """Return the content of a file of torch.save, with tensors on the CPU and stubs for objects of other classes.

    The reader is torch's, with `weights_only=True`: it creates tensors and plain containers, and calls nothing else.
    The names of all other classes and functions in the pickle are registered as stubs before.

    Raises:
        UserError: the file is broken, was not written by torch.save, or contains what no stub can replace.
    """
    with open_regular(path) as file:
        return read_torch_stream(file, path)


def read_torch_stream(file: BinaryIO, path: Path) -> Any:
    """Do the same for an open file; `path` is for messages."""
    scans = _scan(file, path)
    names = set[str]().union(*(scan.names for scan in scans))
    if dangerous := find_dangerous(names):
        raise UserError(f"{path}: refers to {dangerous}, which could run code; do not use this file")
    if len(names) > MOST_NAMES:
        raise UserError(f"{path}: refers to {len(names)} classes; expected at most {MOST_NAMES}; {ADVICE}")
    file.seek(0)
    with torch.serialization.safe_globals([(make_stub_class(name), name) for name in sorted(names)]):
        return _load(file, path, names)


def _load(file: BinaryIO, path: Path, names: Collection[str]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's warnings have several lines
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise  # reported by `errors.translate_resource_errors`: the file is not the cause
    except MemoryError:
        if path.stat().st_size >= SMALL_FILE:
            raise
        raise UserError(f"{path}: is broken (it declares objects larger than the file); fetch it again") from None
    except Exception as error:
        # The only broad `except`: for broken files, torch's reader raises IndexError, TypeError, struct.error,
        # AssertionError and more. Its own message advises to load the file with code execution.
        if any(name.startswith(LAYERS) for name in names):
            raise UserError(
                f"{path}: is a whole network (torch.save(model)), which only its own code can read; {ADVICE}"
            ) from None
        reason = f"torch's reader of weights stops with {type(error).__name__}"
        raise UserError(f"{path}: is broken, or contains more than weights ({reason}); {ADVICE}") from None


def _scan(file: BinaryIO, path: Path) -> list[Scan]:
    """Read the opcodes of the file's pickles."""
    try:
        scans = _scan_zip(file, path) if file.read(len(ZIP)) == ZIP else _scan_legacy(file, path)
    except zipfile.BadZipFile:
        raise UserError(f"{path}: is a damaged archive, perhaps cut off; fetch it again") from None
    except (*BROKEN, OSError) as error:
        raise UserError(f"{path}: is broken, or was not written by torch.save ({_shorten(error)}); {ADVICE}") from None
    if wrong := next((scan.protocol for scan in scans if scan.protocol > PROTOCOL), None):
        raise UserError(
            f"{path}: is pickled with protocol {wrong}; expected {PROTOCOL}, the default of torch.save; {ADVICE}"
        )
    return scans


def _scan_zip(file: BinaryIO, path: Path) -> list[Scan]:
    """Check the archive of a file of torch.save; read the opcodes of its pickle."""
    with closing(zipfile.ZipFile(file)) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if len({name.casefold() for name in members}) != len(archive.infolist()):
            raise ValueError("a zip archive that contains a name twice")
        if any(name.endswith("/constants.pkl") for name in members):
            raise UserError(
                f"{path}: is a TorchScript archive, which contains code; save torch.jit.load(...).state_dict() with "
                "torch.save, and convert that"
            )
        pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise UserError(f"{path}: {_describe_archive(members, len(pickles))}")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise ValueError("a zip archive with compressed files, which torch.save does not write")
        if members[pickles[0]].file_size > MOST_PICKLE:
            raise ValueError(f"data.pkl has more than {MOST_PICKLE} bytes")
        with closing(mmap.mmap(-1, max(1, members[pickles[0]].file_size))) as memory:
            memory.write(archive.read(pickles[0]))
            memory.seek(0)
            return [scan_pickle(memory)]


def _describe_archive(names: Iterable[str], pickles: int) -> str:
    """Return what a zip archive is that torch.save did not write."""
    if any(name.endswith(".npy") for name in names):
        return "is an archive of NumPy arrays (npz); save them as a state dict of tensors with torch.save"
    if any(name.endswith("/archive_format") for name in names):
        return "is a program of torch.export; save the state_dict() of its module with torch.save, and convert that"
    if any(name.endswith(".h5") for name in names):
        return "is a Keras archive; convert it with the library that wrote it"
    if inner := next((name for name in names if name.endswith(SUFFIXES)), None):
        return f"is a zip archive; unpack it, and convert the checkpoint in it, {inner!a}"
    return f"is a zip archive with {pickles} files data.pkl, so torch.save did not write it; expected 1"


def _scan_legacy(file: BinaryIO, path: Path) -> list[Scan]:
    """Read the opcodes of a file in the format before torch 1.6: several pickles, then the bytes of the tensors."""
    with closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as memory:
        scans = [scan_pickle(memory)]
        if memory.tell() == len(memory):
            raise UserError(f"{path}: is a pickle, but not one of torch.save; {ADVICE}")
        return [*scans, *(scan_pickle(memory) for _ in range(LEGACY_PICKLES - 1))]


def _shorten(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
