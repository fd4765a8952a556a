"""Keyed hashes of record ids and requests: the ledger knows what was forgotten again, and names nobody.

Without a key a hash of a record id would be no secret: ids are few and can be tried one by one.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from unlearn_cli.errors import IntegrityError, UserError, resources
from unlearn_cli.storage import owners
from unlearn_cli.storage.atomic_files import fsync, output_file

KEY_BYTES = 32
CHAIN_MARK = "chain"  # in the file of a key with which a ledger's chain was begun: it must never be without a key again


def read_or_create_key(path: Path, ledger: Path) -> bytes:
    """Return the key in the file; before there is a ledger it is made, readable by its owner alone.

    Raises:
        UserError: the folder cannot be written, or others may read the key.
        IntegrityError: the file holds no key, or is gone while the ledger is there.
    """
    if not path.exists() and not ledger.exists():
        with resources(path):
            _create_key(path)
    return read_key(path)


def _create_key(path: Path) -> None:
    """Write a new key as a whole, unless another process was first."""
    new = path.parent / f".{path.name}.new-{owners.new_suffix()}"
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
            file.write(f"{secrets.token_hex(KEY_BYTES)}\n{CHAIN_MARK}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(new, path)  # unlike a rename, it never replaces the key of somebody who was faster
        except FileExistsError:
            return
        fsync(path.parent)
    finally:
        new.unlink(missing_ok=True)


def read_key(path: Path) -> bytes:
    """Return the key in the file.

    Raises:
        UserError: others than its owner may read it.
        IntegrityError: there is none, or it is no key: what was forgotten can no longer be recognised.
    """
    if path.exists() and not path.is_file():
        raise IntegrityError(f"{path}: is not a file; bring the ledger's key back from a backup")
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii").removesuffix(f"{CHAIN_MARK}\n").strip()
        key = bytes.fromhex(text)
    except FileNotFoundError:
        raise IntegrityError(f"{path}: the ledger's key is gone; bring it back from a backup") from None
    except (UnicodeDecodeError, ValueError):
        key, mode = b"", 0
    if len(key) != KEY_BYTES:
        raise IntegrityError(f"{path}: is no key of {KEY_BYTES} bytes; bring the ledger's key back from a backup")
    if mode & 0o077:
        raise UserError(f"{path}: others may read this key; 'chmod 600 {path.name}' forbids it")
    return key


def has_chain_mark(path: Path) -> bool:
    """Say whether the ledger of this key has a keyed chain."""
    return path.read_text(encoding="ascii").endswith(f"\n{CHAIN_MARK}\n")


def write_chain_mark(path: Path) -> None:
    """Note beside a key, which must be one, that the ledger has a keyed chain."""
    text = read_key(path).hex()
    with output_file(path, mode=0o600) as new:
        new.write_text(f"{text}\n{CHAIN_MARK}\n", encoding="ascii")


def derive_key(key: bytes, purpose: str) -> bytes:
    """Return a key of its own for a purpose.

    It is not an HMAC: those of any text that a request may hold are in the ledger, and would be known.
    """
    return hashlib.blake2b(purpose.encode(), key=key, digest_size=KEY_BYTES).digest()


def digest(key: bytes, value: str) -> str:
    """Return the HMAC-SHA256 of a text, in hexadecimal."""
    return hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256").hex()


def digests(key: bytes, values: Iterable[str]) -> Iterator[str]:
    """Return the HMAC-SHA256 of each text, in their order."""
    return (digest(key, value) for value in values)


def to_canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
