"""Signatures: others' tools accept ours and we theirs; a changed statement, a wrong key or no key is found out."""

import base64
import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey  # pyright: ignore[reportPrivateImportUsage]

from tests.batch.test_evidence import FACTS, unlearned
from tests.tiny import ROOT
from unlearn_cli.batch.evidence import evidence, signing
from unlearn_cli.errors import IntegrityError, UserError

STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "é"}], "predicate": {"n": 1}}
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
NO_PASSPHRASE = serialization.NoEncryption()
Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


def write_key(path: Path, private: Private, encryption: Any = NO_PASSPHRASE) -> Path:
    path.write_bytes(private.private_bytes(PEM, PKCS8, encryption))
    return path


def write_public(path: Path, private: Private) -> Path:
    path.write_bytes(private.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return path


@pytest.fixture
def private() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def key(tmp_path: Path, private: ed25519.Ed25519PrivateKey) -> Path:
    return write_key(tmp_path / "signing.pem", private)


@pytest.fixture
def public(tmp_path: Path, private: ed25519.Ed25519PrivateKey) -> Path:
    return write_public(tmp_path / "signing.pub", private)


def test_the_encoding_is_that_of_the_test_vector_of_dsse() -> None:
    found = signing.encode_pae("http://example.com/HelloWorld", b"hello world")
    assert found == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_another_implementation_accepts_our_signature(key: Path, private: ed25519.Ed25519PrivateKey) -> None:
    made = signing.sign(STATEMENT, key)
    theirs = Envelope.from_dict(json.loads(json.dumps(made)))
    assert theirs.pae() == signing.encode_pae(signing.PAYLOAD_TYPE, theirs.payload)
    assert json.loads(theirs.payload) == STATEMENT
    known = SSlibKey.from_crypto(private.public_key(), keyid=made["signatures"][0]["keyid"])
    assert theirs.verify([known], 1)
    theirs.payload += b" "
    with pytest.raises(VerificationError):
        theirs.verify([known], 1)


def test_we_accept_the_signature_of_another_implementation(private: ed25519.Ed25519PrivateKey, public: Path) -> None:
    theirs = Envelope(json.dumps(STATEMENT).encode(), signing.PAYLOAD_TYPE, {})
    theirs.sign(CryptoSigner(private))
    assert signing.verify(theirs.to_dict(), public) == STATEMENT


def test_the_same_statement_and_key_give_the_same_envelope(key: Path) -> None:
    assert signing.sign(STATEMENT, key) == signing.sign(STATEMENT, key)


def test_either_alphabet_of_base64_and_either_key_will_do(key: Path, public: Path) -> None:
    made = signing.sign(STATEMENT, key)
    made["signatures"][0]["sig"] = made["signatures"][0]["sig"].replace("+", "-").replace("/", "_")
    assert set("-_") & set(made["signatures"][0]["sig"])
    assert signing.verify(made, key) == signing.verify(made, public) == STATEMENT


def test_one_of_several_signatures_suffices_whatever_its_name_is(key: Path, public: Path) -> None:
    made = signing.sign(STATEMENT, key)
    other = {"keyid": "somebody", "sig": base64.b64encode(b"x" * 64).decode()}
    made["signatures"] = [other, made["signatures"][0] | {"keyid": "not ours"}]
    assert signing.verify(made, public) == STATEMENT


def changed_payload(made: dict[str, Any]) -> None:
    made["payload"] = base64.b64encode(base64.b64decode(made["payload"]) + b" ").decode()


def changed_signature(made: dict[str, Any]) -> None:
    made["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (changed_payload, "no signature in it is of a key in signing.pub"),
        (changed_signature, "no signature in it is of a key in signing.pub"),
        (lambda made: made.update(signatures=[]), "no signature in it"),
        (lambda made: made.update(payloadType="application/json"), "has the payload type 'application/json'"),
        (lambda made: made.update(payload="%%%"), "is not a complete DSSE envelope"),
        (lambda made: made.update(payload=3), "is not a complete DSSE envelope"),
        (lambda made: made.update(signatures=["x"]), "is not a complete DSSE envelope"),
        (lambda made: made.pop("payload"), "is not a complete DSSE envelope"),
    ],
)
def test_what_was_tampered_with_is_found_out(
    key: Path, public: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    made = signing.sign(STATEMENT, key)
    change(made)
    with pytest.raises(IntegrityError, match=told):
        signing.verify(made, public)


@pytest.mark.parametrize("envelope", [None, [], "x", 3])
def test_what_is_no_envelope_is_told_as_that(public: Path, envelope: Any) -> None:
    with pytest.raises(IntegrityError, match="is not a complete DSSE envelope"):
        signing.verify(envelope, public)


def test_the_signature_of_another_key_is_refused(key: Path, tmp_path: Path) -> None:
    other = write_public(tmp_path / "other.pub", ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(IntegrityError, match=r"a key in other\.pub"):
        signing.verify(signing.sign(STATEMENT, key), other)


def test_what_a_former_key_signed_stays_good_beside_the_present_one(key: Path, public: Path, tmp_path: Path) -> None:
    before = signing.sign(STATEMENT, key)
    both = write_key(tmp_path / "both.pem", ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(IntegrityError):
        signing.verify(before, both)
    both.write_bytes(both.read_bytes() + public.read_bytes())
    assert signing.verify(before, both) == signing.verify(signing.sign(STATEMENT, both), both) == STATEMENT
    with pytest.raises(IntegrityError):
        signing.verify(signing.sign(STATEMENT, both), key)


def test_keys_that_cannot_sign_are_told_before_any_work(tmp_path: Path, private: ed25519.Ed25519PrivateKey) -> None:
    junk, folder, missing = tmp_path / "junk.pem", tmp_path, tmp_path / "missing.pem"
    junk.write_text("no key")
    locked = write_key(tmp_path / "locked.pem", private, serialization.BestAvailableEncryption(b"secret"))
    curve = write_key(tmp_path / "curve.pem", ec.generate_private_key(ec.SECP256R1()))
    told = {
        junk: "does not start with a private key in PEM", folder: "is a folder", missing: "cannot be read",
        locked: "has a passphrase", curve: "is not an Ed25519 key",
        write_public(tmp_path / "p.pub", private): "does not start with a private key",
    }  # fmt: skip
    for path, what in told.items():
        with pytest.raises(UserError, match=what):
            signing.check_key(path)


def test_keys_that_cannot_verify_are_told(key: Path, tmp_path: Path) -> None:
    made, junk = signing.sign(STATEMENT, key), tmp_path / "junk.pub"
    junk.write_text("no key")
    with pytest.raises(UserError, match="is not a key in PEM"):
        signing.verify(made, junk)
    with pytest.raises(UserError, match="is not an Ed25519 key"):
        signing.verify(made, write_public(tmp_path / "curve.pub", ec.generate_private_key(ec.SECP256R1())))


def test_a_missing_library_is_told_with_the_extra_that_brings_it(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(UserError, match=r"pip install 'unlearn-cli\[sign\]'"):
        signing.check_key(key)


def test_without_a_key_the_library_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert set(evidence.write_evidence(tmp_path, FACTS, unlearned(), None)) == {"provenance.json", "test-result.json"}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_the_guides_lines_make_keys_that_sign_and_verify(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "guides" / "evidence.md").read_text(encoding="utf-8")
    lines = re.findall(r"^openssl .*$", guide, flags=re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        subprocess.run(line, shell=True, cwd=tmp_path, check=True)
    assert stat.S_IMODE((tmp_path / "signing.pem").stat().st_mode) == 0o600
    assert signing.verify(signing.sign(STATEMENT, tmp_path / "signing.pem"), tmp_path / "signing.pub") == STATEMENT


def signed(folder: Path, key: Path) -> Path:
    evidence.write_evidence(folder, FACTS, unlearned(), None, key)
    return folder


def test_every_statement_of_a_run_is_signed_and_checked(tmp_path: Path, key: Path, public: Path) -> None:
    folder = signed(tmp_path / "evidence", key)
    assert evidence.verify_signatures(folder, public) == ["provenance.dsse.json", "test-result.dsse.json"]


def test_a_statement_that_was_changed_beside_its_envelope_is_named(tmp_path: Path, key: Path, public: Path) -> None:
    folder = signed(tmp_path / "evidence", key)
    statement = folder / "test-result.json"
    statement.write_text(statement.read_text().replace("WARNED", "PASSED"))
    with pytest.raises(IntegrityError, match=r"^test-result\.json: differs from the statement that was signed"):
        evidence.verify_signatures(folder, public)


def test_half_an_envelope_is_named(tmp_path: Path, key: Path, public: Path) -> None:
    folder = signed(tmp_path / "evidence", key)
    (folder / "provenance.dsse.json").write_text('{"payload": ')
    with pytest.raises(IntegrityError, match=r"^provenance\.dsse\.json: is not valid JSON"):
        evidence.verify_signatures(folder, public)


@pytest.mark.parametrize("name", ["provenance.json", "provenance.dsse.json"])
def test_a_statement_or_an_envelope_that_is_gone_is_named(tmp_path: Path, key: Path, public: Path, name: str) -> None:
    folder = signed(tmp_path / "evidence", key)
    (folder / name).unlink()
    with pytest.raises(IntegrityError, match=f"^{name}: is missing"):
        evidence.verify_signatures(folder, public)
