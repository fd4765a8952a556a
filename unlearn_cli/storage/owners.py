"""Which process made a file or folder, and does it live? On a shared folder a number may be that of another host.

The name of what is half-written ends in its maker: number and start time of the process, its host, the host's boot.
"""

import functools
import hashlib
import os
import re
import secrets
from dataclasses import astuple, dataclass
from pathlib import Path

# A process by itself is the form of earlier versions, which is taken for one of this host.
PATTERN = "([0-9]{1,9})(?:-([0-9a-f]{1,16})-([0-9a-f]{8})-([0-9a-f]{8})-[0-9a-f]{8})?"


@dataclass(frozen=True)
class Owner:
    """A process: its number and start time, and digests of its host (and space of process numbers) and of the boot."""

    process: int
    start: int | None = None
    host: int | None = None
    boot: int | None = None

    @property
    def is_here(self) -> bool:
        """Say whether this host can tell if the process lives."""
        return self.host in (None, host_digest())

    @property
    def has_ended(self) -> bool:
        """Say whether the process was one of this host and lives no more."""
        if not self.is_here:
            return False
        if self.start is None and self.process == os.getpid():  # an earlier process, which had this one's number
            return True
        if self.boot not in (None, boot_digest()) or not _is_running(self.process):
            return True
        return self.start is not None and start_time(self.process) not in (None, self.start)


def format_suffix(owner: Owner, number: int) -> str:
    """Return the end of a name: the owner, and a number that nobody can guess."""
    process, start, machine, session = astuple(owner)
    return f"{process}-{start or 0:x}-{machine:08x}-{session:08x}-{number:08x}"


def new_suffix() -> str:
    """Return the end of a name of this process that nobody can guess."""
    return format_suffix(current_owner(), secrets.randbits(32))


def parse(text: str) -> Owner | None:
    """Return the owner that the end of a name tells; None when it is no such end."""
    match = re.fullmatch(PATTERN, text)
    if match is None:
        return None
    return Owner(int(match[1]), *(None if part is None else int(part, 16) for part in match.groups()[1:]))


def current_owner() -> Owner:
    """Return this process."""
    return Owner(os.getpid(), start_time(os.getpid()) or 0, host_digest(), boot_digest())


@functools.cache
def host_digest() -> int:
    """Return a digest of the host's names, and of the space of process numbers: each container has its own."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return _digest(f"{os.uname().nodename} {_read('/etc/machine-id')} {space}")


@functools.cache
def boot_digest() -> int:
    return _digest(_read("/proc/sys/kernel/random/boot_id"))


def start_time(process: int) -> int | None:
    """Return when a process of this host began, in ticks since the boot; None where nothing tells."""
    fields = _read(f"/proc/{process}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else None


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's process: it lives
        return True
    return True


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:4])


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
