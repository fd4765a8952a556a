"""The folder that requests are dropped into: what is read of it, what the ledger is told, where files go in the end.

A file stays where it is until all its requests have ended, so that a killed run loses none of them. Writers rename
their file into the folder when it is complete; names that stand for half-written files are left alone.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from unlearn_cli import console
from unlearn_cli.batch.ledger import clock
from unlearn_cli.batch.ledger.ledger_state import LedgerState, RequestState, fold
from unlearn_cli.batch.ledger.store import Ledger
from unlearn_cli.batch.requests.deletion_request import Request, RequestEntry
from unlearn_cli.batch.requests.filing import REASON, move_file
from unlearn_cli.batch.requests.request_files import READERS, printable_name, read_request_file
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.errors import UserError, resources

MAX_FILES = 10_000  # the youngest wait for the next run
DONE, SET_ASIDE = "done", "set_aside"
ENDED_OTHERWISE = ("set_aside", "closed")  # states of a request that may come again
AHEAD = timedelta(days=1)  # by so much the clock of who wrote a request may be ahead


@dataclass(frozen=True)
class InboxFile:
    """A file of the inbox; `arrival` tells two files of one name apart, and a file from itself put in again."""

    path: Path
    arrival: str
    entries: list[RequestEntry]

    @property
    def name(self) -> str:
        return printable_name(self.path)


def read(folder: Path, key: bytes) -> list[InboxFile]:
    """Return the files that are complete, by name; what changes or vanishes meanwhile waits for the next run.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; make it, requests are dropped there")
    with resources(folder):
        oldest = sorted(_complete(folder))[:MAX_FILES]
        return [file for path in sorted(path for _, path in oldest) if (file := _read(path, key))]


def _complete(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield the files that are no half-written ones, with the time of their arrival."""
    for path in folder.iterdir():
        half_written = path.name.startswith((".", "~")) or path.suffix.lower() not in READERS
        if not half_written and (path.is_symlink() or not path.is_dir()):
            with contextlib.suppress(FileNotFoundError):
                yield path.lstat().st_ctime_ns, path


def find_ignored(folder: Path) -> list[str]:
    """Return the names of what lies in the inbox and is no file of requests, nor a half-written one."""
    others = [path for path in folder.iterdir() if not path.name.startswith((".", "~"))] if folder.is_dir() else []
    read_or_own = {path for _, path in _complete(folder)} if others else set()
    read_or_own |= {folder / DONE, folder / SET_ASIDE}
    return sorted(console.in_one_line(printable_name(path)) for path in others if path not in read_or_own)


def describe_ignored(names: list[str]) -> str:
    """Return what is said of them."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"requests that nobody reads: {', '.join(names[:3])}{more}; expected files in {', '.join(READERS)}"


def _read(path: Path, key: bytes) -> InboxFile | None:
    try:
        before = _arrival(path)
        items = read_request_file(path, key)
        return InboxFile(path, before, items) if _arrival(path) == before else None
    except FileNotFoundError:
        return None
    except OSError as error:  # of a disk or a network; whether the file is a good one nobody can say
        console.warn(
            f"{console.in_one_line(printable_name(path))}: cannot be read now ({error.strerror}); the next run reads it"
        )
        return None


def _arrival(path: Path) -> str:
    """Return what changes whenever a file is written, or moved into the folder."""
    found = path.lstat()
    return f"{found.st_ino}-{found.st_ctime_ns}-{found.st_size}"


def register(ledger: Ledger, files: list[InboxFile], deletion: DeletionSettings) -> list[str]:
    """Tell the ledger what is new in the files, in one transaction; return a line for each request set aside."""
    told: list[str] = []
    with ledger.transaction():
        state = fold(ledger.events())
        for file in files:
            for item in file.entries:
                said = _register(ledger, state, file, item, deletion)
                told += [said] if said else []
    return told


def _register(
    ledger: Ledger, state: LedgerState, file: InboxFile, item: RequestEntry, deletion: DeletionSettings
) -> str | None:
    """Append the event that an item is worth, if any, and keep the state up to date."""
    if (file.arrival, item.digest) in state.refused:
        return None
    known = state.requests.get(item.id or "")
    came = {"digest": item.digest, "file": file.name, "arrival": file.arrival}
    reason = item.reason or _conflict(known, item)
    if item.content and item.content.received > ledger.now() + AHEAD:
        reason = "its 'received' lies in the future; correct it"
    if reason or item.content is None:
        event = ledger.append("set_aside", request=item.id, reason=reason, **came)
    elif known and known.digest == item.digest and file.arrival in known.arrivals:
        return None
    elif known and known.state not in ENDED_OTHERWISE:
        event = ledger.append("repeated", request=item.id, **came)
    else:
        due = item.content.due or clock.compute_due_time(item.content.received, deletion.deadline)
        times = {"received": clock.format_time(item.content.received), "due": clock.format_time(due)}
        content: dict[str, Any] = {"content": item.content.content} if deletion.keep_ids else {}
        body = {**came, **times, **content}
        event = ledger.append("received", request=item.id, **body)
    fold([event], state)
    return f"{item.id or file.name}: set aside: {reason}" if reason else None


def _conflict(known: RequestState | None, item: RequestEntry) -> str | None:
    """Say that another request has this id already; one that was set aside may come again, corrected."""
    if known is None or known.digest == item.digest or known.state in ENDED_OTHERWISE:
        return None
    return "another request has this id, with other content; give this one an id of its own"


def find_pending(files: list[InboxFile], state: LedgerState) -> tuple[dict[str, Request], list[str]]:
    """Return the requests to carry out, the one due first at the top, and the ids of those whose file is gone."""
    there = {item.id: item for file in files for item in file.entries if item.content and _is_known(state, item)}
    waiting = [request.id for request in (*state.requests_in("running"), *state.requests_in("pending"))]
    found = {name: content for name in waiting if name in there and (content := there[name].content)}
    return found, [name for name in waiting if name not in found]


def _is_known(state: LedgerState, item: RequestEntry) -> bool:
    return item.id in state.requests and state.requests[item.id].digest == item.digest


def move_ended(folder: Path, files: list[InboxFile], state: LedgerState) -> list[str]:
    """Move the files whose requests have all ended, to done/ or set_aside/; return their names.

    Before a run it ends what a killed one had begun: every step can be done again.
    """
    moved = []
    with resources(folder):
        for file in files:
            fates = [_fate(state, file, item) for item in file.entries]
            if None not in fates and _is_unchanged(file):
                aside = any(fates)
                target, reasons = folder / (SET_ASIDE if aside else DONE), _reasons(file, fates) if aside else None
                moved += [file.name] if _is_moved(file, target, reasons) else []
    return moved


def _is_moved(file: InboxFile, target: Path, reasons: str | None) -> bool:
    """Move a file; one that may not be moved (in a folder with the sticky bit, another user's) stops no other."""
    try:
        move_file(file.path, target, reasons)
    except PermissionError:
        console.warn(
            f"{console.in_one_line(file.name)}: may not be moved to {target.name}/; it has ended and is ignored here"
        )
        return False
    return True


def _fate(state: LedgerState, file: InboxFile, item: RequestEntry) -> str | None:
    """Return '' for a request that is done, the reason for one that is set aside, None for one that is neither yet."""
    refused = state.refused.get((file.arrival, item.digest))
    if refused:
        return refused.body["reason"]
    known = state.requests.get(item.id or "")
    if known is None or known.digest != item.digest or file.arrival not in known.arrivals:
        return None
    return {"done": "", "set_aside": known.reason, "closed": known.reason}.get(known.state)


def _is_unchanged(file: InboxFile) -> bool:
    try:
        return _arrival(file.path) == file.arrival
    except FileNotFoundError:
        return False


def _reasons(file: InboxFile, fates: list[str | None]) -> str:
    told = zip(file.entries, fates, strict=True)
    return "".join(f"{item.id or 'no request'}: {f'set aside: {fate}' if fate else 'done'}\n" for item, fate in told)


def restore(folder: Path, key: bytes, ids: Iterable[str]) -> list[str]:
    """Move the files that hold these requests back into the inbox; return the ids that no file holds any more."""
    wanted = set(ids)
    with resources(folder):
        for place in (folder / DONE, folder / SET_ASIDE):
            for file in read(place, key) if place.is_dir() else ():
                held = {item.id for item in file.entries if item.content} & wanted
                if held:
                    move_file(file.path, folder)
                    (place / f"{file.path.name}{REASON}").unlink(missing_ok=True)
                    wanted -= held
    return sorted(wanted)
