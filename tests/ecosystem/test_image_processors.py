"""Images are prepared as the processors of transformers and the transforms of timm do it, from their files."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unlearn_cli.data.images.image_pixels import read_image
from unlearn_cli.data.records import StoredInput
from unlearn_cli.models.preprocessing import read_preprocessing
from unlearn_cli.schema.data_sections import Input

transformers, timm = pytest.importorskip("transformers"), pytest.importorskip("timm")
PICTURES = [
    Image.fromarray(np.random.default_rng(n).integers(0, 256, (*size, 3), dtype=np.uint8).repeat(3, 0).repeat(3, 1))
    for n, size in enumerate([(21, 30), (35, 19), (24, 24)])
]
ROUNDING = 2e-6
PROCESSORS: list[tuple[str, dict[str, Any]]] = [
    ("ViTImageProcessor", {"size": {"height": 32, "width": 32}}),
    ("ViTImageProcessor", {"size": {"height": 30, "width": 40}, "do_rescale": False, "do_normalize": False}),
    ("DeiTImageProcessor", {"size": {"height": 41, "width": 41}, "crop_size": {"height": 32, "width": 32}}),
    ("BeitImageProcessor", {"size": {"height": 32, "width": 32}}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 35}, "crop_size": {"height": 32, "width": 32}}),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}}),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
    ("BitImageProcessor", {"size": {"shortest_edge": 37}, "crop_size": {"height": 32, "width": 32}}),
    ("LevitImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}),
    ("PoolFormerImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}),
    ("MobileNetV2ImageProcessor", {"size": {"shortest_edge": 37}, "crop_size": {"height": 32, "width": 32}}),
    ("MobileViTImageProcessor", {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}),
    ("EfficientNetImageProcessor", {"size": {"height": 32, "width": 32}, "include_top": False}),
    ("EfficientNetImageProcessor", {"size": {"height": 32, "width": 32}, "include_top": False, "rescale_offset": True}),
    ("EfficientNetImageProcessor", {"size": {"height": 32, "width": 32}}),
    ("PvtImageProcessor", {"size": {"height": 32, "width": 32}}),
    ("SiglipImageProcessor", {"size": {"height": 32, "width": 32}, "resample": 1}),
]


def prepare(picture: Image.Image, folder: Path) -> np.ndarray:
    """Return a picture (C, H, W) as a manifest with the keys of the folder's files prepares it."""
    stated = read_preprocessing(folder)
    assert stated is not None
    section = Input.model_validate(dict(stated.keys))
    content = BytesIO()
    picture.save(content, "png")
    stored = StoredInput(section.shape, section.image_steps, scale=section.scale)
    pixels = read_image(content, Path("0.png"), stored).astype(np.float64)
    mean, std = (np.asarray(value, dtype=np.float64).reshape(-1, 1, 1) for value in (section.mean, section.std))
    return (pixels / (section.scale or 255.0) - mean) / std


@pytest.mark.parametrize(("name", "values"), PROCESSORS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_processor_of_transformers(name: str, values: dict[str, Any], tmp_path: Path) -> None:
    processor = getattr(transformers, f"{name}Pil")(**values)
    processor.save_pretrained(tmp_path)
    for picture in PICTURES:
        expected = processor(picture, return_tensors="np")["pixel_values"][0]
        ours = prepare(picture, tmp_path)
        assert ours.shape == expected.shape
        assert np.abs(ours - expected).max() <= ROUNDING * max(1, np.abs(expected).max())


def test_the_processor_of_torchvision_rounds_differently(tmp_path: Path) -> None:
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path)
    expected = processor(PICTURES[0], return_tensors="np")["pixel_values"][0]
    grey_level = 1 / 255 / 0.5
    assert np.abs(prepare(PICTURES[0], tmp_path) - expected).max() <= grey_level * 1.01


@pytest.mark.parametrize("stated", [
    {"crop_pct": 0.875, "interpolation": "bicubic"},
    {"crop_pct": 0.95, "interpolation": "bilinear", "crop_mode": "center"},
    {"crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bicubic"},
    {"crop_pct": 0.9, "crop_mode": "squash", "interpolation": "bicubic"},
    {},
])  # fmt: skip
def test_the_transform_of_timm(stated: dict[str, Any], tmp_path: Path) -> None:
    config = {"input_size": [3, 32, 32], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], **stated}
    content = {"architecture": "resnet10t", "num_classes": 3, "pretrained_cfg": config}
    (tmp_path / "config.json").write_text(json.dumps(content))
    transform = timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=config))
    for picture in PICTURES:
        expected = transform(picture).numpy()
        assert np.abs(prepare(picture, tmp_path) - expected).max() <= 1e-5
