"""Files and folders behind URLs (`s3://`, `gs://`, ...): copies here, fetched again when the remote has changed."""

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

# What changes when an object does, as file systems call it: checksums first, second best the time.
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

MOST_STATE = 2**28  # bytes of what is noted of the files of a URL

Version = dict[str, str] | None  # None: the file system does not tell


def parse_url(path: Path) -> str | None:
    """Return the URL that was written where a path is expected: as a path, `s3://bucket/a` has lost one slash."""
    match = re.fullmatch(r"([a-z][a-z0-9+.-]+):/+(.+)", path.as_posix())
    return match and f"{match[1]}://{'/' if match[1] == 'file' else ''}{match[2]}"


def locate(path: Path, folder: Path = Path()) -> Path:
    """Return where a path of a manifest or the command line lies: below the folder, or, of a URL, where its copy is.

    Raises:
        UserError, ResourceError: as `fetch`.
    """
    url = parse_url(path)
    if url is None:
        return folder / path
    if path.name.endswith(".index.json"):  # of a divided checkpoint, whose other files lie beside it
        return locate(path.parent) / path.name
    for part in expand_range(path):
        fetch_once(parse_url(part) or url)
    return _copy_path(url, cache_folder())


def list_copies(path: Path) -> list[Path]:
    """Return the copies that there are of what a path names: none when it is no URL."""
    urls = [url for part in expand_range(path) if (url := parse_url(part))]
    return [copy for url in urls if (copy := _copy_path(url, cache_folder())).exists()]


@functools.cache
def fetch_once(url: str) -> Path:
    """Fetch a URL into the cache; once a process, so that all that it reads is of one version.

    Raises:
        UserError, ResourceError: as `fetch`.
    """
    return fetch(url, cache_folder())


def cache_folder() -> Path:
    """Return where copies are kept: UNLEARN_CLI_CACHE, or a folder in the user's own for caches."""
    if given := os.environ.get("UNLEARN_CLI_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unlearn_cli"


def fetch(url: str, folder: Path) -> Path:
    """Return the copy, below a folder, of the file or folder that a URL names; files that are unchanged are kept.

    The new copy takes the place of the old one as a whole.

    Raises:
        UserError: there is no such object, it may not be read, or what reads such URLs is not installed.
        ResourceError: the remote is not reached, or the object changed meanwhile.
    """
    from filelock import FileLock

    system, root = open_filesystem(url)
    copy = _copy_path(url, folder)
    for own in (folder, copy.parent):
        _make_private(own)
    with FileLock(_beside(copy, "lock")):
        atomic_files.tidy_up(copy)
        remote_versions, local_versions = _list_versions(system, root, url), _read_versions(copy)
        stale = [
            name for name, version in remote_versions.items() if version is None or local_versions.get(name) != version
        ]
        stale += _list_changed(copy, [name for name in remote_versions if name not in stale])
        if stale or local_versions.keys() != remote_versions.keys():
            console.say(f"fetching {redact_url(url)}: {len(stale)} of {pluralize(len(remote_versions), 'file')}")
            if copy.is_dir() == ("" in remote_versions):  # a folder became a file, or the other way
                remove_copy(url, folder)
            with (
                atomic_files.output_file(copy)
                if "" in remote_versions
                else atomic_files.new_folder(copy, flush=False) as new
            ):
                _link(copy, new, [name for name in remote_versions if name not in stale])
                _get(system, root, url, new, stale, remote_versions)
                _beside(copy, "json").unlink(missing_ok=True)  # until the new copy is there, nothing is known of it
            os.sync()  # of ten thousand files it takes a second; one after the other, half a minute
            with atomic_files.output_file(_beside(copy, "json")) as state:
                state.write_text(
                    json.dumps({"files": remote_versions, "sha256": _make_private_and_digest(copy, remote_versions)}),
                    encoding="utf-8",
                )
    return copy


def _make_private(folder: Path) -> None:
    """Make a folder that its owner alone may use: the copies are data about people, and what is read is believed.

    Raises:
        UserError: it is of another user.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid():
        raise UserError(f"{folder}: belongs to another user, who could change what is read; set UNLEARN_CLI_CACHE")
    if status.st_mode & 0o077:
        folder.chmod(0o700)


def _make_private_and_digest(copy: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of the files of a copy; from now on only their owner may read them."""
    for name in names:
        (copy / name).chmod(0o600)
    return {name: regular_files.sha256(copy / name) for name in names}


def _list_changed(copy: Path, names: list[str]) -> list[str]:
    """Return the files of a copy that are not as they were fetched."""
    digests = _state(copy)["sha256"]
    return [
        name for name in names if not _is_file(copy / name) or regular_files.sha256(copy / name) != digests.get(name)
    ]


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def remove_copy(url: str, folder: Path) -> bool:
    """Remove the copy of a URL, which may still hold what was forgotten; say whether there was one."""
    copy = _copy_path(url, folder)
    _beside(copy, "json").unlink(missing_ok=True)
    if not copy.exists():
        return False
    shutil.rmtree(copy) if copy.is_dir() else copy.unlink()
    return True


def _copy_path(url: str, folder: Path) -> Path:
    """Return where the copy lies: those of one remote folder lie in one, so that a name with a range fits them all."""
    address, _, query = url.partition("?")
    parent, _, name = address.rstrip("/").rpartition("/")
    return folder / hashlib.sha256(f"{parent}?{query}".encode()).hexdigest()[:32] / name


def _beside(copy: Path, suffix: str) -> Path:
    return copy.with_name(f".{copy.name}.{suffix}")


def _list_versions(system: Any, root: str, url: str) -> dict[str, Version]:
    """Return the version of each file by its name below the URL; a URL of a file has one, by the name ''."""
    with translate_remote_errors(url):
        system.invalidate_cache()
        info = system.info(root)
        if info["type"] != "directory":
            return {"": _version(info)}
        listed = system.find(root, detail=True)
    names = {key: key[len(root) :].lstrip("/") for key, entry in listed.items() if entry["type"] == "file"}
    outside = [name for name in names.values() if ".." in PurePosixPath(name).parts or "\\" in name]
    if outside or not names:
        reason = f"the name '{outside[0]}' leads out of the folder" if outside else "the folder is empty"
        raise UserError(f"{redact_url(url)}: {reason}; name another")
    return {name: _version(listed[key]) for key, name in names.items()}


def _version(info: dict[str, Any]) -> Version:
    mark = next((mark for mark in MARKS if info.get(mark)), None)
    return None if mark is None else {key: str(info[key]) for key in ("size", mark) if info.get(key) is not None}


def _read_versions(copy: Path) -> dict[str, Version]:
    """Return the versions that the copy is of; nothing when it may not be whole."""
    return _state(copy)["files"] if copy.exists() else {}


def _state(copy: Path) -> dict[str, dict[str, Any]]:
    """Return versions and digests of the files of a copy; none where they were not written as a whole."""
    path = _beside(copy, "json")
    try:
        state = json_text.read(regular_files.read_regular(path, MOST_STATE)) if _is_file(path) else None
    except (ValueError, UserError):  # damaged: all is fetched again
        state = None
    parts = {"files", "sha256"}
    if isinstance(state, dict) and state.keys() == parts and all(isinstance(state[part], dict) for part in parts):
        return state
    return {"files": {}, "sha256": {}}


def _link(old: Path, new: Path, names: list[str]) -> None:
    """Take unchanged files over from the old copy."""
    for name in names:
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(old / name, new / name)


def _get(system: Any, root: str, url: str, new: Path, names: list[str], versions: dict[str, Version]) -> None:
    """Fetch files, and make sure that they are what was listed."""
    for name in names:
        (new / name).parent.mkdir(parents=True, exist_ok=True)
    with translate_remote_errors(url):
        system.get([f"{root}/{name}" if name else root for name in names], [str(new / name) for name in names])
    arrived = {name: str((new / name).stat().st_size) for name in names}
    cut = [name for name, size in arrived.items() if (versions[name] or {}).get("size", size) != size]
    if cut or _list_versions(system, root, url) != versions:
        raise ResourceError(f"{redact_url(url)}: changed while it was fetched; run the same command again")
