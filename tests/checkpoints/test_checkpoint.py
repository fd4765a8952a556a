import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.tiny import same
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.commands import convert
from unlearn_cli.commands.convert import ConvertOptions
from unlearn_cli.errors import UserError
from unlearn_cli.learning.noise import Noise, save_noise
from unlearn_cli.plugins.run_options import RunOptions

SEED = {"PYTHONHASHSEED": "1"}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


def saved(folder: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> Path:
    path = folder / "input.safetensors"
    save_file(tensors, path, metadata)
    return path


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    weights = network().state_dict()
    path = checkpoint.save(tmp_path, weights, {"method": "unsir"})
    loaded = checkpoint.load(path)
    assert same(dict(weights), loaded.tensors)
    assert loaded.describe()["lineage"]["method"] == "unsir"
    assert loaded.metadata["format"] == "pt"


def test_the_same_weights_give_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    script = (
        "import sys, torch; from pathlib import Path; from unlearn_cli.checkpoints import checkpoint\n"
        "facts = {'b': '2', 'a': '1', 'd': '4', 'c': '3'}\n"
        "for i in range(4):\n"
        "    folder = Path(sys.argv[1], str(i)); folder.mkdir(parents=True)\n"
        "    checkpoint.save(folder, {'y': torch.ones(3), 'x': torch.zeros(2)}, facts)"
    )
    # This process has another hash seed: sets and the library's own maps are in another order.
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "other")], check=True, env={**os.environ, **SEED})
    weights, facts = {"y": torch.ones(3), "x": torch.zeros(2)}, {"b": "2", "a": "1", "d": "4", "c": "3"}
    for i in range(4):
        (tmp_path / str(i)).mkdir()
        checkpoint.save(tmp_path / str(i), weights, facts)
    contents = [path.read_bytes() for path in tmp_path.rglob("*.safetensors")]
    assert len(contents) == 8 and len(set(contents)) == 1


def test_half_precision_weights_are_computed_in_fp32_and_written_back_in_their_own_type(tmp_path: Path) -> None:
    model = network()
    halves = {name: t.half() if t.is_floating_point() else t for name, t in model.state_dict().items()}
    loaded = checkpoint.load(saved(tmp_path, halves))
    checkpoint.load_weights(model, loaded)
    assert model[3].weight.dtype == torch.float32  # type: ignore[union-attr]
    again = checkpoint.load(checkpoint.save(tmp_path, model.state_dict(), {}, loaded))
    assert same(halves, again.tensors)


def test_channels_last_weights_are_stored_like_any_others(tmp_path: Path) -> None:
    model = nn.Conv2d(3, 4, 3)
    last = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    last.load_state_dict(model.state_dict())
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, made in zip(folders, (model, last), strict=True):
        folder.mkdir()
        checkpoint.save(folder, made.state_dict(), {})
    assert len({checkpoint.load(folder).file_sha256 for folder in folders}) == 1


def test_every_mismatch_is_listed_by_name_in_one_error(tmp_path: Path) -> None:
    weights = dict(network().state_dict())
    weights["extra"] = torch.zeros(1)
    weights["3.weight"] = torch.zeros(5, 5)
    del weights["0.bias"]
    with pytest.raises(UserError) as error:
        checkpoint.load_weights(network(), checkpoint.load(saved(tmp_path, weights)))
    text = str(error.value)
    assert "missing: 0.bias" in text
    assert "unexpected: extra" in text
    assert "wrong shape: 3.weight [5, 5] instead of [3, 2]" in text


def test_old_checkpoints_without_batch_counters_are_taken(tmp_path: Path) -> None:
    weights = {name: t for name, t in network().state_dict().items() if not name.endswith("num_batches_tracked")}
    model = network()
    checkpoint.load_weights(model, checkpoint.load(saved(tmp_path, weights)))
    assert torch.equal(model.state_dict()["0.weight"], weights["0.weight"])


def sharded(folder: Path, weights: dict[str, torch.Tensor]) -> Path:
    names = sorted(weights)
    layout = {name: f"model-0000{1 + (i > 2)}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in sorted(set(layout.values())):
        save_file({name: weights[name] for name in names if layout[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": layout}))
    return folder


def test_a_sharded_checkpoint_is_read_and_written_back_in_its_shards(tmp_path: Path) -> None:
    weights = dict(network().state_dict())
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    target.mkdir()
    loaded = checkpoint.load(sharded(source, weights))
    checkpoint.save(target, weights, {"method": "none"}, loaded)
    again = checkpoint.load(target)
    assert same(weights, again.tensors)
    assert again.layout == loaded.layout
    assert sorted(path.name for path in target.iterdir()) == sorted(path.name for path in source.iterdir())


def test_the_tensor_digest_survives_sharding_and_new_metadata_but_no_changed_bit(tmp_path: Path) -> None:
    weights = dict(network().state_dict())
    whole = checkpoint.load(saved(tmp_path, weights, {"a": "b"}))
    assert (
        checkpoint.load(sharded(tmp_path, weights) / "model.safetensors.index.json").tensor_digest
        == whole.tensor_digest
    )
    weights["0.bias"] = weights["0.bias"] + 1e-7
    assert checkpoint.tensor_digest(weights) != whole.tensor_digest


def test_foreign_metadata_is_kept_and_our_own_is_written_anew(tmp_path: Path) -> None:
    source = saved(tmp_path, dict(network().state_dict()), {"author": "me", "unlearn_cli.method": "old"})
    path = checkpoint.save(tmp_path, network().state_dict(), {"parent": "x"}, checkpoint.load(source))
    metadata = checkpoint.load(path).metadata
    assert metadata["author"] == "me"
    assert metadata["unlearn_cli.parent"] == "x"
    assert "unlearn_cli.method" not in metadata


def test_what_is_written_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    path = checkpoint.save(tmp_path, network().state_dict(), {})
    noise = tmp_path / "noise.safetensors"
    save_noise(noise, Noise(torch.zeros(1, 2, 3), [0], "maximize", [], {}), {})
    torch.save(network().state_dict(), tmp_path / "model.pth")
    convert.run(ConvertOptions(tmp_path / "model.pth", tmp_path / "converted.safetensors"), RunOptions())
    modes = {file.stat().st_mode for file in (path, noise, tmp_path / "converted.safetensors", tmp_path / "plain")}
    assert len(modes) == 1


def test_weights_that_became_nan_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lower the learning rate"):
        checkpoint.save(tmp_path, {"w": torch.tensor([torch.nan])}, {})
