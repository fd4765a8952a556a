"""The members of one tar shard, read strictly: a damaged or truncated archive is an error, never a shorter archive.

Python's tarfile silently stops at the first header that it cannot read. Here, every header must have a correct
checksum, and the archive must end with two blocks of zeros. After them, only zeros of any length are allowed (writers
pad to 10,240 bytes): joined archives, which `tar --ignore-zeros` reads, are refused. Tar has no checksum for the
contents of members and extended headers, so damage in them is not detected here.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from unlearn_cli.errors import UserError

BLOCK = tarfile.BLOCKSIZE
MAX_EXTENDED = 2**20  # bytes of an extended header, which is read into memory
MOST_EXTENDED = 8  # extended headers of one member
CHUNK = 2**20  # bytes
ADVICE = "fetch or write the shard again"
PAX, LONG_NAME = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE), tarfile.GNUTYPE_LONGNAME
EXTENDED = (*PAX, tarfile.XGLTYPE, LONG_NAME, tarfile.GNUTYPE_LONGLINK)
PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
REFUSED = {
    tarfile.LNKTYPE: "a hard link; store files instead of links, with tar --hard-dereference",
    tarfile.SYMTYPE: "a symbolic link; store files instead of links, with tar --dereference",
    tarfile.GNUTYPE_SPARSE: "stored with holes; write it without tar --sparse",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


@dataclass(frozen=True)
class TarMember:
    """A file of the archive and the position of its bytes; a folder has no bytes."""

    name: str
    offset: int
    size: int
    is_folder: bool


class DamagedHeader(Exception):
    """A header is damaged; the message has the reason."""


def read_members(file: BinaryIO, path: Path, source: str) -> Iterator[TarMember]:
    """Yield the files and folders of a shard in order; `source` is for messages.

    Raises:
        UserError: the shard is not an uncompressed tar file, is damaged or truncated, or contains members other than
            files and folders; the message has the byte offset.
    """
    shard, size, offset = f"{source}: {path}", os.fstat(file.fileno()).st_size, 0
    while True:
        try:
            step = _read_member(file, offset, size)
        except (DamagedHeader, tarfile.TarError) as error:
            raise UserError(_format_message(shard, offset, str(error))) from None
        if step is None:
            break
        member, offset = step
        yield member
    _check_end(file, offset, shard)


def _format_message(shard: str, offset: int, reason: str) -> str:
    if offset == 0:
        return (
            f"{shard}: is not an uncompressed tar file (byte 0: {reason}); images need random access, so decompress it"
        )
    return f"{shard}: is damaged or truncated at byte {offset}: {reason}; {ADVICE}"


def _read_member(file: BinaryIO, offset: int, size: int) -> tuple[TarMember, int] | None:
    """Return the member at the offset, and the offset of the next one; None at the end of the archive."""
    records: dict[str, str] = {}
    file.seek(offset)
    for number in range(MOST_EXTENDED + 1):
        try:
            header = tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "surrogateescape")
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # missing in the stubs
            if number:
                raise DamagedHeader("the archive ends after an extended header") from None
            return None
        _check_size(header, size - file.tell())
        if header.type not in EXTENDED:
            return _make_member(header, records, file.tell(), size)
        content = file.read(_round_up(header.size))[: header.size]
        records |= _parse_extended_header(header.type, content)
    raise DamagedHeader(f"more than {MOST_EXTENDED} extended headers of one member")


def _check_size(header: tarfile.TarInfo, left: int) -> None:
    if header.size < 0:
        raise DamagedHeader("a negative size")
    if header.type in EXTENDED and header.size > min(MAX_EXTENDED, left):
        raise DamagedHeader(f"an extended header of {header.size} bytes")


def _round_up(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _make_member(header: tarfile.TarInfo, records: dict[str, str], start: int, size: int) -> tuple[TarMember, int]:
    name = records.get("path", header.name)
    if header.isdir():
        return TarMember(name, start, 0, True), start
    holes = any(key.startswith("GNU.sparse.") for key in records)
    if header.type not in PLAIN or holes:
        kind = tarfile.GNUTYPE_SPARSE if holes else header.type
        raise DamagedHeader(f"the member '{name}' is {REFUSED.get(kind, f'of the unknown type {kind!r}')}")
    length = _parse_number(records["size"], "size") if "size" in records else header.size
    if start + _round_up(length) > size:
        raise DamagedHeader(f"the member '{name}' has {length} bytes, more than follow")
    return TarMember(name, start, length, False), start + _round_up(length)


def _parse_extended_header(kind: bytes, content: bytes) -> dict[str, str]:
    """Return the fields of an extended header for the member after it."""
    if kind == LONG_NAME:
        return {"path": _decode(content.partition(b"\0")[0])}
    if kind == tarfile.GNUTYPE_LONGLINK:
        return {}
    records = _parse_pax_records(content)
    if kind == tarfile.XGLTYPE:
        if any(key in ("path", "size") or key.startswith("GNU.sparse.") for key in records):
            raise DamagedHeader("a global extended header that names or sizes members")
        return {}
    return records


def _parse_pax_records(content: bytes) -> dict[str, str]:
    """Read records of the form `LENGTH KEY=VALUE\\n`, where the length counts the whole record."""
    records: dict[str, str] = {}
    start = 0
    while start < len(content):
        digits, _, _ = content[start : start + 12].partition(b" ")
        length = _parse_number(_decode(digits), "length")
        key, equals, value = content[start + len(digits) + 1 : start + length - 1].partition(b"=")
        if not equals or content[start + length - 1 : start + length] != b"\n":
            raise DamagedHeader("an extended header with a malformed record")
        records[_decode(key)] = _decode(value)
        start += length
    return records


def _parse_number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise DamagedHeader(f"an extended header whose {name} is not a number")
    return int(text)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _check_end(file: BinaryIO, offset: int, shard: str) -> None:
    """Check that two blocks of zeros follow at the offset, and only zeros after them."""
    file.seek(offset)
    position = offset
    while chunk := file.read(CHUNK):
        if data := chunk.lstrip(b"\0"):
            where = position + len(chunk) - len(data)
            if where < offset + 2 * BLOCK:
                raise UserError(f"{shard}: the end-of-archive blocks are damaged at byte {where}; {ADVICE}")
            raise UserError(f"{shard}: data follows after the end of the archive, at byte {where}; split joined shards")
        position += len(chunk)
    if position < offset + 2 * BLOCK:
        raise UserError(f"{shard}: is truncated: two blocks of zeros are missing after byte {offset}; {ADVICE}")
