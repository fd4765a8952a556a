"""Reading a file of requests: YAML holds one, JSON Lines one a line, csv one in all rows of the same request id."""

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unlearn_cli.batch.requests.request_table import read_table
from unlearn_cli.batch.requests.requests import Item, Unreadable, check, check_count, refused
from unlearn_cli.errors import UserError
from unlearn_cli.schema import strict_yaml

MAX_BYTES = 2**28
NO_FILE = "is no ordinary file"
REFUSALS = {
    errno.ELOOP: "is a link; put the file itself there",
    errno.EACCES: "cannot be read; give the user of the batch the permission",
    errno.EPERM: "cannot be read; give the user of the batch the permission",
    errno.ENXIO: NO_FILE,  # a socket
}


def read_file(path: Path, key: bytes) -> list[Item]:
    """Return the requests of a file, each with its digest, or with the reason why it is none.

    Raises:
        FileNotFoundError: the file is gone.
    """
    data = b""
    try:
        data = _bytes(path)
        items = list(READERS[path.suffix.lower()](data, printable(path), key))
        if not items:
            raise Unreadable("holds no request")
    except Unreadable as error:
        return [refused(f"{printable(path)}: {error}", data.decode("latin-1") or path.name, key)]
    return items


def printable(path: Path) -> str:
    """Return a file's name as text that can be printed and stored, whatever its bytes."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def _bytes(path: Path) -> bytes:
    """Read an ordinary file of bounded size; a link could lead out of the folder, a pipe would never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise Unreadable(REFUSALS[error.errno]) from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable(NO_FILE)
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Unreadable(f"is larger than {MAX_BYTES} bytes; split it")
    return data


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8 text") from None


def _read_yaml(data: bytes, name: str, key: bytes) -> Iterator[Item]:
    if len(data) > strict_yaml.MAX_BYTES:
        raise Unreadable(f"is larger than {strict_yaml.MAX_BYTES} bytes; write so many ids as csv or JSON Lines")
    try:
        document = strict_yaml.parse(data, Path(name))
    except UserError as error:
        yield refused(str(error), data.decode("latin-1"), key)
        return
    yield check(document.raw, document, (name, 1), data.decode("latin-1"), key)


def _read_csv(data: bytes, name: str, key: bytes) -> Iterator[Item]:
    return read_table(_text(data), name, key)


def _read_json_lines(data: bytes, name: str, key: bytes) -> Iterator[Item]:
    lines = [(number, line) for number, line in enumerate(_text(data).split("\n"), start=1) if line.strip()]
    check_count(len(lines))
    for number, line in lines:
        try:
            value = json.loads(
                line, object_pairs_hook=_unique, parse_constant=_no_number, parse_int=_whole, parse_float=_real
            )
        except Unreadable as error:
            yield refused(f"{name}:{number}:1: {error}", line, key)
        except json.JSONDecodeError as error:
            yield refused(f"{name}:{number}:{error.colno}: is not valid JSON: {error.msg}", line, key)
        except (RecursionError, ValueError):  # lists in lists in lists; a number of thousands of digits
            yield refused(f"{name}:{number}:1: is no JSON of a request", line, key)
        else:
            yield check(value, None, (name, number), line, key)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise Unreadable("a key is there twice; keep one of the two")
    return dict(pairs)


def _no_number(text: str) -> None:
    raise Unreadable(f"{text} is no number of JSON; quote it if it is a name")


def _whole(text: str) -> strict_yaml.PlainScalar:
    return strict_yaml.PlainScalar(text, int(text))


def _real(text: str) -> strict_yaml.PlainScalar:
    return strict_yaml.PlainScalar(text, float(text))


READERS: dict[str, Callable[[bytes, str, bytes], Iterator[Item]]] = {
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".jsonl": _read_json_lines,
    ".csv": _read_csv,
}
