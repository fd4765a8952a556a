"""The ledger's key, and the keyed hashes (HMACs) that stand for record ids and requests in the ledger.

With them the ledger recognises a record that was forgotten before, and still holds no id. A hash without a key would
not hide an id: ids are few enough to try each of them.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from unlearn_cli.errors import IntegrityError, UserError, translate_resource_errors
from unlearn_cli.storage import owners
from unlearn_cli.storage.atomic_files import fsync, output_file

KEY_BYTES = 32
CHAIN_MARK = "chain"  # last line of the key file once the ledger's chain is keyed: from then on it must stay keyed


def read_or_create_key(path: Path, ledger: Path) -> bytes:
    """Return the key in a file. If there is neither file nor ledger, create a key that only its owner may read.

    Raises:
        UserError: the folder cannot be written, or others may read the key.
        IntegrityError: the file holds no key, or it is missing although there is a ledger.
    """
    if not path.exists() and not ledger.exists():
        with translate_resource_errors(path):
            _create_key(path)
    return read_key(path)


def _create_key(path: Path) -> None:
    """Write a new key atomically, unless another process was first."""
    new = path.parent / f".{path.name}.new-{owners.make_suffix()}"
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
            file.write(f"{secrets.token_hex(KEY_BYTES)}\n{CHAIN_MARK}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(new, path)  # unlike a rename, a link never replaces the key that another process has written
        except FileExistsError:
            return
        fsync(path.parent)
    finally:
        new.unlink(missing_ok=True)


def read_key(path: Path) -> bytes:
    """Return the key in a file.

    Raises:
        UserError: users other than the owner may read it.
        IntegrityError: the file is missing or holds no key. Without the key no forgotten record can be recognised.
    """
    if path.exists() and not path.is_file():
        raise IntegrityError(f"{path}: is not a file; restore the ledger's key from a backup")
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii").removesuffix(f"{CHAIN_MARK}\n").strip()
        key = bytes.fromhex(text)
    except FileNotFoundError:
        raise IntegrityError(f"{path}: the ledger's key is gone; restore it from a backup") from None
    except (UnicodeDecodeError, ValueError):
        key, mode = b"", 0
    if len(key) != KEY_BYTES:
        raise IntegrityError(f"{path}: is not a key of {KEY_BYTES} bytes; restore the ledger's key from a backup")
    if mode & 0o077:
        raise UserError(f"{path}: other users may read this key; run 'chmod 600 {path.name}'")
    return key


def has_chain_mark(path: Path) -> bool:
    """Return whether the key file has the mark of a keyed chain."""
    return path.read_text(encoding="ascii").endswith(f"\n{CHAIN_MARK}\n")


def write_chain_mark(path: Path) -> None:
    """Add to a valid key file that the ledger's chain is keyed."""
    text = read_key(path).hex()
    with output_file(path, mode=0o600) as new:
        new.write_text(f"{text}\n{CHAIN_MARK}\n", encoding="ascii")


def derive_key(key: bytes, purpose: str) -> bytes:
    """Return another key for a purpose, so that no two purposes share a key.

    This is BLAKE2b, not HMAC: anybody can have the HMAC of a text put into the ledger, by writing it into a request.
    """
    return hashlib.blake2b(purpose.encode(), key=key, digest_size=KEY_BYTES).digest()


def digest(key: bytes, value: str) -> str:
    """Return the HMAC-SHA256 of a text in hexadecimal."""
    return hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256").hex()


def digests(key: bytes, values: Iterable[str]) -> Iterator[str]:
    """Return the HMAC-SHA256 of each text, in the given order."""
    return (digest(key, value) for value in values)


def to_canonical_json(value: Any) -> str:
    """Return the canonical JSON text of a value: sorted keys, no spaces, only ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
