"""The format of a checkpoint is recognised by its content, whatever the length of a header looks like."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save, save_file

from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.checkpoints.foreign_files import read_contents
from unlearn_cli.checkpoints.foreign_formats import FOREIGN, describe_part, explain_content, recognise
from unlearn_cli.errors import UserError


@pytest.mark.parametrize("first", [*FOREIGN, b"PK\x03\x04", b"\x80\x02", b"\x1f\x8b", b"<"], ids=repr)
def test_a_header_whose_length_looks_like_another_format(first: bytes, tmp_path: Path) -> None:
    length = int.from_bytes(first[:2], "little")  # of the header
    content = save({"a": np.ones(2, np.float32)}, {"k": ""})
    size = int.from_bytes(content[:8], "little")
    wanted = length if length >= size else length + 256 * -(-(size - length) // 256)
    path = tmp_path / "m.safetensors"
    save_file({"a": np.ones(2, np.float32)}, path, {"k": "x" * (wanted - size)})
    start = path.read_bytes()[:512]
    assert start[:1] == first[:1] or wanted % 8  # safetensors pads headers to a multiple of 8
    assert explain_content(start) is None and recognise(path) == "safetensors"
    assert list(read_header(path).layout) == ["a"]


def test_every_length_of_a_header_is_one_of_safetensors() -> None:
    for length in [*range(2, 1000), 0x8B1F, 2**20]:
        assert explain_content(length.to_bytes(8, "little") + b'{"a"' + bytes(600)) is None


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_of_torch_with_another_suffix(legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=not legacy)
    assert read_contents(path).sets[0].tensors["a"].tolist() == [1, 1]
    with pytest.raises(UserError, match=r"it was written by torch.save; 'unlearn-cli convert' reads it"):
        read_header(path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"version https://git-lfs.github.com/spec", "git lfs pull")]
)
def test_a_part_of_a_sharded_checkpoint_that_was_not_fetched(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    stem, _, suffix = name.partition(".")
    parts = [tmp_path / f"{stem}-{number:05d}-of-00002.{suffix}" for number in (1, 2)]
    (tmp_path / f"{name}.index.json").write_text(
        f'{{"weight_map": {{"a": "{parts[0].name}", "b": "{parts[1].name}"}}}}'
    )
    if suffix == "bin":
        torch.save({"a": torch.ones(1)}, parts[0])
    else:
        save_file({"a": np.ones(1, np.float32)}, parts[0])
    parts[1].write_bytes(content)
    with pytest.raises(UserError, match=f"{parts[1].name}: .*{message}"):
        read_contents(tmp_path)


def test_parts_and_files_of_other_libraries(tmp_path: Path) -> None:
    assert describe_part(Path("model-00003-of-00012.safetensors")) == "part 3 of 12"
    assert describe_part(Path("model-00001-of-00001.safetensors")) is describe_part(Path("model.bin")) is None
    for name, message in (("m.onnx", "ONNX"), ("flax_model.msgpack", "Flax"), ("__0_0.distcp", "name its folder")):
        (tmp_path / name).write_bytes(b"\x08\x07")
        with pytest.raises(UserError, match=message):
            recognise(tmp_path / name)
