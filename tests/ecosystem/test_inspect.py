"""`inspect` of checkpoints of timm and transformers."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.ecosystem.networks import IMAGES, TEXTS, TIMM, write_config
from tests.tiny import invoke


def inspect(path: Path, *words: str) -> dict[str, Any]:
    result = invoke("inspect", path, "--json", *words)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["sets"][0]


@pytest.mark.parametrize("name", ["vit", "bert"])
@pytest.mark.parametrize("form", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_of_transformers_fits_its_configuration(name: str, form: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    write_config(tmp_path, name, {**IMAGES, **TEXTS}[name])
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    kind = "ForImageClassification" if name in IMAGES else "ForSequenceClassification"
    network = getattr(transformers, f"AutoModel{kind}").from_config(config)
    network.save_pretrained(tmp_path)
    if form == "pytorch_model.bin":
        torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / form)
        (tmp_path / "model.safetensors").unlink()
    facts = inspect(tmp_path)
    item = facts["architectures"][0]
    assert (item["fits"], item["source"], facts["num_outputs"]) == (True, "config.json", 3)


def test_a_network_of_timm_is_recognised_by_its_configuration_and_by_the_name_in_the_file(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    name = "resnet10t"
    assert name in TIMM
    weights = timm.create_model(name, num_classes=3).state_dict()
    (tmp_path / "folder").mkdir()
    save_file(weights, tmp_path / "folder" / "model.safetensors")
    (tmp_path / "folder" / "config.json").write_text(json.dumps({"architecture": name, "num_classes": 3}))
    torch.save({"state_dict": weights, "arch": name, "args": argparse.Namespace()}, tmp_path / "a.pth.tar")
    torch.save({"model": weights, "args": argparse.Namespace(model=name)}, tmp_path / "b.pth")
    for path, source in (
        ("folder", "config.json"),
        ("a.pth.tar", "a name in the file"),
        ("b.pth", "a name in the file"),
    ):
        item = inspect(tmp_path / path)["architectures"][0]
        assert (item["model"]["architecture"], item["fits"], item["source"]) == (f"timm/{name}", True, source)


@pytest.mark.parametrize(
    ("name", "arguments"), [("resnet10t", {}), ("vit_tiny_patch16_224", {"img_size": 64}), ("convnext_atto", {})]
)
def test_networks_of_timm_are_recognised_without_a_configuration(
    name: str, arguments: dict[str, int], tmp_path: Path
) -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model(name, num_classes=7, **arguments)
    save_file({key: tensor.contiguous() for key, tensor in network.state_dict().items()}, tmp_path / "m.safetensors")
    assert inspect(tmp_path / "m.safetensors")["architectures"] == []
    (architecture,) = inspect(tmp_path / "m.safetensors", "--try", "timm")["architectures"]
    assert architecture["fits"] and architecture["num_outputs"] == 7
    built = timm.create_model(
        architecture["model"]["architecture"].removeprefix("timm/"), num_classes=7,
        **architecture["model"].get("arguments", {}),
    )  # fmt: skip
    built.load_state_dict(network.state_dict())
