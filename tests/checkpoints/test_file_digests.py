from pathlib import Path

import torch
from safetensors.torch import save_file

from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.checkpoints.file_digests import TYPES, tensor_digest


def test_the_digest_without_torch_is_that_with_it_for_every_type(tmp_path: Path) -> None:
    tensors = {f"{name}.weight": torch.ones(2, 3).to(getattr(torch, name)) for name in TYPES.values()}
    tensors |= {"empty": torch.zeros(0, 4), "scalar": torch.tensor(7)}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    header = read_header(tmp_path / "model.safetensors")
    assert tensor_digest(header) == checkpoint.tensor_digest(tensors)


def test_it_is_the_same_when_the_tensors_lie_in_several_files(original: Path, tmp_path: Path) -> None:
    whole = checkpoint.load(original)
    names = sorted(whole.tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, held in parts.items():
        save_file({name: whole.tensors[name] for name in held}, tmp_path / file)
    index = {name: file for file, held in parts.items() for name in held}
    (tmp_path / "model.safetensors.index.json").write_text(f'{{"weight_map": {index}}}'.replace("'", '"'))
    assert tensor_digest(read_header(tmp_path)) == whole.tensor_digest
    assert tensor_digest(read_header(original)) == whole.tensor_digest
