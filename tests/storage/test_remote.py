"""URLs: what is behind them is fetched once and again when it changed, whole; commands and manifests take them."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from safetensors.numpy import save_file

from tests.tiny import invoke, write_manifest
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.errors import CliError, ResourceError, UserError
from unlearn_cli.storage import regular_files, remote
from unlearn_cli.storage.filesystems import redact_url
from unlearn_cli.storage.path_patterns import expand_range


@pytest.fixture
def memory() -> Iterator[Any]:
    """The file system behind memory://, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, of which the process remembers nothing."""
    monkeypatch.setenv("UNLEARN_CLI_CACHE", str(tmp_path / "cache"))
    remote.fetch_once.cache_clear()
    return tmp_path / "cache"


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/a/b.csv", "gs://bucket", "memory://a/t-{000..003}.tar", "file:///a/b.npz", "abfs://c@d.net/x"],
)
def test_a_url_that_became_a_path_is_a_url_again(url: str) -> None:
    assert remote.parse_url(Path(url)) == url


@pytest.mark.parametrize("path", ["data/a.csv", "/data/a.csv", "../a:b/c", "C:/a", "a:b", "./s3:", "12:/a"])
def test_a_path_is_no_url(path: str, tmp_path: Path) -> None:
    assert remote.parse_url(Path(path)) is None
    assert remote.locate(Path(path), tmp_path) == tmp_path / path


def test_a_file_is_fetched_once_and_again_when_it_changed(memory: Any, tmp_path: Path) -> None:
    memory.pipe("/b/a.csv", b"one")
    copy = remote.fetch("memory://b/a.csv", tmp_path / "cache")
    assert (copy.name, copy.read_text()) == ("a.csv", "one")
    before = copy.stat().st_ino
    assert remote.fetch("memory://b/a.csv", tmp_path / "cache").stat().st_ino == before
    memory.pipe("/b/a.csv", b"two")
    assert remote.fetch("memory://b/a.csv", tmp_path / "cache").read_text() == "two"


def test_a_copy_that_is_gone_is_fetched_again(memory: Any, tmp_path: Path) -> None:
    memory.pipe("/b/a.csv", b"one")
    remote.fetch("memory://b/a.csv", tmp_path).unlink()
    assert remote.fetch("memory://b/a.csv", tmp_path).read_text() == "one"


def test_of_a_folder_only_what_changed_is_fetched(memory: Any, tmp_path: Path) -> None:
    memory.pipe({"/b/d/1": b"1", "/b/d/2": b"2", "/b/d/e/3": b"3", "/b/other": b""})
    copy = remote.fetch("memory://b/d", tmp_path)
    assert contents(copy) == {"1": "1", "2": "2", "e/3": "3"}
    before = (copy / "1").stat().st_ino
    memory.pipe({"/b/d/2": b"new", "/b/d/e/4": b"4"})
    memory.rm("/b/d/e/3")
    assert contents(remote.fetch("memory://b/d/", tmp_path)) == {"1": "1", "2": "new", "e/4": "4"}
    assert (copy / "1").stat().st_ino == before


def test_what_a_killed_process_left_is_tidied_up(memory: Any, tmp_path: Path) -> None:
    memory.pipe("/b/d/1", b"1")
    copy = remote.fetch("memory://b/d", tmp_path)
    killed = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = copy.with_name(f".d.new-{int(killed.stdout)}")
    left.mkdir()
    assert contents(remote.fetch("memory://b/d", tmp_path)) == {"1": "1"}
    assert not left.exists()


def test_a_folder_that_became_a_file_and_back_is_that(memory: Any, tmp_path: Path) -> None:
    memory.pipe("/b/x/1", b"1")
    assert remote.fetch("memory://b/x", tmp_path).is_dir()
    memory.rm("/b/x", recursive=True)
    memory.pipe("/b/x", b"file")
    assert remote.fetch("memory://b/x", tmp_path).read_text() == "file"
    memory.rm("/b/x")
    memory.pipe("/b/x/1", b"1")
    assert contents(remote.fetch("memory://b/x", tmp_path)) == {"1": "1"}


def test_files_of_this_machine_have_urls_too(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a").write_text("a")
    copy = remote.fetch(f"file://{tmp_path}/there", tmp_path / "cache")
    assert contents(copy) == {"a": "a"} and copy.is_relative_to(tmp_path / "cache")


def test_the_copies_are_for_their_owner_alone(memory: Any, tmp_path: Path) -> None:
    memory.pipe("/b/a", b"")
    remote.fetch("memory://b/a", tmp_path / "cache")
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_a_dropped_copy_is_gone_with_all_that_was_known_of_it(memory: Any, tmp_path: Path) -> None:
    memory.pipe({"/b/d/1": b"1", "/b/a": b"a"})
    for url in ("memory://b/d", "memory://b/a"):
        copy = remote.fetch(url, tmp_path)
        assert remote.remove_copy(url, tmp_path) and not copy.exists()
        assert not remote.remove_copy(url, tmp_path)
        assert remote.fetch(url, tmp_path).exists()


def test_a_name_that_leads_out_of_the_folder_is_refused(memory: Any, tmp_path: Path) -> None:
    memory.store["/b/d/../../evil"] = memory.open("/b/d/x", "wb")
    with pytest.raises(UserError, match="is outside of the folder"):
        remote.fetch("memory://b/d", tmp_path / "cache")
    assert not (tmp_path / "evil").exists()


def test_what_changes_while_it_is_fetched_is_not_taken(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_file(system: Any, rpath: str, lpath: str, **kwargs: Any) -> None:
        Path(lpath).write_bytes(system.cat_file(rpath))
        system.pipe(rpath, b"another")

    memory.pipe("/b/a", b"one")
    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file)
    with pytest.raises(ResourceError, match="changed while it was fetched"):
        remote.fetch("memory://b/a", tmp_path)
    assert [path for path in tmp_path.rglob("a") if path.is_file()] == []


class NoCredentialsError(Exception):
    """Called as botocore calls its own."""


def refuse_with(error: Exception) -> Callable[..., Any]:
    def info(system: Any, path: str, **kwargs: Any) -> Any:
        raise error

    return info


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (PermissionError("KEY-123"), UserError, "permission denied"),
        (NoCredentialsError("KEY-123"), UserError, "no valid credentials"),
        (FileNotFoundError("KEY-123"), UserError, "no such object"),
        (ConnectionRefusedError("KEY-123"), ResourceError, "cannot be reached"),
        (TimeoutError("KEY-123"), ResourceError, "cannot be reached"),
        (OSError("KEY-123"), ResourceError, "returned an error"),
    ],
)
def test_what_a_file_system_says_is_told_without_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[CliError], told: str
) -> None:
    monkeypatch.setattr(MemoryFileSystem, "info", refuse_with(error))
    with pytest.raises(kind, match=told) as caught:
        remote.fetch("memory://user:KEY-123@b/a?signature=KEY-123", tmp_path)
    assert "KEY-123" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_has_neither_size_nor_checksum_is_fetched_each_time(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/b/a", b"one")
    monkeypatch.setattr(MemoryFileSystem, "info", lambda system, path, **_: {"name": path, "type": "file"})
    before = remote.fetch("memory://b/a", tmp_path).stat().st_ino
    assert remote.fetch("memory://b/a", tmp_path).stat().st_ino != before


def test_a_bug_stays_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFileSystem, "info", refuse_with(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        remote.fetch("memory://b/a", tmp_path)


def test_secrets_in_a_url_are_not_shown() -> None:
    assert redact_url("https://user:word@host/a.csv?X-Amz-Signature=1") == "https://host/a.csv"


@pytest.mark.parametrize(
    ("url", "told"),
    [("memory://b/none", "no such object"), ("nothing://b/a", "unknown kind of URL"), ("memory://", "empty")],
)
def test_what_is_not_there_is_told(memory: Any, tmp_path: Path, url: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        remote.fetch(url, tmp_path)


def test_a_missing_library_is_told_with_what_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(UserError, match=r"^gs://b/a: the library for such URLs is not installed"):
        remote.fetch("gs://b/a", tmp_path)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UserError, match=r"pip install 'unlearn-cli\[remote\]'"):
        remote.fetch("gs://b/a", tmp_path)


MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp, arguments: {hidden: [8]}}
input: {shape: [4]}
data:
  train: {table: {path: memory://bucket/train.csv, label: label, id: id}}
  test: {table: {path: memory://bucket/test.csv, label: label, id: id}}
forget: {ids_file: {path: memory://bucket/ids.csv}}
"""


def put_tables(memory: Any) -> None:
    """Put two blobs that are easily told apart, and ids to forget, behind URLs."""
    random = np.random.default_rng(0)
    for name in ("train", "test"):
        lines = [
            f"{name}{row},{row % 2}," + ",".join(f"{value:.3f}" for value in random.normal(2 * (row % 2), 1, 4))
            for row in range(80)
        ]
        memory.pipe(f"/bucket/{name}.csv", "\n".join(["id,label,a,b,c,d", *lines]).encode())
    memory.pipe("/bucket/ids.csv", b"id\ntrain0\ntrain5\n")


def test_manifest_and_checkpoint_behind_urls(memory: Any, tmp_path: Path) -> None:
    put_tables(memory)
    manifest = write_manifest(tmp_path, MANIFEST)
    trained = invoke("train", "-m", manifest, "-o", tmp_path / "original", "--set", "epochs=20", "--set", "lr=0.05")
    assert trained.exit_code == 0, trained.stderr
    memory.put(f"{tmp_path}/original/", "/bucket/original/", recursive=True)
    asked = ["-m", manifest, "-o", tmp_path / "new", "--method", "neggrad", "--set", "rewind=last", "--json"]
    result = invoke("unlearn", "memory://bucket/original", *asked)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["manifest"]["splits"]["forget"]["n"] == 2
    assert document["original"]["file_sha256"] == regular_files.sha256(tmp_path / "original" / "model.safetensors")
    assert str(tmp_path) not in result.stdout
    assert len(re.findall("fetching memory://", trained.stderr + result.stderr)) == 4  # three tables and the checkpoint
    asked = ["-m", manifest, "--original", "memory://bucket/original/model.safetensors", "--json"]
    result = invoke("evaluate", tmp_path / "new", *asked)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["original"]["tensor_digest"] == document["original"]["tensor_digest"]


def test_a_run_that_is_refused_has_fetched_nothing(memory: Any, tmp_path: Path, cache: Path) -> None:
    put_tables(memory)
    manifest = write_manifest(tmp_path, MANIFEST)
    (tmp_path / "mine").write_text("")
    for arguments in (["-o", tmp_path / "mine"], ["-o", tmp_path / "new", "--device", "abacus"]):
        result = invoke("unlearn", "memory://bucket/original", "-m", manifest, *arguments)
        assert result.exit_code == 2, result.stderr
    assert not cache.exists()


def test_a_checkpoint_that_is_not_there_is_told_with_its_url(memory: Any, tmp_path: Path) -> None:
    put_tables(memory)
    result = invoke("unlearn", "memory://bucket/none", "-m", write_manifest(tmp_path, MANIFEST), "-o", tmp_path / "new")
    assert result.exit_code == 2
    assert "memory://bucket/none: no such object" in result.stderr


def test_a_divided_checkpoint_is_fetched_with_all_its_files(memory: Any, tmp_path: Path) -> None:
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    for tensor, name in parts.items():
        save_file({tensor: np.ones(2, dtype=np.float32)}, tmp_path / name)
        memory.put_file(str(tmp_path / name), f"/bucket/large/{name}")
    memory.pipe("/bucket/large/model.safetensors.index.json", json.dumps({"weight_map": parts}).encode())
    for url in ("memory://bucket/large", "memory://bucket/large/model.safetensors.index.json"):
        assert read_header(Path(url)).layout == parts


def test_a_range_stands_for_several_shards(memory: Any, cache: Path) -> None:
    memory.pipe({"/b/t-0.tar": b"0", "/b/t-1.tar": b"1", "/b/t-2.tar": b"2"})
    found = expand_range(remote.locate(Path("memory://b/t-{0..1}.tar")))
    assert [path.read_text() for path in found] == ["0", "1"]


def test_without_a_url_no_library_is_asked_for_and_nothing_is_written(tmp_path: Path, cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from unlearn_cli.storage import remote;"
        "remote.locate(Path('a/b'), Path('c'));"
        "sys.exit('fsspec' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert not cache.exists()


@pytest.mark.parametrize("sidecar", ["", "{", "[" * 100_000, "[]", '{"files": 1, "sha256": {}}', '{"": {"size": "3"}}'])
def test_a_broken_list_of_versions_is_repaired(sidecar: str, memory: Any, tmp_path: Path) -> None:
    memory.pipe("/b/a.csv", b"one")
    copy = remote.fetch("memory://b/a.csv", tmp_path)
    copy.with_name(".a.csv.json").write_text(sidecar)
    assert remote.fetch("memory://b/a.csv", tmp_path).read_text() == "one"
    before = copy.stat().st_ino
    assert remote.fetch("memory://b/a.csv", tmp_path).stat().st_ino == before


def test_a_copy_that_was_changed_is_fetched_again(memory: Any, tmp_path: Path) -> None:
    memory.pipe({"/b/a.csv": b"one", "/b/d/1": b"1", "/b/d/2": b"2"})
    remote.fetch("memory://b/a.csv", tmp_path).write_text("two")
    (remote.fetch("memory://b/d", tmp_path) / "2").write_text("x")
    assert remote.fetch("memory://b/a.csv", tmp_path).read_text() == "one"
    assert contents(remote.fetch("memory://b/d", tmp_path)) == {"1": "1", "2": "2"}


def test_what_others_could_read_is_closed_to_them(memory: Any, tmp_path: Path) -> None:
    memory.pipe({"/b/a.csv": b"one", "/b/d/1": b"1"})
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    copies = [remote.fetch(url, tmp_path / "cache") for url in ("memory://b/a.csv", "memory://b/d")]
    folders = [tmp_path / "cache", copies[0].parent]
    assert [path.stat().st_mode & 0o777 for path in folders] == [0o700, 0o700]
    assert [path.stat().st_mode & 0o777 for path in (copies[0], copies[1] / "1")] == [0o600, 0o600]


def test_a_cache_of_another_user_is_refused(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe("/b/a.csv", b"one")
    monkeypatch.setattr(remote.os, "getuid", lambda: 12345)
    with pytest.raises(UserError, match="belongs to another user"):
        remote.fetch("memory://b/a.csv", tmp_path)
