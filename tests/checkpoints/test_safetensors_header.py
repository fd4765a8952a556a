"""Headers of safetensors files: types that cannot be computed with, lies, duplicates and floods are refused."""

import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from unlearn_cli.checkpoints import safetensors_header
from unlearn_cli.checkpoints.checkpoint_header import MAX_INDEX, read_header
from unlearn_cli.errors import UserError
from unlearn_cli.storage import regular_files


def write(path: Path, header: dict[str, Any] | str, data: bytes = b"") -> Path:
    content = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + data)
    return path


def entry(dtype: str = "F32", shape: list[int] = [2], offsets: list[int] = [0, 8]) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_header(path)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def test_a_header_is_described(tmp_path: Path) -> None:
    save_file({"a": np.ones((2, 3), np.float32), "b": np.ones(0, np.uint8)}, tmp_path / "m.safetensors", {"k": "v"})
    found = safetensors_header.read(tmp_path / "m.safetensors")
    assert {name: (one.dtype, one.shape) for name, one in found.entries.items()} == {
        "a": ("F32", (2, 3)), "b": ("U8", (0,)),
    }  # fmt: skip
    assert found.metadata == {"k": "v"}


@pytest.mark.parametrize(("dtype", "bits"), [("F8_E4M3", 8), ("F8_E5M2", 8), ("F4", 4), ("F8_E8M0", 8), ("C64", 64)])
def test_types_that_no_network_is_computed_in_are_refused(dtype: str, bits: int, tmp_path: Path) -> None:
    path = write(tmp_path / "m.safetensors", {"a": entry(dtype, [2], [0, 2 * bits // 8])}, bytes(2 * bits // 8))
    assert f"'a' is of type {dtype}" in refusal(path)


@pytest.mark.parametrize(
    "header",
    [{"a": entry(shape=[2**63, 0], offsets=[0, 0])}, {"a": entry(shape=[2**64])}, {"a": entry(shape=[-2])},
     {"a": entry(offsets=[8, 16])}, {"a": entry(), "b": entry()}, {"a": entry("X")}, {"a": 1}, {"a": {}}, [], "[",
     '{"a": {"dtype": "F32", "dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', '{"__metadata__": {"a": 1}}'],
    ids=str,
)  # fmt: skip
def test_headers_that_lie_are_refused(header: Any, tmp_path: Path) -> None:
    refusal(write(tmp_path / "m.safetensors", header, bytes(8)))


def test_bytes_of_no_tensor_are_refused(tmp_path: Path) -> None:
    refusal(write(tmp_path / "m.safetensors", {"a": entry()}, bytes(16)))


def test_a_flood_of_tensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert safetensors_header.MAX_TENSORS == 100_000
    monkeypatch.setattr(safetensors_header, "MAX_TENSORS", 100)
    empty = {f"t{number}": entry(shape=[0], offsets=[0, 0]) for number in range(101)}
    assert "contains 101 tensors; expected at most 100" in refusal(write(tmp_path / "m.safetensors", empty))
    del empty["t7"]
    assert len(read_header(write(tmp_path / "m.safetensors", empty)).layout) == 100


@pytest.mark.parametrize("name", ["a\0.safetensors", "\ud800.safetensors", "x" * 300 + ".safetensors", ".safetensors"])
def test_odd_names_in_an_index_are_refused(name: str, tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    refusal(index)


def test_an_index_that_is_too_large_or_no_mapping_is_refused(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    for content, says in ((b" " * (MAX_INDEX + 1), "too large"), (b"[]", "weight_map"), (b"\xff", "weight_map")):
        index.write_bytes(content)
        assert says in refusal(index)


def test_only_regular_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "is a pipe; expected a regular file" in refusal(tmp_path / "pipe.safetensors")
    (tmp_path / "null.safetensors").symlink_to("/dev/zero")
    assert "is a device; expected a regular file" in refusal(tmp_path / "null.safetensors")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(tmp_path)
        listening.bind("socket")
    for read in (regular_files.open_regular, regular_files.require_regular_file):
        with pytest.raises(UserError, match="is a socket; expected a regular file"):
            read(Path("socket"))


@pytest.mark.parametrize(
    ("kind", "size", "advice"),
    [("F8_E5M2", 1, "F8_E5M2; .* 'unlearn-cli convert' makes it"), ("C64", 8, "C64; .* save it as float32")],
)
def test_types_that_no_network_is_trained_with(kind: str, size: int, advice: str, tmp_path: Path) -> None:
    header = {"a": {"dtype": kind, "shape": [2], "data_offsets": [0, 2 * size]}}
    path = write(tmp_path / "a.safetensors", header, bytes(2 * size))
    with pytest.raises(UserError, match=f"'a' is of type {advice}"):
        read_header(path)
