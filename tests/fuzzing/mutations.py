"""Seeded mutations of files: of their bytes, and of their structure with checksums that are right again."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

Mutation = Callable[[Random, bytes], bytes]

NUMBERS = (
    0,
    1,
    -1,
    2,
    7,
    255,
    256,
    65535,
    2**31 - 1,
    2**31,
    2**32,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
    -(2**63),
    0.5,
    1e308,
)
TEXTS = (
    "",
    " ",
    "\0",
    "a",
    "é",
    "\ud800",
    "\u202e",
    "1e999",
    "nan",
    "007",
    "../x",
    "/",
    "x" * 5000,
    "{",
    "*",
    "F8_E4M3",
)
VALUES: tuple[Any, ...] = (None, True, [], {}, [[]], *NUMBERS, *TEXTS)


def bytes_changed(random: Random, data: bytes) -> bytes:
    """Flip bits, cut, repeat, insert, overwrite: one to three times."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 3)):
        start = random.randrange(len(changed) + 1)
        end = min(len(changed), start + random.choice((1, 2, 4, 8, 64, 512)))
        match random.randrange(7):
            case 0 if changed[start:]:
                changed[start] ^= 1 << random.randrange(8)
            case 1:
                del changed[start:]
            case 2:
                del changed[start:end]
            case 3:
                changed[start:start] = changed[start:end]
            case 4:
                changed[start:end] = random.randbytes(end - start)
            case 5:
                changed[start:end] = random.choice((b"\0", b"\xff", b"9", b'"', b"\n")) * (end - start)
            case _:
                changed[start:start] = random.choice(
                    (b"\0" * 16, b"\xef\xbb\xbf", b"\r\n", b"\xed\xa0\x80", b",,,", b'""')
                )
    return bytes(changed)


def value_changed(random: Random, value: Any, depth: int = 0) -> Any:
    """Replace, remove, repeat or nest one part of a tree of lists and mappings."""
    if depth and (not isinstance(value, (dict, list)) or not value or random.random() < 0.2):
        return random.choice(VALUES)
    if isinstance(value, dict) and value:
        key = random.choice(list(value))
        changed = dict(value)
        match random.randrange(5):
            case 0:
                del changed[key]
            case 1:
                changed[random.choice(TEXTS)] = changed.pop(key)
            case _:
                changed[key] = value_changed(random, value[key], depth + 1)
        return changed
    if isinstance(value, list) and value:
        place = random.randrange(len(value))
        match random.randrange(4):
            case 0:
                return value[:place] + value[place + 1 :]
            case 1:
                return value + value[place:]
            case _:
                return [*value[:place], value_changed(random, value[place], depth + 1), *value[place + 1 :]]
    return random.choice(VALUES)


def json_changed(random: Random, data: bytes) -> bytes:
    """Change values of a JSON text (YAML written as JSON, too); it stays JSON."""
    return json.dumps(value_changed(random, json.loads(data))).encode()


def json_lines_changed(random: Random, data: bytes) -> bytes:
    lines = data.splitlines()
    place = random.randrange(len(lines))
    lines[place] = json_changed(random, lines[place])
    return b"\n".join(lines) + b"\n"


def csv_changed(random: Random, data: bytes) -> bytes:
    """Change one cell."""
    rows = [line.split(b",") for line in data.splitlines()]
    row = random.choice(rows)
    row[random.randrange(len(row))] = str(random.choice(VALUES)).encode("utf-8", "replace")
    return b"\n".join(map(b",".join, rows)) + random.choice((b"", b"\n"))


def safetensors_changed(random: Random, data: bytes) -> bytes:
    """Change the header, whose length stays right."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json_changed(random, data[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def tar_changed(random: Random, data: bytes) -> bytes:
    """Change bytes of a header and put its checksum right, or move whole blocks."""
    block = tarfile.BLOCKSIZE
    blocks = [data[start : start + block] for start in range(0, len(data), block)]
    place = random.randrange(len(blocks))
    if random.random() < 0.3:
        blocks[place:place] = blocks[random.randrange(len(blocks)) :][: random.randint(1, 4)]
        return b"".join(blocks)
    headers = [number for number, one in enumerate(blocks) if one[257:262] == b"ustar"]
    place = random.choice(headers)
    header = bytearray(blocks[place])
    start, end = random.choice(
        ((0, 100), (100, 108), (124, 136), (136, 148), (156, 157), (157, 257), (257, 265), (345, 500))
    )
    fields = (b"\0", b"7", b"\x80", b"\xff", b"x", b"g", b"L", b"S", b"1", b"2", b"5", b"../", b"0")
    header[start:end] = (random.choice(fields) * (end - start))[: end - start]
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    blocks[place] = bytes(header)
    return b"".join(blocks)


def zip_changed(random: Random, data: bytes) -> bytes:
    """Change one member and write the archive anew, so that its checksums are right."""
    members = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(list(members))
    members[name] = bytes_changed(random, members[name])
    if random.random() < 0.2:
        members[random.choice(("extra.npy", "\u202e.npy", "x", "y.npy.npy"))] = members.pop(name)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for key, content in members.items():
            archive.writestr(key, content)
    return buffer.getvalue()


def npy_header_changed(random: Random, data: bytes) -> bytes:
    """Change what an npz says of one of its arrays."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(list(members))
    content = members[name]
    (length,) = struct.unpack("<H", content[8:10])
    header = content[10 : 10 + length].decode("latin-1").rstrip()
    old = random.choice(("<f4", "<i8", "False", "(", ")", ",", "6", "4", "'shape'", "'descr'"))
    new = random.choice(
        ("<f8", "|O", "|V4", "<U1", "|S4", "<M8[ns]", "True", "()", "-6", str(2**64), "[", "1e3", "{}", "9" * 50)
    )
    changed = (header.replace(old, new, 1) + "\n").encode("latin-1")
    members[name] = content[:8] + struct.pack("<H", len(changed)) + changed + content[10 + length :]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key, one in members.items():
            archive.writestr(key, one)
    return buffer.getvalue()


def gzip_changed(random: Random, data: bytes) -> bytes:
    """Change what is packed; the checksum of gzip is right."""
    return gzip.compress(bytes_changed(random, gzip.decompress(data)), mtime=0)


def png_changed(random: Random, data: bytes) -> bytes:
    """Change one chunk and put its checksum right."""
    chunks, place = [], 8
    while place + 8 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    number = random.randrange(len(chunks))
    kind, content = chunks[number]
    if kind == b"IHDR" and random.random() < 0.5:
        content = struct.pack(">IIBBBBB", *(random.choice((0, 1, 2, 3, 4, 6, 8, 16, 255)) for _ in range(7)))
    elif content and random.random() < 0.8:
        content = bytes_changed(random, content)
    else:
        kind = random.choice((b"tEXt", b"iCCP", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"eXIf", b"IDAT"))
    chunks[number] = (kind, content)
    packed = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return data[:8] + b"".join(packed)
