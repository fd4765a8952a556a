"""Networks of timm: built by name, trained, and loaded by timm again."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.ecosystem.networks import TIMM, write_images
from tests.tiny import invoke, write_manifest
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.errors import UserError
from unlearn_cli.models.architectures import build_network, check_forward
from unlearn_cli.schema.network_sections import Model

timm = pytest.importorskip("timm")
TOLERANCE = 1e-6


def build(name: str, shape: list[int], outputs: int = 3, **arguments: Any) -> torch.nn.Module:
    return build_network(Model(architecture=f"timm/{name}", arguments=arguments), shape, outputs).eval()


@pytest.mark.parametrize("name", TIMM)
def test_a_network_is_the_one_of_create_model(name: str, tmp_path: Path) -> None:
    side, arguments = TIMM[name]
    with torch.device("meta"):
        section = Model(architecture=f"timm/{name}")
        check_forward(build(name, [3, side, side], **arguments), section, [3, side, side], 3, "classification")
    model = build(f"{name}.a_tag", [3, side, side], **arguments)
    path = checkpoint.save(tmp_path, model.state_dict(), {})
    loaded = timm.create_model(name, num_classes=3, checkpoint_path=str(path), **arguments).eval()
    x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        assert (model(x) - loaded(x)).abs().max() <= TOLERANCE


def test_channels_and_outputs_follow_from_the_manifest() -> None:
    model = build("resnet10t", [1, 32, 32], 7)
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize(("name", "arguments", "message"), [
    ("resnet81", {}, r"timm has no model 'resnet81'; did you mean 'resnet\d+"),
    ("resnet10t", {"widht": 3}, r"timm/resnet10t cannot be built with .*widht.*fix model\.arguments"),
    ("resnet10t", {"checkpoint_path": "x.pth"}, "checkpoint_path reads weights, which come from the checkpoint"),
])  # fmt: skip
def test_mistakes_are_one_line(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        build(name, [3, 32, 32], **arguments)
    assert "\n" not in str(raised.value)


def test_images_of_another_size_are_refused_with_advice() -> None:
    model = build("vit_tiny_patch16_224", [3, 32, 32], depth=1)
    with pytest.raises(UserError, match=r"does not accept samples of shape \[3, 32, 32\].*such as img_size"):
        check_forward(model, Model(architecture="timm/vit_tiny_patch16_224"), [3, 32, 32], 3, "classification")


MANIFEST = """\
version: 1
task: classification
model: {architecture: timm/mobilenetv3_small_050}
input: {shape: [3, 32, 32], mean: [0.5, 0.5, 0.5], std: 0.25, resize: [36, 36], interpolation: bicubic}
data: {train: {imagefolder: train}, test: {imagefolder: test}}
forget: {classes: [a]}
"""


def test_a_result_is_loaded_by_timm_from_its_folder(tmp_path: Path) -> None:
    write_images(tmp_path, 40)
    manifest = write_manifest(tmp_path, MANIFEST)
    trained = invoke("train", "-m", manifest, "-o", tmp_path / "o", "--set", "epochs=1", "--device", "cpu")
    assert trained.exit_code == 0, trained.stderr
    loaded = timm.create_model(f"local-dir:{tmp_path / 'o'}", pretrained=True).eval()
    model = build("mobilenetv3_small_050", [3, 32, 32])
    checkpoint.load_weights(model, checkpoint.load(tmp_path / "o"))
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert (model(x) - loaded(x)).abs().max() <= TOLERANCE
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(loaded))
    assert "size=(36, 36), interpolation=bicubic" in str(transform)
    assert json.loads((tmp_path / "o" / "config.json").read_text())["label_names"] == ["a", "b", "c"]
