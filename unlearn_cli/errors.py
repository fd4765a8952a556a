"""The errors that are not bugs, with their exit codes. (A failed gate is not an error: its code is in the result.)

CliError            an error that the user can act on; printed as one line, never as a traceback
  UserError         2   wrong usage or bad input; nothing was written
  SelectionError    2   the records to forget are unsuitable; with other records the same command may work
  IntegrityError    6   a digest, the ledger's chain, a lineage or a signature does not match
  ResourceError     7   out of memory, disk full, no such device, a remote that cannot be reached
  Interrupted       75  stopped by a signal after saving its state; the same command continues
  Busy              75  another process holds the lock; run the same command again when it has ended
  LostProcess       1   another process of the run has ended; it or the launcher has printed the reason
"""

import difflib
import errno
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class CliError(Exception):
    """An error that the user can act on: one line with the location, the problem, the expected input and the fix."""

    exit_code = 1


class UserError(CliError):
    exit_code = 2


class SelectionError(UserError):
    """The records to forget do not suit the data, a method or an attack; a batch sets their requests aside."""


class IntegrityError(CliError):
    exit_code = 6


class ResourceError(CliError):
    exit_code = 7


class Interrupted(CliError):
    exit_code = 75


class Busy(CliError):
    exit_code = 75


class LostProcess(CliError):
    exit_code = 1


MOST_NAMES = 30  # that a message lists
MOST_COMPARED = 10_000  # names that are compared letter by letter, which is slow
MOST_SEARCHED = 2**21  # names that are searched for one that differs only in spelling, which takes some seconds


@contextmanager
def prefix_field(field: str) -> Iterator[None]:
    """Prefix the messages of errors inside with the field of the manifest, or the option, that is wrong."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"{field}: {error}") from None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return 'did you mean X?' if one of the names is similar, otherwise the list of names."""
    names = sorted(candidates)
    near = _find_spelled_alike(name, names) or difflib.get_close_matches(name, names, n=1)
    if near:
        return _format_question(name, near[0])
    more = f", ... ({len(names)} in all)" if len(names) > MOST_NAMES else ""
    return f"known: {', '.join(names[:MOST_NAMES])}{more}"


def find_nearest(name: str, chunks: Iterable[Sequence[str]]) -> str:
    """Return "did you mean 'X'?; " for the most similar of many names, such as ids; '' if none is similar."""
    first: list[str] = []
    searched = 0
    for chunk in chunks:
        if near := _find_spelled_alike(name, chunk):
            return f"{_format_question(name, near[0])}; "
        first += chunk[: MOST_COMPARED - len(first)]
        searched += len(chunk)
        if searched > MOST_SEARCHED:
            break
    near = difflib.get_close_matches(name, sorted(set(first) - {name}), n=1)
    return f"{_format_question(name, near[0])}; " if near else ""


def _find_spelled_alike(name: str, names: Iterable[str]) -> list[str]:
    """Return the names that differ only in case, blanks, Unicode form, or the notation of a number."""
    core = _normalise(name)
    return [other for other in names if _normalise(other) == core] if core else []


def _normalise(name: str) -> str:
    """Return a name without differences of case, blanks, Unicode form and number notation."""
    letters = "".join(unicodedata.normalize("NFKC", name).casefold().split())
    try:
        return f"{float(int(letters, 16) if letters.startswith('0x') else letters):.17g}"
    except (ValueError, OverflowError):
        return letters


def _format_question(name: str, near: str) -> str:
    """Return 'did you mean X?'; names that look alike are shown with escaped letters."""
    looks_alike = "".join(unicodedata.normalize("NFC", near).split()) == "".join(
        unicodedata.normalize("NFC", name).split()
    )
    return f"did you mean '{near}'?" + (f" (that is {near!a}, not {name!a})" if looks_alike else "")


@contextmanager
def translate_resource_errors(folder: Path | None = None) -> Iterator[None]:
    """Translate errors of a full disk, of missing permissions and of full memory, which are not bugs."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = error.filename or folder or "the output"
            raise ResourceError(f"{where}: the disk is full; free some space and run the same command again") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(f"{error.filename or folder}: permission denied; choose another") from None
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"{error.filename or folder}: the name is too long; choose a shorter one") from None
        raise
    except MemoryError:
        raise ResourceError("out of memory; use a smaller --batch-size or a smaller model") from None
    except RuntimeError as error:
        raise _translate(error) from None


def _translate(error: RuntimeError) -> Exception:
    """Return the CliError for an error of torch, or the error itself if it is a bug."""
    if _is_lost_process(error):
        return LostProcess("another process of the run has ended")
    if _is_out_of_memory(error):
        return ResourceError("out of memory on the device; use a smaller --batch-size or --device cpu")
    return error


def _is_lost_process(error: RuntimeError) -> bool:
    """Recognise the errors of gloo and NCCL for a process that has ended."""
    lost = ("Connection closed by peer", "Connection reset by peer", "Broken pipe")
    return type(error).__name__ in ("DistBackendError", "DistNetworkError") or (
        "gloo" in str(error) and any(words in str(error) for words in lost)
    )


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Recognise torch's out-of-memory errors by name, because this module must not import torch."""
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator: can't allocate memory" in str(error)
