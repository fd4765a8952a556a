"""Checkpoints as training programs write them: what is read, what is left out, and what the messages name."""

import argparse
import json
import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict_saver import save as save_distributed
from torch.optim.swa_utils import AveragedModel

from tests.checkpoints.hostile_pickles import CALLS, as_key, pickled, tuple_bomb
from tests.tiny import MANIFEST, invoke, same, write_manifest
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.errors import UserError


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def state(prefix: str = "") -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in network().state_dict().items()}


class Config(dict[str, Any]):
    """A kind of dictionary, as EasyDict, AttributeDict and CfgNode are."""


class Settings(list[int]):
    """A kind of list with attributes."""


class Kind(Enum):
    IMAGE = "image"


def optimizer_state() -> dict[str, Any]:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def settings() -> Settings:
    value = Settings([1, 2])
    value.name = "x"  # type: ignore[attr-defined]
    return value


UNKNOWN: dict[str, Callable[[], Any]] = {
    "namespace": lambda: argparse.Namespace(lr=0.1, path=Path("data"), kind=Kind.IMAGE),
    "path": lambda: Path("a/b"),
    "NumPy number": lambda: np.float64(0.5),
    "NumPy array": lambda: np.arange(4),
    "NumPy dtype": lambda: np.dtype("float32"),
    "enum": lambda: Kind.IMAGE,
    "dictionary of a class": lambda: Config(lr=0.1, inner=Config(a=[1])),
    "default dictionary": lambda: defaultdict(list, {"loss": [0.1]}),
    "list of a class": settings,
    "optimizer": optimizer_state,
    "set of names": lambda: {"a", "b"},
    "frozen set": lambda: frozenset({"a"}),
    "slice": lambda: slice(1, 2),
    "function": lambda: torch.nn.functional.relu,
    "class": lambda: Config,
    "numbers": lambda: {"epoch": 3, "large": 2**70, "nan": float("nan"), "none": None, "complex": 1j},
    "random state": lambda: {"torch": torch.get_rng_state(), "numpy": np.random.get_state()},
    "best metric": lambda: torch.tensor(77.0),
    "metrics of checkpoints": lambda: {"a.ckpt": torch.tensor(0.5), "b.ckpt": torch.tensor(0.6)},
    "hyperparameters": lambda: {"lr": 0.1, "epochs": 3, "class_weights": torch.ones(3)},
}


@pytest.mark.parametrize("zip_format", [True, False])
@pytest.mark.parametrize("kind", UNKNOWN)
def test_weights_are_read_next_to_any_object(kind: str, zip_format: bool, tmp_path: Path) -> None:
    content = {"state_dict": OrderedDict(state()), "other": UNKNOWN[kind](), "epoch": 9}
    torch.save(content, tmp_path / "model.pth.tar", _use_new_zipfile_serialization=zip_format)
    result = invoke("convert", tmp_path / "model.pth.tar", tmp_path / "model.safetensors")
    assert result.exit_code == 0, result.stderr
    assert same(state(), load_file(tmp_path / "model.safetensors"))
    assert "weights taken: state_dict (9 tensors)" in result.stderr


def convert(content: Any, folder: Path, *options: str) -> tuple[dict[str, Tensor], str]:
    """Save content, convert it, and return the weights with the notes."""
    torch.save(content, folder / "model.pth")
    result = invoke("convert", folder / "model.pth", folder / "model.safetensors", "--overwrite", *options)
    assert result.exit_code == 0, result.stderr
    return load_file(folder / "model.safetensors"), result.stderr


def refusal(content: Any, folder: Path, *options: str) -> str:
    torch.save(content, folder / "model.pth")
    result = invoke("convert", folder / "model.pth", folder / "model.safetensors", *options)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert not (folder / "model.safetensors").exists()
    return result.stderr


@pytest.mark.parametrize(
    ("first", "second"),
    [("state_dict", "state_dict_ema"), ("model", "ema"), ("params", "params_ema"), ("model", "model_ema1")],
)
def test_of_several_sets_none_is_taken_silently(first: str, second: str, tmp_path: Path) -> None:
    averaged = {name: tensor + 1 for name, tensor in state().items()}
    content = {first: state(), second: averaged, "opt": optimizer_state(), "epoch": 3}
    text = refusal(content, tmp_path)
    assert f"--key {first} or --key {second} or --ema" in text
    assert f"weights: {first} (9 tensors), {second} (9 tensors); others: opt (optimizer state), epoch (3)" in text
    assert same(convert(content, tmp_path, "--ema")[0], averaged)
    assert same(convert(content, tmp_path, "--key", first)[0], state())


def test_averages_under_a_prefix_of_the_same_set_are_chosen_too(tmp_path: Path) -> None:
    averaged = {name: tensor + 1 for name, tensor in state().items()}
    content = {"model": {**state("net."), **{f"net_ema.{name}": tensor for name, tensor in averaged.items()}}}
    text = refusal(content, tmp_path)
    assert "averaged weights under `net_ema.`" in text and "net. (9), net_ema. (9)" in text
    assert same(convert(content, tmp_path, "--ema")[0], averaged)
    assert same(convert(content, tmp_path, "--prefix", "net")[0], state())
    (tmp_path / "model.safetensors").unlink()
    two = {"model": {**content["model"], **state("net_ema1.")}}
    assert "`net_ema.` and `net_ema1.`" in refusal(two, tmp_path, "--ema")


def test_generator_and_critic_are_chosen_by_key(tmp_path: Path) -> None:
    content = {"nets": {"generator": state(), "critic": {"0.weight": torch.ones(2)}}, "step": 1}
    assert "--key nets.generator or --key nets.critic" in refusal(content, tmp_path)
    assert "no set of averaged weights" in refusal(content, tmp_path, "--ema")
    assert "--ema: contains no averaged weights" in refusal({"model": state()}, tmp_path, "--ema")
    assert "did you mean 'nets.critic'?" in refusal(content, tmp_path, "--key", "nets.critics")
    assert "step: is 1, not a set of weights" in refusal(content, tmp_path, "--key", "step")
    assert list(convert(content, tmp_path, "--key", "nets.critic")[0]) == ["0.weight"]


def test_parts_of_a_network_are_taken_as_one_set(tmp_path: Path) -> None:
    weights, _ = convert({"encoder": state(), "head": {"fc.weight": torch.ones(2)}}, tmp_path, "--key", ".")
    assert same(weights, {**state("encoder."), "head.fc.weight": torch.ones(2)})


def test_what_is_not_a_tensor_is_left_out_of_the_weights_and_named(tmp_path: Path) -> None:
    weights, notes = convert({**state(), "_extra_state": None, "epoch": 3}, tmp_path)
    assert same(weights, state())
    assert "left out, not tensors: _extra_state, epoch" in notes


@pytest.mark.parametrize(
    ("names", "removed"),
    [
        (lambda name: f"module.{name}", "module."),
        (lambda name: f"_orig_mod.module.{name}", "_orig_mod., module."),
        (lambda name: f"_fsdp_wrapped_module.{name}", "_fsdp_wrapped_module."),
        (lambda name: name.replace(".", "._orig_mod.", 1), "_orig_mod."),
        (lambda name: name.replace(".", "._checkpoint_wrapped_module.", 1), "_checkpoint_wrapped_module."),
    ],
)
def test_what_wrappers_add_to_names_is_removed_and_said(
    names: Callable[[str], str], removed: str, tmp_path: Path
) -> None:
    weights, notes = convert({names(name): tensor for name, tensor in state().items()}, tmp_path)
    assert same(weights, state())
    assert f"removed from names, added by wrappers: {removed}" in notes


def test_the_counter_of_an_averaged_model_is_removed_with_its_prefix(tmp_path: Path) -> None:
    weights, notes = convert({"model_ema": AveragedModel(network()).state_dict()}, tmp_path)
    assert same(weights, state())
    assert "n_averaged, module." in notes


@pytest.mark.parametrize("prefix", ["model", "net.", "lit.backbone."])
def test_a_common_prefix_is_named_and_stripped_by_its_option(prefix: str, tmp_path: Path) -> None:
    start = f"{prefix.removesuffix('.')}."
    content = {"state_dict": {**state(start), "loss.weight": torch.ones(2)}}
    weights, notes = convert({"state_dict": state(start)}, tmp_path)
    assert f"all names start with `{start}`; --prefix {start}" in notes
    assert len(weights) == 9
    weights, notes = convert(content, tmp_path, "--prefix", prefix)
    assert same(weights, state())
    assert "left out, without the prefix: 1 tensor" in notes
    assert "no name starts with `modle.`; names start with " in refusal_of_existing(content, tmp_path, "modle")


def refusal_of_existing(content: Any, folder: Path, prefix: str) -> str:
    (folder / "model.safetensors").unlink()
    return refusal(content, folder, "--prefix", prefix)


def test_parts_of_names_are_renamed_in_order(tmp_path: Path) -> None:
    weights, _ = convert(state(), tmp_path, "--rename", "0=first", "--rename", "2=fc")
    assert set(weights) >= {"first.weight", "1.running_mean", "fc.bias"}
    (tmp_path / "model.safetensors").unlink()
    assert "no name has the part 'fc'" in refusal(state(), tmp_path, "--rename", "fc=x")
    assert "expected OLD=NEW" in refusal(state(), tmp_path, "--rename", "fc")
    assert "would be named" in refusal(state(), tmp_path, "--rename", "2=0")


def test_the_fit_with_a_manifest_is_checked(original: Path, tmp_path: Path) -> None:
    manifest, weights = write_manifest(tmp_path), load_file(original)
    content = {f"model.{name}": tensor for name, tensor in weights.items()}
    text = refusal(content, tmp_path, "-m", str(manifest))
    assert "does not fit the architecture" in text and "--prefix model." in text
    assert same(convert(content, tmp_path, "-m", str(manifest), "--prefix", "model.")[0], weights)
    adapted = write_manifest(tmp_path, MANIFEST.replace("allcnn,", "allcnn, prefix: model.,"), "adapted.yaml")
    assert convert(content, tmp_path, "-m", str(adapted))[0].keys() == content.keys()


def test_a_wrong_manifest_is_reported_before_the_checkpoint_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"\x80not read")
    result = invoke("convert", tmp_path / "model.pth", tmp_path / "o.safetensors", "-m", tmp_path / "missing.yaml")
    assert (result.exit_code, "missing.yaml" in result.stderr) == (2, True)


def test_a_whole_network_is_refused_with_what_to_do(tmp_path: Path) -> None:
    text = refusal({"model": network(), "ema": None, "epoch": 3}, tmp_path)
    assert "model (whole network, torch.nn.modules.container.Sequential)" in text
    assert "save its .state_dict()" in text
    assert "whole network" in refusal(network(), tmp_path)


def test_the_list_shows_everything_and_writes_nothing(tmp_path: Path) -> None:
    torch.save({"model": state(), "args": argparse.Namespace(), "acc": 0.5}, tmp_path / "model.pth")
    result = invoke("convert", tmp_path / "model.pth", "--list")
    assert result.exit_code == 0
    for text in ("model", "9 tensors", "argparse.Namespace", "0.5"):
        assert text in result.stdout
    assert invoke("convert", tmp_path / "model.pth").exit_code == 2
    assert "cannot be combined" in invoke("convert", tmp_path / "model.pth", "--list", "--key", "model").stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


TENSORS: dict[str, Callable[[], Tensor]] = {
    "bfloat16": lambda: torch.ones(3, dtype=torch.bfloat16),
    "not contiguous": lambda: torch.arange(6.0).reshape(2, 3).t(),
    "part of a storage": lambda: torch.arange(6.0)[2:4],
    "scalar": lambda: torch.tensor(3),
    "empty": lambda: torch.zeros(0, 3),
    "repeated": lambda: torch.ones(1).expand(4),
    "boolean": lambda: torch.tensor([True, False]),
    "parameter": lambda: nn.Parameter(torch.ones(2)),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_of_every_plain_kind_are_equal_afterwards(kind: str, tmp_path: Path) -> None:
    tensor = TENSORS[kind]()
    weights, _ = convert({"a.weight": torch.ones(2), "b": tensor}, tmp_path)
    assert torch.equal(weights["b"], tensor) and weights["b"].dtype == tensor.dtype


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [
        ("quantised", lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)),
        ("complex", lambda: torch.ones(2, dtype=torch.complex64)),
        ("sparse", lambda: torch.eye(2).to_sparse_csr()),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_of_other_kinds_are_refused_unless_they_are_left_out(
    kind: str, tensor: Callable[[], Tensor], tmp_path: Path
) -> None:
    content = {"model.a": torch.ones(2), "x.odd": tensor()}
    assert f"x.odd is a {kind} tensor" in refusal(content, tmp_path)
    assert list(convert(content, tmp_path, "--prefix", "model")[0]) == ["a"]


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_numbers_of_8_bits_become_float32(suffix: str, tmp_path: Path) -> None:
    small, source = torch.tensor([0.5, -3.0]).to(torch.float8_e4m3fn), tmp_path / f"small.{suffix}"
    content = {"a.weight": small, "b": torch.ones(2)}
    torch.save(content, source) if suffix == "pth" else save_file(content, source)
    result = invoke("convert", source, tmp_path / "model.safetensors")
    assert result.exit_code == 0 and "1 tensor of 8-bit numbers written as float32" in result.stderr
    weights = load_file(tmp_path / "model.safetensors")
    assert torch.equal(weights["a.weight"], torch.tensor([0.5, -3.0]))
    assert invoke("inspect", source).exit_code == 0


def test_scaled_numbers_of_8_bits_and_other_quantised_weights_are_refused(tmp_path: Path) -> None:
    scaled = {"a.weight": torch.ones(2, 2).to(torch.float8_e4m3fn), "a.weight_scale": torch.ones(1)}
    assert "1 of 2 tensors, such as a.weight_scale, belong to quantised layers" in refusal(scaled, tmp_path)
    packed = {"0.scale": torch.tensor(1.0), "0._packed_params._packed_params": (torch.ones(2, 2), torch.ones(2))}
    assert "its layers are quantised: quantised weights are not supported; save the network" in refusal(
        packed, tmp_path
    )


def test_a_whole_network_in_the_old_format_is_named(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    result = invoke("convert", tmp_path / "old.pth", tmp_path / "model.safetensors")
    assert result.exit_code == 2 and "old.pth: is a whole network (torch.save(model))" in result.stderr


def test_shared_tensors_are_written_once_and_named_in_the_metadata(tmp_path: Path) -> None:
    shared = torch.ones(3, 3)
    weights, _ = convert({"b.weight": shared, "a.weight": shared, "c": shared[0]}, tmp_path)
    assert sorted(weights) == ["a.weight", "c"]
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata()["b.weight"] == "a.weight"
    again = invoke("convert", tmp_path / "model.safetensors", tmp_path / "b.safetensors", "--rename", "a=d")
    assert again.exit_code == 0, again.stderr
    with safe_open(tmp_path / "b.safetensors", "pt") as file:
        metadata = {key: value for key, value in file.metadata().items() if not key.startswith("unlearn_cli.")}
        assert metadata == {"d.weight": "b.weight", "format": "pt"} and sorted(file.keys()) == ["b.weight", "c"]


def test_safetensors_are_converted_too(tmp_path: Path) -> None:
    save_file(state("model."), tmp_path / "in.safetensors", {"author": "me"})
    result = invoke("convert", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--prefix", "model")
    assert result.exit_code == 0, result.stderr
    assert same(load_file(tmp_path / "out.safetensors"), state())
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata()["author"] == "me"


def sharded(folder: Path, suffix: str, save: Callable[[dict[str, Tensor], Path], Any]) -> None:
    names = sorted(state())
    files = [f"part-{1 + (number > 4)}{suffix}" for number in range(len(names))]
    for file in set(files):
        save({name: state()[name] for name, other in zip(names, files, strict=True) if other == file}, folder / file)
    stem = "pytorch_model.bin" if suffix == ".bin" else "model.safetensors"
    index = {"metadata": {}, "weight_map": dict(zip(names, files, strict=True))}
    (folder / f"{stem}.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("named", ["folder", "index"])
@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_sharded_checkpoints_are_joined(suffix: str, named: str, tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    sharded(folder, suffix, torch.save if suffix == ".bin" else save_file)
    source = folder if named == "folder" else next(folder.glob("*.index.json"))
    result = invoke("convert", source, tmp_path / "out.safetensors")
    assert result.exit_code == 0, result.stderr
    assert same(load_file(tmp_path / "out.safetensors"), state())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"../x.bin": "0.weight"}, "same folder"),
        ({"part-1.bin": "0.weight"}, "contrary to"),
        ({"part-1.bin": None, "missing.bin": "more"}, "missing.bin: no such file"),
    ],
)
def test_a_wrong_index_is_one_line(files: dict[str, str | None], message: str, tmp_path: Path) -> None:
    sharded(tmp_path, ".bin", torch.save)
    index = json.loads((tmp_path / "pytorch_model.bin.index.json").read_text())
    for file, name in files.items():
        if name:
            index["weight_map"][name] = file if name != "0.weight" or ".." in file else "part-2.bin"
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    result = invoke("convert", tmp_path, tmp_path / "out.safetensors")
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


@pytest.mark.filterwarnings("ignore")
def test_a_distributed_checkpoint_is_joined(tmp_path: Path) -> None:
    save_distributed(
        {"model": state(), "step": 3, "optimizer": {"lr": 0.1}}, checkpoint_id=tmp_path / "dcp", no_dist=True
    )
    result = invoke("convert", tmp_path / "dcp", tmp_path / "out.safetensors")
    assert result.exit_code == 0, result.stderr
    assert same(load_file(tmp_path / "out.safetensors"), state())
    for file in (tmp_path / "dcp").glob("*.distcp"):
        file.unlink()
    assert "no such file" in invoke("convert", tmp_path / "dcp", tmp_path / "b.safetensors").stderr


@pytest.mark.parametrize(
    "content",
    [
        pickled(CALLS["eval"], 4),
        pickled(CALLS["os.system"], 2),
        pickled(as_key(tuple_bomb(60)), 4),
        b"not a pickle",
        pickle.dumps({"state_dict_metadata": {}}),
    ],
)
def test_hostile_metadata_of_a_distributed_checkpoint_runs_nothing(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".metadata").write_bytes(content)
    result = invoke("convert", ".", "out.safetensors")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert "is not the metadata of a distributed checkpoint" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".metadata"]


FOREIGN = {
    "keras.h5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "pointer.bin": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "page.pth": (b"<!DOCTYPE html>", "web page"),
    "empty.pt": (b"", "is empty"),
    "old.tar": (bytes(257) + b"ustar" + bytes(250), "tar archive"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_files_are_recognised(name: str, tmp_path: Path) -> None:
    content, message = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    result = invoke("convert", tmp_path / name, tmp_path / "out.safetensors")
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_an_adapter_and_an_unclear_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pth").touch()
    (tmp_path / "b.pth").touch()
    assert "the folder has a.pth, b.pth; name" in invoke("convert", tmp_path, tmp_path / "o.safetensors").stderr
    (tmp_path / "adapter_config.json").touch()
    assert "merge_and_unload" in invoke("convert", tmp_path, tmp_path / "o.safetensors").stderr


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.full((2, 2), float("nan"))}, tmp_path / "m.pth")
    result = invoke("convert", tmp_path / "m.pth", tmp_path / "m.safetensors")
    assert result.exit_code == 2 and not (tmp_path / "m.safetensors").exists()
    assert "m.pth: NaN or infinite weights in fc.weight; its training failed, use another checkpoint" in result.stderr


def test_counts_of_operations_are_left_out(tmp_path: Path) -> None:
    weights = {"fc.weight": torch.zeros(2, 2), "fc.total_ops": torch.zeros(1), "total_params": torch.zeros(1)}
    torch.save(weights, tmp_path / "m.pth")
    result = invoke("convert", tmp_path / "m.pth", tmp_path / "m.safetensors")
    assert result.exit_code == 0 and list(load_file(tmp_path / "m.safetensors")) == ["fc.weight"]
    assert "total_ops, total_params (counts of thop)" in result.stderr


def test_parts_of_a_checkpoint_without_their_index(tmp_path: Path) -> None:
    for number in (1, 2):
        save_file({f"{number}.weight": torch.zeros(2)}, tmp_path / f"model-0000{number}-of-00002.safetensors")
    for words in (("convert", tmp_path, tmp_path / "o.safetensors"), ("inspect", tmp_path)):
        result = invoke(*words)
        assert result.exit_code == 2 and "parts of a sharded checkpoint without their index" in result.stderr
    with pytest.raises(UserError, match=r"parts of a sharded checkpoint without their index \(\.index\.json\)"):
        read_header(tmp_path)


def test_suffixes_in_upper_case(tmp_path: Path) -> None:
    save_file({"fc.weight": torch.zeros(2, 2)}, tmp_path / "M.SAFETENSORS")
    for path in (tmp_path, tmp_path / "M.SAFETENSORS"):
        result = invoke("inspect", path)
        assert result.exit_code == 0 and "fc.weight" in result.stdout, result.stderr
