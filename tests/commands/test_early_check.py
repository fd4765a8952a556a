"""A wrong network or checkpoint is reported before any image is read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.tiny import invoke, write_manifest
from unlearn_cli.data.images import image_check, image_files
from unlearn_cli.models.lenet5 import lenet5

MANIFEST = """\
version: 1
task: classification
model: {architecture: lenet5}
input: {shape: [1, 28, 28]}
data:
  train: {imagefolder: images}
  test: {imagefolder: images}
forget: {classes: [a]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images and weights; reading an image fails."""
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(3):
            pixels = np.random.default_rng(number).integers(0, 256, (28, 28), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{number}.png")
    save_file(lenet5(2, (1, 28, 28)).state_dict(), tmp_path / "model.safetensors")
    save_file({"w": torch.zeros(3)}, tmp_path / "other.safetensors")

    def refuse(*arguments: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr(image_check, "scan_images", refuse)
    monkeypatch.setattr(image_files, "open_image_file", refuse)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "weights", "message"),
    [
        (("", ""), "other.safetensors", "does not fit the architecture of the manifest; no tensor fits"),
        (("lenet5}", "lenet5, arguments: {width: 3}}"), "model.safetensors", "model: lenet5 cannot be built"),
        (("[1, 28, 28]", "[1, 32, 36]"), "model.safetensors", "wrong shape: fc1.weight"),
        (("lenet5}", "torchvision/resnet1}"), "model.safetensors", "no classification model 'resnet1'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["unlearn", "evaluate", "attack"])
def test_no_image_is_read(project: Path, command: str, change: tuple[str, str], weights: str, message: str) -> None:
    manifest = write_manifest(project, MANIFEST.replace(*change), "data.yaml")
    words = ("--method", "finetune", "-o", project / "out") if command == "unlearn" else ()
    result = invoke(command, project / weights, "-m", manifest, "--device", "cpu", *words)
    assert result.exit_code == 2, result.stderr
    assert message in result.stderr


def test_the_dry_run_of_train_checks_the_network_first(project: Path) -> None:
    manifest = write_manifest(project, MANIFEST.replace("lenet5}", "lenet5, arguments: {width: 3}}"), "data.yaml")
    result = invoke("train", "-m", manifest, "-o", project / "out", "--dry-run", "--device", "cpu")
    assert result.exit_code == 2 and "lenet5 cannot be built" in result.stderr


@pytest.mark.parametrize("kind", ["images", "table"])
def test_a_dry_run_shows_the_selection_even_if_the_checkpoint_is_wrong(kind: str, project: Path) -> None:
    text = MANIFEST
    if kind == "table":
        (project / "t.csv").write_text("x,label\n" + "".join(f"{n}.5,{'ab'[n % 2]}\n" for n in range(12)))
        text = text.replace("imagefolder: images", "table: {path: t.csv, label: label}").replace("lenet5", "mlp")
        text = text.replace("[1, 28, 28]", "[1]")
    manifest = write_manifest(project, text, "data.yaml")
    words = ("-m", manifest, "--device", "cpu", "--method", "finetune", "-o", project / "out", "--dry-run")
    result = invoke("unlearn", project / "other.safetensors", *words)
    assert result.exit_code == 2 and "no tensor fits" in result.stderr
    assert ("images: not read, because the network is wrong" in result.stderr) == (kind == "images")
    rows = [line.split() for line in result.stderr.splitlines()]
    assert ["class", "train", "test", "forget", "retain", "test_forget", "test_retain"] in rows
    assert ["a", *(("3", "3", "3", "0", "3", "0") if kind == "images" else ("6", "6", "6", "0", "6", "0"))] in rows
