"""Transforms of the user's own: of torchvision, of albumentations, or plain functions; only with --allow-code."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import v2

from tests.tiny import invoke, write_manifest
from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.data.images import own_transform
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest

OWN = """\
import random
import types
import numpy as np
import torch
from torchvision.transforms import v2

evaluation = v2.Compose([
    v2.Resize(20), v2.CenterCrop(16), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5]),
])

def build():
    return evaluation

def last(image):
    return np.asarray(image.resize((16, 16)))

def wrong(image):
    return np.zeros((3, 4, 4))

def infinite(image):
    return np.full((3, 16, 16), np.inf)

def noisy(image):
    return np.random.default_rng().random((3, 16, 16))

class Compose:
    def __call__(self, *, image):
        return {"image": image[:16, :16]}

Compose.__module__ = "albumentations.core.composition"
album = Compose()
number = 3
"""
PIXELS = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "transforms_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("transforms_of_a_test", None)
    own_transform._load.cache_clear()


def content(folder: Path, name: str, **input: Any) -> dict[str, Any]:
    (folder / "images" / "a").mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS).save(folder / "images" / "a" / "0.png")
    section = {"shape": [3, 16, 16], "own_transform": f"transforms_of_a_test:{name}", **input}
    return {
        "version": 1, "task": "classification", "model": {"architecture": "lenet5"}, "input": section,
        "data": {"train": {"imagefolder": str(folder / "images")}},
    }  # fmt: skip


def opened(folder: Path, name: str) -> Dataset:
    return open_dataset(Manifest.model_validate(content(folder, name)).data_sections)


def sample(dataset: Dataset) -> np.ndarray:
    return dataset.split("train").records.inputs.take(np.arange(1))[0]


@pytest.mark.parametrize("name", ["evaluation", "build"])
def test_a_transform_of_torchvision(name: str, tmp_path: Path) -> None:
    image = v2.Compose([v2.Resize(20), v2.CenterCrop(16)])(Image.fromarray(PIXELS))
    expected = (np.asarray(image).transpose(2, 0, 1).astype(np.float32) / 255 - 0.5) / 0.5
    assert np.allclose(sample(opened(tmp_path, name)), expected, atol=1e-6)


def test_a_transform_of_albumentations_and_a_function_with_channels_last(tmp_path: Path) -> None:
    assert np.array_equal(sample(opened(tmp_path, "album")), PIXELS[:16, :16].transpose(2, 0, 1))
    expected = np.asarray(Image.fromarray(PIXELS).resize((16, 16))).transpose(2, 0, 1)
    assert np.array_equal(sample(opened(tmp_path, "last")), expected)


@pytest.mark.parametrize(("name", "message"), [
    ("wrong", r"returns float64 of shape \[3, 4, 4\]; expected numbers of shape \[3, 16, 16\]"),
    ("infinite", "returns NaN or infinite numbers"),
    ("noisy", "gives different samples of the same image"),
    ("number", "is a int; expected a transform of an image"),
    ("absent", "has no attribute 'absent'; set PYTHONPATH"),
])  # fmt: skip
def test_a_wrong_transform_is_refused_when_the_data_is_opened(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        opened(tmp_path, name)


def test_sizes_are_decided_by_the_transform(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="own_transform decides the size of samples; omit resize"):
        Manifest.model_validate(content(tmp_path, "last", resize=20))


def test_it_is_imported_only_with_allow_code(tmp_path: Path) -> None:
    content(tmp_path, "last")
    manifest = write_manifest(tmp_path, """\
version: 1
task: classification
model: {architecture: lenet5}
input: {shape: [3, 16, 16], own_transform: "transforms_of_a_test:last"}
data: {train: {imagefolder: images}}
""")  # fmt: skip
    result = invoke("train", "-m", manifest, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert (
        "input.own_transform: transforms_of_a_test:last is your own code; allow it with --allow-code" in result.stderr
    )
    assert "transforms_of_a_test" not in sys.modules
