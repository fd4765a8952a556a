"""Signatures of statements: DSSE envelopes with Ed25519. The library is an extra, imported only if there is a key.

Source: https://github.com/secure-systems-lab/dsse, protocol.md and envelope.md, version 1.
"""

import base64
import binascii
import hashlib
import json
import re
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_cli.batch.evidence.statement import Statement, to_json
from unlearn_cli.errors import IntegrityError, UserError
from unlearn_cli.storage.regular_files import read_regular

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MOST_KEY = 2**16  # bytes
ADVICE = "'openssl genpkey -algorithm ed25519 -out signing.pem' creates one"

Envelope = dict[str, Any]


def sign(statement: Statement, key: Path) -> Envelope:
    """Return the statement in an envelope, signed with the private key of a PEM file.

    Raises:
        UserError: as `check_key`.
    """
    private, payload = _read_private_key(key), to_json(statement).encode()
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [
            {
                "keyid": _key_id(private.public_key()),
                "sig": base64.b64encode(private.sign(encode_pae(PAYLOAD_TYPE, payload))).decode(),
            }
        ],
    }


def verify(envelope: Any, key: Path) -> Statement:
    """Return the statement in an envelope, if it is signed with a public or private key of a PEM file.

    The file may hold several keys: the present one, and the public keys of earlier ones.

    Raises:
        IntegrityError: the envelope is not valid, or no signature in it is of one of the keys.
        UserError: as `check_key`.
    """
    from cryptography.exceptions import InvalidSignature

    keys = _read_public_keys(key)
    payload, signatures = _parse_envelope(envelope)
    for public, signature in product(keys, signatures):  # 'keyid' is not signed, so it cannot be trusted
        try:
            public.verify(signature, encode_pae(PAYLOAD_TYPE, payload))
            return json.loads(payload)
        except InvalidSignature:
            continue
    raise IntegrityError(f"no signature in it is of a key in {key.name}; do not trust it")


def encode_pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: the pre-authentication encoding of DSSE."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def check_key(key: Path) -> None:
    """Refuse a key that cannot sign.

    Raises:
        UserError: the extra is not installed, or the file is not a private Ed25519 key in PEM without a passphrase.
    """
    _read_private_key(key)


def _parse_envelope(envelope: Any) -> tuple[bytes, list[bytes]]:
    """Return the payload of an envelope and its signatures."""
    try:
        kind, payload = envelope["payloadType"], _decode_base64(envelope["payload"])
        signatures = [_decode_base64(signature["sig"]) for signature in envelope["signatures"]]
    except (KeyError, TypeError, AttributeError, binascii.Error):
        raise IntegrityError("is not a complete DSSE envelope; do not trust it") from None
    if kind != PAYLOAD_TYPE:
        raise IntegrityError(f"has the payload type '{kind}', not '{PAYLOAD_TYPE}'; do not trust it")
    return payload, signatures


def _decode_base64(text: str) -> bytes:
    """Decode base64 in the standard or the URL-safe alphabet."""
    return base64.b64decode(text.translate({ord("-"): "+", ord("_"): "/"}), validate=True)


def _key_id(public: "Ed25519PublicKey") -> str:
    """Return the SHA-256 of the public key as DER, to choose among several keys."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _read_public_keys(path: Path) -> list["Ed25519PublicKey"]:
    """Return the public keys of all keys in a file."""
    blocks = re.findall(b"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", _read_key_file(path), flags=re.DOTALL)
    if not blocks:
        raise UserError(f"{path}: is not a key in PEM; 'openssl pkey -in signing.pem -pubout' writes one")
    return [
        _load_private_key(block, path).public_key() if b"PRIVATE" in block else _load_public_key(block, path)
        for block in blocks
    ]


def _load_public_key(text: bytes, path: Path) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text)
    except ValueError:
        raise UserError(f"{path}: holds a block that is not a key; remove it") from None
    if not isinstance(key, Ed25519PublicKey):
        raise UserError(f"{path}: is not an Ed25519 key; name the key that signed")
    return key


def _read_private_key(path: Path) -> "Ed25519PrivateKey":
    return _load_private_key(_read_key_file(path), path)


def _load_private_key(text: bytes, path: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(text, password=None)
    except TypeError:  # raised if a passphrase is needed
        raise UserError(f"{path}: has a passphrase, which a batch cannot enter; use a key without one") from None
    except ValueError:
        raise UserError(f"{path}: does not start with a private key in PEM; {ADVICE}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"{path}: is not an Ed25519 key; {ADVICE}")
    return key


def _read_key_file(path: Path) -> bytes:
    """Return the content of a key file, after a check that the library is installed."""
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError:
        raise UserError("signatures need the library 'cryptography'; pip install 'unlearn-cli[sign]'") from None
    return read_regular(path, MOST_KEY, missing=f"the key cannot be read (there is no such file); {ADVICE}")
