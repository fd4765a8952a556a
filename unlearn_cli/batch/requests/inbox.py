"""The inbox: the folder that deletion requests are put into, as one file per request or many requests per file.

`read` returns its complete files, `register` appends what is new in them to the ledger, `find_pending` selects the
requests to carry out, and `move_ended` moves files to done/ or set_aside/.

A file stays in the inbox until all its requests have ended, so that a killed run loses none of them. Programs that
write requests write a file under another name and rename it when it is complete; `read` ignores names of temporary
files.
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
from unlearn_cli.errors import UserError, translate_resource_errors

MAX_FILES = 10_000  # the newest files wait for the next run
DONE, SET_ASIDE = "done", "set_aside"
ENDED_OTHERWISE = ("set_aside", "closed")  # states of a request that may come again
AHEAD = timedelta(days=1)  # by which the clock of the writer of a request may be ahead


@dataclass(frozen=True)
class InboxFile:
    """A file of the inbox.

    `arrival` identifies one arrival of a file: it differs between two files of the same name, and between a file and
    the same file that was moved away and put back.
    """

    path: Path
    arrival: str
    entries: list[RequestEntry]

    @property
    def name(self) -> str:
        return printable_name(self.path)


def read(folder: Path, key: bytes) -> list[InboxFile]:
    """Return the complete files, sorted by name. A file that changes or vanishes meanwhile is left to the next run.

    Raises:
        UserError: the folder does not exist.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; create it, requests are put there")
    with translate_resource_errors(folder):
        oldest = sorted(_list_complete(folder))[:MAX_FILES]
        return [file for path in sorted(path for _, path in oldest) if (file := _read_stable(path, key))]


def _list_complete(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield the complete files of requests with the time of their arrival."""
    for path in folder.iterdir():
        is_temporary = path.name.startswith((".", "~")) or path.suffix.lower() not in READERS
        if not is_temporary and (path.is_symlink() or not path.is_dir()):
            with contextlib.suppress(FileNotFoundError):
                yield path.lstat().st_ctime_ns, path


def find_ignored(folder: Path) -> list[str]:
    """Return the names of other files in the inbox, which hold no requests and are not temporary."""
    if not folder.is_dir():
        return []
    expected = {path for _, path in _list_complete(folder)} | {folder / DONE, folder / SET_ASIDE}
    others = [path for path in folder.iterdir() if path not in expected and not path.name.startswith((".", "~"))]
    return sorted(console.escape_line(printable_name(path)) for path in others)


def describe_ignored(names: list[str]) -> str:
    """Return a warning that lists such files."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"files in the inbox that are not read: {', '.join(names[:3])}{more}; expected {', '.join(READERS)}"


def _read_stable(path: Path, key: bytes) -> InboxFile | None:
    """Read a file; return None if it cannot be read now, or changes or vanishes meanwhile."""
    try:
        arrival = _identify_arrival(path)
        entries = read_request_file(path, key)
        return InboxFile(path, arrival, entries) if _identify_arrival(path) == arrival else None
    except FileNotFoundError:
        return None
    except OSError as error:  # an error of a disk or a network says nothing about the content of the file
        name = console.escape_line(printable_name(path))
        console.warn(f"{name}: cannot be read now ({error.strerror}); the next run tries again")
        return None


def _identify_arrival(path: Path) -> str:
    """Return a text that changes whenever a file is written, or moved into the folder."""
    status = path.lstat()
    return f"{status.st_ino}-{status.st_ctime_ns}-{status.st_size}"


def register(ledger: Ledger, files: list[InboxFile], deletion: DeletionSettings) -> list[str]:
    """Append what is new in the files to the ledger, in one transaction; return a line per request set aside."""
    lines: list[str] = []
    with ledger.transaction():
        state = fold(ledger.events())
        for file in files:
            for entry in file.entries:
                line = _register_entry(ledger, state, file, entry, deletion)
                lines += [line] if line else []
    return lines


def _register_entry(
    ledger: Ledger,
    state: LedgerState,
    file: InboxFile,
    entry: RequestEntry,
    deletion: DeletionSettings,
) -> str | None:
    """Append the event for an entry, unless the ledger has it, and update the state.

    Return a line for the operator if the entry is set aside.
    """
    if (file.arrival, entry.digest) in state.refused:
        return None
    request = state.requests.get(entry.id or "")
    body: dict[str, Any] = {"digest": entry.digest, "file": file.name, "arrival": file.arrival}
    reason = entry.reason or _find_conflict(request, entry)
    if entry.content and entry.content.received > ledger.now() + AHEAD:
        reason = "its 'received' is in the future; correct it"
    if reason or entry.content is None:
        event = ledger.append("set_aside", request=entry.id, reason=reason, **body)
    elif request and request.digest == entry.digest and file.arrival in request.arrivals:
        return None
    elif request and request.state not in ENDED_OTHERWISE:
        event = ledger.append("repeated", request=entry.id, **body)
    else:
        received = entry.content.received
        due = entry.content.due or clock.compute_due_time(received, deletion.deadline)
        body |= {"received": clock.format_time(received), "due": clock.format_time(due)}
        body |= {"content": entry.content.content} if deletion.keep_ids else {}
        event = ledger.append("received", request=entry.id, **body)
    fold([event], state)
    return f"{entry.id or file.name}: set aside: {reason}" if reason else None


def _find_conflict(request: RequestState | None, entry: RequestEntry) -> str | None:
    """Return a reason if another request has this id; one that was set aside may come again with corrections."""
    if request is None or request.digest == entry.digest or request.state in ENDED_OTHERWISE:
        return None
    return "another request has this id and other content; give this request its own id"


def find_pending(files: list[InboxFile], state: LedgerState) -> tuple[dict[str, Request], list[str]]:
    """Return the requests to carry out, ordered by due time, and the ids of pending requests whose file is gone."""
    contents = {
        entry.id: entry.content
        for file in files
        for entry in file.entries
        if entry.content and entry.id in state.requests and state.requests[entry.id].digest == entry.digest
    }
    waiting = [request.id for request in (*state.requests_in("running"), *state.requests_in("pending"))]
    requests = {name: contents[name] for name in waiting if name in contents}
    return requests, [name for name in waiting if name not in contents]


def move_ended(folder: Path, files: list[InboxFile], state: LedgerState) -> list[str]:
    """Move the files whose requests have all ended to done/ or set_aside/; return their names.

    At the start of a run this completes the moves of a killed run: every step can be repeated.
    """
    moved = []
    with translate_resource_errors(folder):
        for file in files:
            outcomes = [_find_outcome(state, file, entry) for entry in file.entries]
            if None in outcomes or not _is_unchanged(file):
                continue
            reasons = _format_outcomes(file, outcomes) if any(outcomes) else None
            if _try_move(file, folder / (SET_ASIDE if reasons else DONE), reasons):
                moved.append(file.name)
    return moved


def _try_move(file: InboxFile, target: Path, reasons: str | None) -> bool:
    """Move a file; warn if it must not be moved (another user's file in a folder with the sticky bit)."""
    try:
        move_file(file.path, target, reasons)
    except PermissionError:
        name = console.escape_line(file.name)
        console.warn(f"{name}: no permission to move it to {target.name}/; its requests have ended, so it is ignored")
        return False
    return True


def _find_outcome(state: LedgerState, file: InboxFile, entry: RequestEntry) -> str | None:
    """Return '' for a request that is done, the reason for one that is set aside or closed, None for an open one."""
    refusal = state.refused.get((file.arrival, entry.digest))
    if refusal:
        return refusal.body["reason"]
    request = state.requests.get(entry.id or "")
    if request is None or request.digest != entry.digest or file.arrival not in request.arrivals:
        return None
    return {"done": "", "set_aside": request.reason, "closed": request.reason}.get(request.state)


def _is_unchanged(file: InboxFile) -> bool:
    try:
        return _identify_arrival(file.path) == file.arrival
    except FileNotFoundError:
        return False


def _format_outcomes(file: InboxFile, outcomes: list[str | None]) -> str:
    """Return the text of the file of reasons: one line per entry."""
    return "".join(
        f"{entry.id or 'no request'}: {f'set aside: {outcome}' if outcome else 'done'}\n"
        for entry, outcome in zip(file.entries, outcomes, strict=True)
    )


def restore(folder: Path, key: bytes, ids: Iterable[str]) -> list[str]:
    """Move the files with these requests back into the inbox; return the ids of which no file exists any more."""
    missing = set(ids)
    with translate_resource_errors(folder):
        for subfolder in (folder / DONE, folder / SET_ASIDE):
            for file in read(subfolder, key) if subfolder.is_dir() else ():
                contained = {entry.id for entry in file.entries if entry.content} & missing
                if contained:
                    move_file(file.path, folder)
                    (subfolder / f"{file.path.name}{REASON}").unlink(missing_ok=True)
                    missing -= contained
    return sorted(missing)
