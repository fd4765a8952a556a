"""`inspect` of checkpoints: what it recognises, and what it refuses."""

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

import unlearn_cli
from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.models.bare_networks import BareNetworks
from unlearn_cli.models.lenet5 import lenet5


def inspect(path: Path) -> dict[str, Any]:
    result = invoke("inspect", path, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def resnet(classes: int = 7) -> dict[str, Tensor]:
    with BareNetworks():
        network = torchvision.models.resnet18(num_classes=classes)
    return {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in network.state_dict().items()}


def test_a_training_checkpoint_is_described_with_all_its_sets(tmp_path: Path) -> None:
    weights = {f"module.model.{name}": tensor for name, tensor in resnet().items()}
    content = {"state_dict": weights, "state_dict_ema": weights, "epoch": 3, "args": argparse.Namespace()}
    torch.save(content, tmp_path / "last.ckpt")
    document = inspect(tmp_path / "last.ckpt")
    assert [facts["key"] for facts in document["sets"]] == ["state_dict", "state_dict_ema"]
    assert [facts["averaged"] for facts in document["sets"]] == [False, True]
    assert document["others"] == {"epoch": "3", "args": "argparse.Namespace"}
    for facts in document["sets"]:
        assert (facts["wrappers"], facts["prefix"], facts["num_outputs"]) == (["module."], "model.", 7)
        assert (facts["channels"], facts["head"], facts["tensors"]) == (3, "fc", 122)
        assert facts["dtypes"] == {"float32": 102, "int64": 20}
        assert facts["architectures"][0]["model"] == {"architecture": "torchvision/resnet18", "prefix": "model."}
        names = [entry["name"] for entry in facts["names"]]
        assert (
            len(names) == 122 and {"name": "module.model.fc.bias", "dtype": "float32", "shape": [7]} in facts["names"]
        )


def test_the_table_shows_the_same_and_is_shortened_unless_all_is_requested(tmp_path: Path) -> None:
    torch.save(resnet(), tmp_path / "model.pth")
    text = invoke("inspect", tmp_path / "model.pth").stdout
    assert "torchvision/resnet18, samples of shape [3, 224, 224]" in " ".join(text.split())
    assert "... 92 more (--all shows them)" in text
    assert invoke("inspect", tmp_path / "model.pth", "--all").stdout.count("layer") > 100


def test_a_bundled_architecture_is_found_with_the_shape_of_its_samples(tmp_path: Path) -> None:
    torch.save(lenet5(4, (1, 64, 64)).state_dict(), tmp_path / "model.pth")
    facts = inspect(tmp_path / "model.pth")["sets"][0]
    assert [(item["model"], item["shape"]) for item in facts["architectures"]] == [
        ({"architecture": "lenet5"}, [1, 64, 64])
    ]
    assert (facts["num_outputs"], facts["channels"]) == (4, 1)


def test_our_own_checkpoint_shows_its_lineage(original: Path) -> None:
    document = unlearn_cli.inspect(original)
    assert document["lineage"]["method"] == "train"
    assert document["sets"][0]["architectures"][0]["model"]["architecture"] == "allcnn"
    text = invoke("inspect", original.parent).stdout
    assert "Lineage" in text and "tensor_digest" in text


def test_another_network_fits_nothing_and_flaws_are_named(tmp_path: Path) -> None:
    shared = torch.ones(3, 3)
    content = {"a.weight": shared, "b.weight": shared, "c": torch.tensor([float("nan")]), "d": torch.eye(2).to_sparse()}
    torch.save(content, tmp_path / "model.pth")
    facts = inspect(tmp_path / "model.pth")["sets"][0]
    assert (facts["architectures"], facts["shared"]) == ([], {"b.weight": "a.weight"})
    assert (facts["not_finite"], facts["unusual"]) == (["c"], {"d": "sparse"})


def test_a_configuration_without_its_library_is_named_but_not_checked(tmp_path: Path) -> None:
    torch.save(resnet(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "no_such_model", "num_classes": 7}))
    item = inspect(tmp_path)["sets"][0]["architectures"][0]
    assert (item["model"]["architecture"], item["fits"], item["source"]) == ("timm/no_such_model", None, "config.json")


def test_a_manifest_and_data_are_described_too(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, MANIFEST)
    (tmp_path / "table.csv").write_text("a,label\n" + "1,x\n2,y\n" * 5)
    (tmp_path / "images").mkdir()
    document = json.loads(invoke("inspect", manifest, "--json").stdout)
    assert (document["kind"], document["outputs"], document["splits"]["forget"]["n"] > 0) == ("manifest", 10, True)
    assert json.loads(invoke("inspect", tmp_path / "table.csv", "--json").stdout)["splits"]["train"]["n"] == 8
    empty = invoke("inspect", tmp_path / "images")
    assert empty.exit_code == 2 and "no layout of data is recognised" in empty.stderr
    assert "no such file or folder" in invoke("inspect", tmp_path / "missing.pth").stderr


def test_a_manifest_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, MANIFEST.replace("[1, 8, 8]", "[1, 8, 9]"))
    result = invoke("inspect", manifest)
    assert result.exit_code == 2 and "samples have shape [8, 8]" in result.stderr


def test_a_folder_with_weights_and_data_has_both(tmp_path: Path) -> None:
    save_file({"fc.weight": torch.zeros(2, 1), "fc.bias": torch.zeros(2)}, tmp_path / "model.safetensors")
    assert "data" not in inspect(tmp_path)
    for label in ("cat", "dog"):
        (tmp_path / "images" / label).mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(tmp_path / "images" / label / "0.png")
    document, text = inspect(tmp_path), invoke("inspect", tmp_path).stdout
    assert document["kind"] == "checkpoint" and document["sets"][0]["num_outputs"] == 2
    assert document["data"]["splits"]["test"]["n"] == 1
    assert "2 tensors, 4 numbers" in text and "Data next to the weights: images for classification" in text


@pytest.mark.skipif(importlib.util.find_spec("timm") is not None, reason="timm is installed")
def test_a_library_to_compare_with_must_be_installed(tmp_path: Path) -> None:
    save_file({"conv.weight": torch.zeros(2, 3, 1, 1), "fc.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    result = invoke("inspect", tmp_path / "model.safetensors", "--try", "timm")
    assert result.exit_code == 2 and "--try timm: timm is not installed; install it with" in result.stderr


def test_a_single_number_is_singular(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert "1 tensor, 1 number\n" in invoke("inspect", tmp_path / "model.safetensors").stdout.replace("  ", "\n")
