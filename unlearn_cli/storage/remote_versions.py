"""Versions of a model behind a URL: a folder per version, and `current.json`, which names the current one."""

import json
from pathlib import Path
from typing import Any

from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.storage import regular_files
from unlearn_cli.storage.filesystems import open_filesystem, redact_url, translate_remote_errors

POINTER = "current.json"

Pointer = dict[str, Any]  # version: name of its folder; files: name -> SHA-256


def publish(folder: Path, url: str) -> Pointer:
    """Copy a version's folder to URL/NAME, then write URL/current.json, unless it already names this version.

    A reader of current.json always finds a complete version, the old or the new one, and its digests.

    Raises:
        UserError: access is denied, or the library for such URLs is not installed.
        ResourceError: the remote cannot be reached, or a copied file is incomplete.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    pointer = {"version": folder.name, "files": {name: regular_files.sha256(folder / name) for name in names}}
    if read_pointer(url) == pointer:
        return pointer
    system, root = open_filesystem(url)
    with translate_remote_errors(url):
        _put(system, folder, f"{root}/{folder.name}", names, url)
        # A transaction, because on some file systems readers can see half-written files.
        with system.transaction, system.open(f"{root}/{POINTER}", "wb") as file:
            file.write((json.dumps(pointer, sort_keys=True, indent=2) + "\n").encode())
    return pointer


def read_pointer(url: str) -> Pointer | None:
    """Read URL/current.json; None if it does not exist.

    Raises:
        UserError: a file of this name was not written by this tool, or as `publish`.
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
            f"{redact_url(url)}: {POINTER} was not written by unlearn-cli, so it is not replaced; choose another URL"
        )
    return pointer


def withdraw(url: str, version: str) -> bool:
    """Remove a version that is not current; return whether it existed.

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

    if isinstance(system, LocalFileSystem):  # other file systems create folders themselves, or have none
        for name in names:
            system.makedirs(f"{target}/{name}".rpartition("/")[0], exist_ok=True)
    system.put([str(folder / name) for name in names], [f"{target}/{name}" for name in names])
    system.invalidate_cache()
    lost = [name for name in names if system.info(f"{target}/{name}")["size"] != (folder / name).stat().st_size]
    if lost:
        raise ResourceError(f"{redact_url(url)}: {lost[0]} was copied incompletely; run the same command again")
