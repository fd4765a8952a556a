"""Tensors are written one after the other, into the bytes that safetensors itself would read and write."""

import json
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.tiny import same
from unlearn_cli.runtime.tensor_file import TYPES, LazyTensors, write_tensors

MIXED = {
    "halves": torch.arange(3).half(), "flag": torch.tensor(True), "nothing": torch.zeros(0, 3),
    "weights": torch.linspace(-1, 1, 24).reshape(1, 2, 3, 4), "count": torch.tensor(7),
    "small": torch.ones(5).bfloat16(),
}  # fmt: skip


def parts(path: Path) -> tuple[dict[str, object], bytes]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def test_a_file_is_what_safetensors_writes_but_for_the_order_of_its_header(tmp_path: Path) -> None:
    ours, theirs, facts = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors", {"b": "1", "a": "\u00fc"}
    write_tensors(ours, LazyTensors(MIXED), facts)
    save_file(MIXED, theirs, facts)
    assert parts(ours) == parts(theirs)
    assert same(load_file(ours), MIXED)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_dtype_is_read_again(dtype: torch.dtype, tmp_path: Path) -> None:
    tensor = torch.tensor([0, 1, 1]).to(dtype)
    found = load_file(write_tensors(tmp_path / "a.safetensors", LazyTensors({"x": tensor}), {}))["x"]
    assert found.dtype == dtype
    assert torch.equal(found.view(torch.uint8), tensor.view(torch.uint8))


def test_tensors_that_share_memory_or_lie_otherwise_are_written_in_plain_order(tmp_path: Path) -> None:
    x = torch.arange(120.0).reshape(1, 5, 4, 6)
    tensors = {"x": x, "again": x, "last": x.to(memory_format=torch.channels_last), "turned": x.transpose(1, 2)}
    assert same(load_file(write_tensors(tmp_path / "a.safetensors", LazyTensors(tensors), {})), tensors)


def test_no_more_than_one_copy_of_one_tensor_is_alive(tmp_path: Path) -> None:
    handed_out: list[weakref.ref[Tensor]] = []

    class Watched(LazyTensors):
        def __getitem__(self, name: str) -> Tensor:
            assert not [one for one in handed_out if one() is not None]
            tensor = super().__getitem__(name)
            handed_out.append(weakref.ref(tensor))
            return tensor

    weights = {str(number): torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last) for number in range(3)}
    write_tensors(tmp_path / "a.safetensors", Watched(weights), {})
    assert len(handed_out) == 3
