"""A batch whose source, first checkpoint and readers are behind URLs, with signed evidence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.batch.test_signing import write_key, write_public
from tests.batch.tiny import DELETION, MANIFEST, ask, batch, data, document, train, write_project
from unlearn_cli.storage import regular_files, remote, remote_versions

SIGNED = DELETION.replace("original/model", "memory://bucket/original/model") + (
    "signing_key: signing.pem\npublish: memory://bucket/models\nretention: {versions: 0, days: 0}\n"
)
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("UNLEARN_CLI_CACHE", str(tmp_path / "cache"))
    remote.fetch_once.cache_clear()
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("trained")) / "original" / "model.safetensors"


@pytest.fixture
def project(memory: Any, original: Path, tmp_path: Path) -> Path:
    for name, table in data().items():
        memory.pipe(f"/bucket/{name}.csv", table.encode())
    memory.put_file(str(original), "/bucket/original/model.safetensors")
    folder = write_project(tmp_path / "batch", MANIFEST.replace("path: ", "path: memory://bucket/"), SIGNED).parent
    for name in data():
        (folder / f"{name}.csv").unlink()
    write_key(folder / "signing.pem", KEY)
    return folder


def test_a_batch_works_on_what_is_behind_urls(project: Path, memory: Any) -> None:
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    document(project)
    pointer = remote_versions.read_pointer("memory://bucket/models")
    assert pointer is not None and pointer["version"] == "v0001"
    assert pointer["files"]["model.safetensors"] == regular_files.sha256(
        project / "models" / "current" / "model.safetensors"
    )
    assert document(project, "verify")["findings"] == []
    for path in (project / "runs").rglob("*.json"):
        assert str(project) not in path.read_text() and "rec-1" not in path.read_text()


def test_vacuum_removes_the_copies_and_the_next_run_fetches_them_again(project: Path, tmp_path: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    document(project)
    assert len(list((tmp_path / "cache").rglob("*.csv"))) == 2
    removed = document(project, "vacuum")["removed"]
    assert [name for name in removed if name.startswith("copy of memory://bucket/train.csv")]
    assert list((tmp_path / "cache").rglob("*.csv")) == []
    assert document(project, "verify")["findings"] == []
    remote.fetch_once.cache_clear()  # another night, another process
    ask(project, "DSR-2", ids=["rec-2"])
    document(project)
    pointer = remote_versions.read_pointer("memory://bucket/models")
    assert pointer is not None and pointer["version"] == "v0002"


def test_verify_finds_evidence_that_another_key_signed(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    document(project)
    write_key(project / "signing.pem", ed25519.Ed25519PrivateKey.generate())
    found = batch(project, "verify")
    assert found.exit_code == 6
    assert "R0001: provenance.dsse.json: no signature in it is of a key in signing.pem" in found.stdout
    former = write_public(project / "former.pub", KEY)
    with (project / "signing.pem").open("ab") as file:
        file.write(former.read_bytes())
    assert document(project, "verify")["findings"] == []
