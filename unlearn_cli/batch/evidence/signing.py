"""Signatures of statements: DSSE envelopes with Ed25519, by an extra library that is imported when there is a key.

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
ADVICE = "'openssl genpkey -algorithm ed25519 -out signing.pem' makes one"

Envelope = dict[str, Any]


def sign(statement: Statement, key: Path) -> Envelope:
    """Return the statement in an envelope, signed with the private key of a PEM file.

    Raises:
        UserError: as `check_key`.
    """
    private, payload = _private_key(key), to_json(statement).encode()
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [
            {
                "keyid": _key_id(private.public_key()),
                "sig": base64.b64encode(private.sign(pae(PAYLOAD_TYPE, payload))).decode(),
            }
        ],
    }


def verify(envelope: Any, key: Path) -> Statement:
    """Return the statement that an envelope holds, if it is signed with a key of a PEM file: public ones, or private.

    A file may hold several keys, the present one and the public ones of those before it.

    Raises:
        IntegrityError: it is no envelope of a statement, or none of its signatures is of such a key over what it says.
        UserError: as `check_key`.
    """
    from cryptography.exceptions import InvalidSignature

    keys = _public_keys(key)
    payload, signatures = _opened(envelope)
    for public, signature in product(keys, signatures):  # 'keyid' is a hint that nobody has signed: all are tried
        try:
            public.verify(signature, pae(PAYLOAD_TYPE, payload))
            return json.loads(payload)
        except InvalidSignature:
            continue
    raise IntegrityError(f"no signature in it is of a key in {key.name} over what it says; do not trust it")


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed, DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def check_key(key: Path) -> None:
    """Refuse a key that cannot sign, before anything expensive.

    Raises:
        UserError: the extra is not installed, or the file is no private Ed25519 key in PEM without a passphrase.
    """
    _private_key(key)


def _opened(envelope: Any) -> tuple[bytes, list[bytes]]:
    """Return the payload of an envelope and its signatures."""
    try:
        kind, payload = envelope["payloadType"], _decoded(envelope["payload"])
        signatures = [_decoded(one["sig"]) for one in envelope["signatures"]]
    except (KeyError, TypeError, AttributeError, binascii.Error):
        raise IntegrityError("is no DSSE envelope, or not all of one; do not trust it") from None
    if kind != PAYLOAD_TYPE:
        raise IntegrityError(f"holds '{kind}', not '{PAYLOAD_TYPE}'; do not trust it")
    return payload, signatures


def _decoded(text: str) -> bytes:
    """Read base64 of either alphabet."""
    return base64.b64decode(text.translate({ord("-"): "+", ord("_"): "/"}), validate=True)


def _key_id(public: "Ed25519PublicKey") -> str:
    """Return the SHA-256 of the public key as DER, for those who have several keys."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _public_keys(path: Path) -> list["Ed25519PublicKey"]:
    """Return the keys in a file that may have signed."""
    blocks = re.findall(b"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", _read(path), flags=re.DOTALL)
    if not blocks:
        raise UserError(f"{path}: is no key in PEM; 'openssl pkey -in signing.pem -pubout' writes one")
    return [_private(block, path).public_key() if b"PRIVATE" in block else _public(block, path) for block in blocks]


def _public(text: bytes, path: Path) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text)
    except ValueError:
        raise UserError(f"{path}: holds something else than keys; leave it out") from None
    if not isinstance(key, Ed25519PublicKey):
        raise UserError(f"{path}: is no Ed25519 key; name the key that signed")
    return key


def _private_key(path: Path) -> "Ed25519PrivateKey":
    return _private(_read(path), path)


def _private(text: bytes, path: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(text, password=None)
    except TypeError:  # so it says that a passphrase is needed
        raise UserError(f"{path}: has a passphrase, which a batch cannot ask for; give a key without one") from None
    except ValueError:
        raise UserError(f"{path}: begins with no private key in PEM; {ADVICE}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"{path}: is no Ed25519 key; {ADVICE}")
    return key


def _read(path: Path) -> bytes:
    """Return the text of a key file, once it is sure that something can read it."""
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError:
        raise UserError("signatures need the library 'cryptography'; pip install 'unlearn-cli[sign]'") from None
    return read_regular(path, MOST_KEY, missing=f"the key cannot be read (there is no such file); {ADVICE}")
