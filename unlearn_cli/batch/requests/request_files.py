"""Reads files of requests.

A YAML file holds one request, a JSON Lines file one per line, and a csv file one per request id, in one or more rows.
"""

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unlearn_cli.batch.requests.deletion_request import (
    RequestEntry,
    RequestFormatError,
    check_count,
    make_refusal,
    parse_request,
)
from unlearn_cli.batch.requests.request_table import read_request_table
from unlearn_cli.errors import UserError
from unlearn_cli.schema import strict_yaml

MAX_BYTES = 2**28
NO_FILE = "is not a regular file"
REFUSALS = {
    errno.ELOOP: "is a link; put the file itself into the inbox",
    errno.EACCES: "cannot be read; give the user who runs the batch read permission",
    errno.EPERM: "cannot be read; give the user who runs the batch read permission",
    errno.ENXIO: NO_FILE,  # a socket
}


def read_request_file(path: Path, key: bytes) -> list[RequestEntry]:
    """Return the entries of a file: each is a request, or the reason why it is not a request.

    Raises:
        FileNotFoundError: the file is gone.
    """
    data = b""
    try:
        data = _read_bytes(path)
        entries = list(READERS[path.suffix.lower()](data, printable_name(path), key))
        if not entries:
            raise RequestFormatError("holds no request")
    except RequestFormatError as error:
        return [make_refusal(f"{printable_name(path)}: {error}", data.decode("latin-1") or path.name, key)]
    return entries


def printable_name(path: Path) -> str:
    """Return the name of a file as text that can be printed and stored; bytes that are not UTF-8 are replaced."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def _read_bytes(path: Path) -> bytes:
    """Read a regular file of bounded size: a link could lead out of the inbox, and a pipe might never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise RequestFormatError(REFUSALS[error.errno]) from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RequestFormatError(NO_FILE)
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise RequestFormatError(f"is larger than {MAX_BYTES} bytes; split it")
    return data


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RequestFormatError("is not UTF-8 text") from None


def _read_yaml(data: bytes, name: str, key: bytes) -> Iterator[RequestEntry]:
    if len(data) > strict_yaml.MAX_BYTES:
        raise RequestFormatError(f"is larger than {strict_yaml.MAX_BYTES} bytes; use csv or JSON Lines for so many ids")
    try:
        document = strict_yaml.parse(data, Path(name))
    except UserError as error:
        yield make_refusal(str(error), data.decode("latin-1"), key)
        return
    yield parse_request(document.raw, document, (name, 1), data.decode("latin-1"), key)


def _read_csv(data: bytes, name: str, key: bytes) -> Iterator[RequestEntry]:
    return read_request_table(_decode(data), name, key)


def _read_json_lines(data: bytes, name: str, key: bytes) -> Iterator[RequestEntry]:
    lines = [(number, line) for number, line in enumerate(_decode(data).split("\n"), start=1) if line.strip()]
    check_count(len(lines))
    for number, line in lines:
        try:
            value = json.loads(
                line,
                object_pairs_hook=_refuse_duplicate_keys,
                parse_constant=_refuse_constant,
                parse_int=_parse_integer,
                parse_float=_parse_float,
            )
        except RequestFormatError as error:
            yield make_refusal(f"{name}:{number}:1: {error}", line, key)
        except json.JSONDecodeError as error:
            yield make_refusal(f"{name}:{number}:{error.colno}: is not valid JSON: {error.msg}", line, key)
        except (RecursionError, ValueError):  # deeply nested lists; a number with thousands of digits
            yield make_refusal(f"{name}:{number}:1: is not a request in JSON", line, key)
        else:
            yield parse_request(value, None, (name, number), line, key)


def _refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise RequestFormatError("a key occurs twice; keep one of the two")
    return dict(pairs)


def _refuse_constant(text: str) -> None:
    raise RequestFormatError(f"{text} is not a JSON number; quote it if it is a name")


def _parse_integer(text: str) -> strict_yaml.PlainScalar:
    return strict_yaml.PlainScalar(text, int(text))


def _parse_float(text: str) -> strict_yaml.PlainScalar:
    return strict_yaml.PlainScalar(text, float(text))


READERS: dict[str, Callable[[bytes, str, bytes], Iterator[RequestEntry]]] = {
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".jsonl": _read_json_lines,
    ".csv": _read_csv,
}
