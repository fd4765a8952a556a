"""Files and folders behind URLs (`s3://`, `gs://`, ...): local copies, fetched again when the remote has changed."""

import functools
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from unlearn_cli import console
from unlearn_cli.console import pluralize
from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.storage import atomic_files, json_text, regular_files
from unlearn_cli.storage.filesystems import open_filesystem, redact_url, translate_remote_errors
from unlearn_cli.storage.path_patterns import expand_range
from unlearn_cli.storage.path_variables import expand_path

# Fields of file systems that change with an object: checksums first, then times.
MARKS = (
    "ETag",
    "etag",
    "md5Hash",
    "crc32c",
    "checksum",
    "mtime",
    "LastModified",
    "last_modified",
    "updated",
    "created",
)

MOST_STATE = 2**28  # bytes of the file with versions and digests of a copy

Version = dict[str, str] | None  # None: the file system has no such field


def parse_url(path: Path) -> str | None:
    """Return the URL of a path that is one; as a Path, `s3://bucket/a` has lost one slash."""
    match = re.fullmatch(r"([a-z][a-z0-9+.-]+):/+(.+)", path.as_posix())
    return match and f"{match[1]}://{'/' if match[1] == 'file' else ''}{match[2]}"


def locate(path: Path, folder: Path = Path()) -> Path:
    """Return a local path for a path of a manifest or the command line: below `folder`, or the copy of a URL.

    Raises:
        UserError, ResourceError: as `fetch` and `expand_path`.
    """
    path = expand_path(path)
    url = parse_url(path)
    if url is None:
        return folder / path
    if path.name.endswith(".index.json"):  # of a sharded checkpoint, whose other files lie next to it
        return locate(path.parent) / path.name
    for part in expand_range(path):
        fetch_once(parse_url(part) or url)
    return _copy_path(url, cache_folder())


def list_copies(path: Path) -> list[Path]:
    """Return the existing copies of a path; none if it is not a URL."""
    urls = [url for part in expand_range(path) if (url := parse_url(part))]
    return [copy for url in urls if (copy := _copy_path(url, cache_folder())).exists()]


@functools.cache
def fetch_once(url: str) -> Path:
    """Fetch a URL into the cache, once per process, so that it reads only one version.

    Raises:
        UserError, ResourceError: as `fetch`.
    """
    return fetch(url, cache_folder())


def cache_folder() -> Path:
    """Return the folder of copies: UNLEARN_CLI_CACHE, or a folder in the user's cache folder."""
    if given := os.environ.get("UNLEARN_CLI_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unlearn_cli"


def fetch(url: str, folder: Path) -> Path:
    """Copy the file or folder of a URL below `folder` and return the copy; unchanged files are not fetched again.

    The new copy replaces the old one atomically.

    Raises:
        UserError: the object does not exist, access is denied, or the library for such URLs is not installed.
        ResourceError: the remote cannot be reached, or the object changed in the meantime.
    """
    from filelock import FileLock

    system, root = open_filesystem(url)
    copy = _copy_path(url, folder)
    for own in (folder, copy.parent):
        _make_private(own)
    with FileLock(_make_sibling_path(copy, "lock")):
        atomic_files.tidy_up(copy)
        remote_versions, local_versions = _list_versions(system, root, url), _read_versions(copy)
        stale = [
            name for name, version in remote_versions.items() if version is None or local_versions.get(name) != version
        ]
        stale += _list_changed(copy, [name for name in remote_versions if name not in stale])
        if stale or local_versions.keys() != remote_versions.keys():
            console.say(f"fetching {redact_url(url)}: {len(stale)} of {pluralize(len(remote_versions), 'file')}")
            if copy.is_dir() == ("" in remote_versions):  # a folder became a file, or the reverse
                remove_copy(url, folder)
            with (
                atomic_files.output_file(copy)
                if "" in remote_versions
                else atomic_files.new_folder(copy, flush=False) as new
            ):
                _link(copy, new, [name for name in remote_versions if name not in stale])
                _get(system, root, url, new, stale, remote_versions)
                _make_sibling_path(copy, "json").unlink(missing_ok=True)  # written again when the new copy is complete
            os.sync()  # takes a second for ten thousand files; fsync of each file takes half a minute
            with atomic_files.output_file(_make_sibling_path(copy, "json")) as state:
                state.write_text(
                    json.dumps({"files": remote_versions, "sha256": _make_private_and_digest(copy, remote_versions)}),
                    encoding="utf-8",
                )
    return copy


def _make_private(folder: Path) -> None:
    """Create a folder that only its owner may use: copies contain personal data and must not be changed by others.

    Raises:
        UserError: it belongs to another user.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid():
        raise UserError(
            f"{folder}: belongs to another user, who could change its files; set UNLEARN_CLI_CACHE to another folder"
        )
    if status.st_mode & 0o077:
        folder.chmod(0o700)


def _make_private_and_digest(copy: Path, names: Iterable[str]) -> dict[str, str]:
    """Make the files of a copy readable only by their owner; return their SHA-256."""
    for name in names:
        (copy / name).chmod(0o600)
    return {name: regular_files.sha256(copy / name) for name in names}


def _list_changed(copy: Path, names: list[str]) -> list[str]:
    """Return the files of a copy that have changed since they were fetched."""
    digests = _read_state(copy)["sha256"]
    return [
        name for name in names if not _is_file(copy / name) or regular_files.sha256(copy / name) != digests.get(name)
    ]


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def remove_copy(url: str, folder: Path) -> bool:
    """Remove the copy of a URL, which may contain forgotten records; return whether it existed."""
    copy = _copy_path(url, folder)
    _make_sibling_path(copy, "json").unlink(missing_ok=True)
    if not copy.exists():
        return False
    shutil.rmtree(copy) if copy.is_dir() else copy.unlink()
    return True


def _copy_path(url: str, folder: Path) -> Path:
    """Return the path of a URL's copy; copies of one remote folder share a folder, as a name with a range needs."""
    address, _, query = url.partition("?")
    parent, _, name = address.rstrip("/").rpartition("/")
    return folder / hashlib.sha256(f"{parent}?{query}".encode()).hexdigest()[:32] / name


def _make_sibling_path(copy: Path, suffix: str) -> Path:
    return copy.with_name(f".{copy.name}.{suffix}")


def _list_versions(system: Any, root: str, url: str) -> dict[str, Version]:
    """Return the version of each file by its name below the URL; if the URL is a file, its name is ''."""
    with translate_remote_errors(url):
        system.invalidate_cache()
        info = system.info(root)
        if info["type"] != "directory":
            return {"": _read_version(info)}
        listed = system.find(root, detail=True)
    names = {key: key[len(root) :].lstrip("/") for key, entry in listed.items() if entry["type"] == "file"}
    outside = [name for name in names.values() if ".." in PurePosixPath(name).parts or "\\" in name]
    if outside or not names:
        reason = f"the name '{outside[0]}' is outside of the folder" if outside else "the folder is empty"
        raise UserError(f"{redact_url(url)}: {reason}; name another URL")
    return {name: _read_version(listed[key]) for key, name in names.items()}


def _read_version(info: dict[str, Any]) -> Version:
    mark = next((mark for mark in MARKS if info.get(mark)), None)
    return None if mark is None else {key: str(info[key]) for key in ("size", mark) if info.get(key) is not None}


def _read_versions(copy: Path) -> dict[str, Version]:
    """Return the recorded versions of the copy's files; empty if the copy may be incomplete."""
    return _read_state(copy)["files"] if copy.exists() else {}


def _read_state(copy: Path) -> dict[str, dict[str, Any]]:
    """Return versions and digests of the files of a copy; empty if they are missing or damaged."""
    path = _make_sibling_path(copy, "json")
    try:
        state = json_text.read(regular_files.read_regular(path, MOST_STATE)) if _is_file(path) else None
    except (ValueError, UserError):  # damaged: all is fetched again
        state = None
    parts = {"files", "sha256"}
    if isinstance(state, dict) and state.keys() == parts and all(isinstance(state[part], dict) for part in parts):
        return state
    return {"files": {}, "sha256": {}}


def _link(old: Path, new: Path, names: list[str]) -> None:
    """Link unchanged files of the old copy into the new one."""
    for name in names:
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(old / name, new / name)


def _get(system: Any, root: str, url: str, new: Path, names: list[str], versions: dict[str, Version]) -> None:
    """Fetch files, and check that they have the listed versions."""
    for name in names:
        (new / name).parent.mkdir(parents=True, exist_ok=True)
    with translate_remote_errors(url):
        system.get([f"{root}/{name}" if name else root for name in names], [str(new / name) for name in names])
    arrived = {name: str((new / name).stat().st_size) for name in names}
    cut = [name for name, size in arrived.items() if (versions[name] or {}).get("size", size) != size]
    if cut or _list_versions(system, root, url) != versions:
        raise ResourceError(f"{redact_url(url)}: changed while it was fetched; run the same command again")
