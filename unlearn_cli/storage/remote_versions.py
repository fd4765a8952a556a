"""Versions of a model behind a URL: a folder a version, and `current.json`, which says which one to take."""

import json
from pathlib import Path
from typing import Any

from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.storage import regular_files
from unlearn_cli.storage.filesystems import open_filesystem, redact_url, translate_remote_errors

POINTER = "current.json"

Pointer = dict[str, Any]  # version: name of its folder; files: name -> SHA-256


def publish(folder: Path, url: str) -> Pointer:
    """Copy a version's folder to URL/NAME, then write URL/current.json; nothing is copied when that names it already.

    Whoever follows the pointer finds all of a version, the old or the new one, and can check the digests in it.

    Raises:
        UserError: the place may not be written, or what writes there is not installed.
        ResourceError: the remote is not reached, or what arrived is not what was sent.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    pointer = {"version": folder.name, "files": {name: regular_files.sha256(folder / name) for name in names}}
    if read_pointer(url) == pointer:
        return pointer
    system, root = open_filesystem(url)
    with translate_remote_errors(url):
        _put(system, folder, f"{root}/{folder.name}", names, url)
        # A transaction, since there are file systems where a reader would see half of what is being written.
        with system.transaction, system.open(f"{root}/{POINTER}", "wb") as file:
            file.write((json.dumps(pointer, sort_keys=True, indent=2) + "\n").encode())
    return pointer


def read_pointer(url: str) -> Pointer | None:
    """Return what URL/current.json says; None when there is none.

    Raises:
        UserError: somebody else wrote a file of this name there, or as `publish`.
        ResourceError: as `publish`.
    """
    system, root = open_filesystem(url)
    path = f"{root}/{POINTER}"
    with translate_remote_errors(url):
        system.invalidate_cache()
        text = system.cat_file(path) if system.exists(path) else None
    try:
        pointer = None if text is None else json.loads(text)
    except ValueError:
        pointer = {}
    if pointer is not None and not (isinstance(pointer, dict) and pointer.keys() == {"version", "files"}):
        raise UserError(
            f"{redact_url(url)}: its {POINTER} is not one of ours, so it is not replaced; choose another place"
        )
    return pointer


def withdraw(url: str, version: str) -> bool:
    """Remove a version that the pointer does not name, and so what it still holds; say whether there was one.

    Raises:
        UserError, ResourceError: as `publish`.
    """
    assert (read_pointer(url) or {}).get("version") != version
    system, root = open_filesystem(url)
    with translate_remote_errors(url):
        exists = system.exists(f"{root}/{version}")
        if exists:
            system.rm(f"{root}/{version}", recursive=True)
    return exists


def _put(system: Any, folder: Path, target: str, names: list[str], url: str) -> None:
    from fsspec.implementations.local import LocalFileSystem

    if isinstance(system, LocalFileSystem):  # the others make folders themselves, or have none
        for name in names:
            system.makedirs(f"{target}/{name}".rpartition("/")[0], exist_ok=True)
    system.put([str(folder / name) for name in names], [f"{target}/{name}" for name in names])
    system.invalidate_cache()
    lost = [name for name in names if system.info(f"{target}/{name}")["size"] != (folder / name).stat().st_size]
    if lost:
        raise ResourceError(f"{redact_url(url)}: {lost[0]} did not arrive whole; run the same command again")
