"""The same against a server that speaks S3, on this machine alone; skipped where moto or s3fs is not installed."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.storage import regular_files, remote, remote_versions

s3fs = pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")
boto3 = pytest.importorskip("boto3")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server that is this test's own, found as a user's would be: by the environment."""
    running = moto_server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield running
    running.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(server: Any) -> Any:
    client = boto3.client("s3")
    client.create_bucket(Bucket="data")
    return lambda key, body: client.put_object(Bucket="data", Key=key, Body=body)


def ask(server: Any, path: str, body: bytes) -> None:
    host, port = server.get_host_and_port()
    headers = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}{path}", body, headers, method="POST")).close()


def test_objects_are_fetched_again_when_their_etag_changed(bucket: Any, tmp_path: Path) -> None:
    bucket("a.csv", b"one")
    copy = remote.fetch("s3://data/a.csv", tmp_path)
    before = copy.stat().st_ino
    bucket("a.csv", b"one")  # the same bytes, later: the same ETag
    assert remote.fetch("s3://data/a.csv", tmp_path).stat().st_ino == before
    bucket("a.csv", b"two")
    assert remote.fetch("s3://data/a.csv", tmp_path).read_text() == "two"


def test_a_prefix_is_a_folder(bucket: Any, tmp_path: Path) -> None:
    bucket("d/1", b"1")
    bucket("d/e/2", b"2")
    bucket("d2", b"")
    copy = remote.fetch("s3://data/d", tmp_path)
    assert sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()) == ["1", "e/2"]


def test_a_published_version_is_what_was_sent(bucket: Any, tmp_path: Path) -> None:
    (tmp_path / "v0001").mkdir()
    (tmp_path / "v0001" / "model.safetensors").write_bytes(bytes(2**20))
    pointer = remote_versions.publish(tmp_path / "v0001", "s3://data/models")
    assert remote_versions.read_pointer("s3://data/models") == pointer
    copy = remote.fetch("s3://data/models/v0001", tmp_path / "cache")
    assert {"model.safetensors": regular_files.sha256(copy / "model.safetensors")} == pointer["files"]
    assert remote_versions.withdraw("s3://data/models", "v0000") is False


@pytest.mark.parametrize("url", ["s3://data/none", "s3://nobucket/a", "s3://data/none/"])
def test_what_is_not_there_is_told(bucket: Any, tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match=f"^{url}: no such object"):
        remote.fetch(url, tmp_path)


def test_a_bucket_that_is_not_there_is_not_made(bucket: Any, tmp_path: Path) -> None:
    (tmp_path / "v0001").mkdir()
    (tmp_path / "v0001" / "report.json").write_text("{}")
    with pytest.raises(UserError, match="no such object"):
        remote_versions.publish(tmp_path / "v0001", "s3://nobucket/models")
    assert [one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]] == ["data"]


def test_a_name_that_no_bucket_can_have_is_told(server: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the file system does not allow this name"):
        remote.fetch("s3://No_Bucket!/a", tmp_path)


def test_who_may_not_is_told_without_the_key(bucket: Any, server: Any, tmp_path: Path) -> None:
    bucket("a.csv", b"one")
    ask(server, "/moto-api/reset-auth", b"0")  # from now on it asks who somebody is
    try:
        with pytest.raises(UserError, match="permission denied") as caught:
            remote.fetch("s3://data/a.csv", tmp_path)
    finally:
        ask(server, "/moto-api/reset-auth", b"Infinity")
    assert "testing" not in str(caught.value)


def test_missing_credentials_are_told(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(UserError, match="no valid credentials"):
        remote.fetch("s3://data/a.csv", tmp_path)


def test_a_server_that_is_gone_is_told(server: Any, tmp_path: Path) -> None:
    server.stop()
    with pytest.raises(ResourceError, match="cannot be reached"):
        remote.fetch("s3://data/a.csv", tmp_path)
