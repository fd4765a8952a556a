"""Publishing: all of a version is there before the pointer names it, and who follows that can check the bytes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.storage import regular_files, remote, remote_versions


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return made(tmp_path / "models" / "v0001", "one")


def made(folder: Path, text: str) -> Path:
    (folder / "evidence").mkdir(parents=True)
    (folder / "model.safetensors").write_text(text)
    (folder / "evidence" / "provenance.json").write_text("{}")
    return folder


def test_a_version_and_then_the_pointer_are_written(memory: Any, version: Path) -> None:
    pointer = remote_versions.publish(version, "memory://models")
    assert pointer == remote_versions.read_pointer("memory://models") == json.loads(memory.cat("/models/current.json"))
    assert pointer["version"] == "v0001"
    assert pointer["files"]["model.safetensors"] == regular_files.sha256(version / "model.safetensors")
    assert sorted(memory.find("/models")) == [
        "/models/current.json", "/models/v0001/evidence/provenance.json", "/models/v0001/model.safetensors",
    ]  # fmt: skip


def test_who_follows_the_pointer_finds_the_same_bytes(version: Path, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/there/models"
    pointer = remote_versions.publish(version, url)
    copy = remote.fetch(f"{url}/{pointer['version']}", tmp_path / "cache")
    assert {name: regular_files.sha256(copy / name) for name in pointer["files"]} == pointer["files"]
    assert [path.name for path in sorted((tmp_path / "there" / "models").iterdir())] == ["current.json", "v0001"]


def test_the_same_version_is_not_sent_twice(memory: Any, version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote_versions.publish(version, "memory://models")
    monkeypatch.setattr(MemoryFileSystem, "put_file", lambda *_, **__: pytest.fail("sent again"))
    remote_versions.publish(version, "memory://models")


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_while_a_version_is_being_sent_the_pointer_names_the_old_one(
    memory: Any, version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    url = "memory://models" if kind == "memory" else f"file://{tmp_path}/there"
    old = remote_versions.publish(version, url)
    seen = []

    def put_file(system: Any, lpath: str, rpath: str, **kwargs: Any) -> None:
        seen.append(remote_versions.read_pointer(url))
        raise ConnectionResetError

    monkeypatch.setattr(type(fsspec.filesystem(kind)), "put_file", put_file)
    with pytest.raises(ResourceError, match="cannot be reached"):
        remote_versions.publish(made(tmp_path / "models" / "v0002", "two"), url)
    assert seen == [old]
    assert remote_versions.read_pointer(url) == old
    monkeypatch.undo()
    assert remote_versions.publish(tmp_path / "models" / "v0002", url)["version"] == "v0002"


def test_what_does_not_arrive_whole_is_not_named(memory: Any, version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put_file(system: Any, lpath: str, rpath: str, **kwargs: Any) -> None:
        system.pipe_file(rpath, b"")

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
    with pytest.raises(ResourceError, match="was copied incompletely"):
        remote_versions.publish(version, "memory://models")
    assert remote_versions.read_pointer("memory://models") is None


def test_a_superseded_version_can_be_withdrawn(memory: Any, version: Path, tmp_path: Path) -> None:
    remote_versions.publish(version, "memory://models")
    remote_versions.publish(made(tmp_path / "models" / "v0002", "two"), "memory://models")
    assert remote_versions.withdraw("memory://models", "v0001")
    assert not remote_versions.withdraw("memory://models", "v0001")
    assert not [name for name in memory.find("/models") if "v0001" in name]


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"version": "of something else"}', b"\xff"])
def test_a_pointer_of_somebody_else_is_not_replaced(memory: Any, version: Path, text: bytes) -> None:
    memory.pipe("/models/current.json", text)
    with pytest.raises(UserError, match="was not written by unlearn-cli"):
        remote_versions.publish(version, "memory://models")
    assert memory.find("/models") == ["/models/current.json"]


def test_a_place_that_nothing_knows_is_told(version: Path) -> None:
    with pytest.raises(UserError, match="unknown kind of URL"):
        remote_versions.publish(version, "nothing://models")
