"""The key of the ledger: made once, for its owner alone, and never made anew beside a ledger."""

import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from unlearn_cli.batch.ledger import keyed
from unlearn_cli.errors import IntegrityError, UserError


def test_the_key_is_made_once_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    key = keyed.read_or_create_key(path, tmp_path / "ledger.sqlite")
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keyed.read_or_create_key(path, tmp_path / "ledger.sqlite") == key == keyed.read_key(path)
    assert [one.name for one in tmp_path.iterdir()] == ["ledger.key"]


def test_two_folders_have_two_keys(tmp_path: Path) -> None:
    one, other = (keyed.read_or_create_key(tmp_path / f"{name}.key", tmp_path / name) for name in ("a", "b"))
    assert one != other


def test_a_digest_is_the_hmac_of_the_text() -> None:
    key = bytes(range(32))
    assert keyed.digest(key, "rec-é\n1") == hmac.new(key, "rec-é\n1".encode(), hashlib.sha256).hexdigest()
    assert list(keyed.digests(key, ["a", "b"])) == [keyed.digest(key, "a"), keyed.digest(key, "b")]


def test_a_key_that_is_gone_is_not_made_anew_beside_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").touch()
    with pytest.raises(IntegrityError, match="the ledger's key is gone"):
        keyed.read_or_create_key(tmp_path / "ledger.key", tmp_path / "ledger.sqlite")
    assert not (tmp_path / "ledger.key").exists()


@pytest.mark.parametrize("text", ["", "abc", "00" * 31, "zz" * 32, "é" * 64])
def test_what_is_no_key_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.key"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(IntegrityError, match="is not a key of 32 bytes"):
        keyed.read_key(path)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    keyed.read_or_create_key(path, tmp_path / "ledger.sqlite")
    path.chmod(0o640)
    with pytest.raises(UserError, match=r"chmod 600 ledger\.key"):
        keyed.read_key(path)
