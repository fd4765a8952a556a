"""Owners of files and folders: which process wrote them, and whether it still runs.

The names of half-written files end in their owner: number and start time of the process, its host and the host's boot.
The host is needed because the same process number may exist on several hosts that share a folder.
"""

import functools
import hashlib
import os
import re
import secrets
from dataclasses import astuple, dataclass
from pathlib import Path

# Earlier versions wrote only the process number; such a process counts as one of this host.
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
        """Whether the process belongs to this host, so that its end can be detected."""
        return self.host in (None, host_digest())

    @property
    def has_ended(self) -> bool:
        """Whether the process belonged to this host and has ended."""
        if not self.is_here:
            return False
        if self.start is None and self.process == os.getpid():  # an earlier process with the number of this one
            return True
        if self.boot not in (None, boot_digest()) or not _is_running(self.process):
            return True
        return self.start is not None and start_time(self.process) not in (None, self.start)


def format_suffix(owner: Owner, number: int) -> str:
    """Return the suffix of a name: the owner and a random number."""
    process, start, machine, session = astuple(owner)
    return f"{process}-{start or 0:x}-{machine:08x}-{session:08x}-{number:08x}"


def make_suffix() -> str:
    """Return a new suffix of this process, which cannot be guessed."""
    return format_suffix(describe_current_owner(), secrets.randbits(32))


def parse(text: str) -> Owner | None:
    """Parse the owner in the suffix of a name; None if it is not such a suffix."""
    match = re.fullmatch(PATTERN, text)
    if match is None:
        return None
    return Owner(int(match[1]), *(None if part is None else int(part, 16) for part in match.groups()[1:]))


def describe_current_owner() -> Owner:
    """Return this process as an owner."""
    return Owner(os.getpid(), start_time(os.getpid()) or 0, host_digest(), boot_digest())


@functools.cache
def host_digest() -> int:
    """Return a digest of the host's names and of its process-number namespace, which each container has."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return _digest(f"{os.uname().nodename} {_read('/etc/machine-id')} {space}")


@functools.cache
def boot_digest() -> int:
    return _digest(_read("/proc/sys/kernel/random/boot_id"))


def start_time(process: int) -> int | None:
    """Return the start time of a process of this host, in ticks since the boot; None if it is unknown."""
    fields = _read(f"/proc/{process}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else None


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # a running process of another user
        return True
    return True


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:4])


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
