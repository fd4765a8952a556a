"""How an image file becomes a sample: sizes, interpolation, crops, orientation and modes, as in torchvision."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from torchvision.transforms import v2

from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest

PIXELS = np.random.default_rng(5).integers(0, 256, (37, 52, 4), dtype=np.uint8)
COLOURS = Image.fromarray(PIXELS[..., :3])
BILINEAR, NEAREST = v2.InterpolationMode.BILINEAR, v2.InterpolationMode.NEAREST


def opened(folder: Path, picture: Image.Image, shape: list[int], suffix: str = ".png", **input: Any) -> Dataset:
    (folder / "a").mkdir(parents=True)
    picture.save(folder / "a" / f"0{suffix}", exif=picture.getexif())
    return open_dataset(describe(shape, input, folder).data_sections)


def describe(shape: list[int], input: Mapping[str, Any], folder: Path = Path("x"), **more: Any) -> Manifest:
    return Manifest.model_validate({
        "version": 1, "task": "classification", "model": {"architecture": "lenet5"}, "input": {"shape": shape, **input},
        "data": {"train": {"imagefolder": str(folder)}, **more},
    })  # fmt: skip


def sample(dataset: Dataset) -> np.ndarray:
    return dataset.split("train").records.inputs.take(np.arange(1))[0]


def channels_first(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).transpose(2, 0, 1)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
@pytest.mark.parametrize(("resize", "size"), [(24, (24, 20)), ([24, 24], (24, 24)), ([19, 60], (16, 60)), (40, 40)])
def test_sizes_and_interpolations_are_those_of_torchvision(
    interpolation: str, resize: Any, size: Any, tmp_path: Path
) -> None:
    steps = [v2.Resize(resize, v2.InterpolationMode(interpolation), antialias=True), v2.CenterCrop(size)]
    expected = v2.Compose(steps)(COLOURS)
    shape = [3, expected.height, expected.width]
    dataset = opened(tmp_path, COLOURS, shape, resize=resize, interpolation=interpolation)
    assert np.array_equal(sample(dataset), channels_first(expected))


@pytest.mark.parametrize("crop", [21, 22, 23, 24, [20, 31]])
def test_a_crop_without_resize_is_that_of_torchvision(crop: Any, tmp_path: Path) -> None:
    expected = v2.CenterCrop(crop)(COLOURS)
    shape = [3, expected.height, expected.width]
    assert np.array_equal(sample(opened(tmp_path / "size", COLOURS, shape, crop=crop)), channels_first(expected))
    assert np.array_equal(sample(opened(tmp_path / "name", COLOURS, shape, crop="centre")), channels_first(expected))


@pytest.mark.parametrize("side", [20, 21, 22, 23])
def test_an_odd_rest_can_be_divided_as_hugging_face_does(side: int, tmp_path: Path) -> None:
    top, left = (37 - side) // 2, (52 - side) // 2
    expected = PIXELS[top : top + side, left : left + side, :3].transpose(2, 0, 1)
    assert np.array_equal(sample(opened(tmp_path, COLOURS, [3, side, side], crop="centre_floor")), expected)


@pytest.mark.parametrize(("crop", "size"), [(30, 30), ([30, 44], [30, 44]), ("square", 37)])
def test_a_crop_before_resizing(crop: Any, size: Any, tmp_path: Path) -> None:
    expected = v2.Compose([v2.CenterCrop(size), v2.Resize([16, 16], BILINEAR, antialias=True)])(COLOURS)
    dataset = opened(tmp_path, COLOURS, [3, 16, 16], crop_before=crop, resize=[16, 16])
    assert np.array_equal(sample(dataset), channels_first(expected))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_an_image_as_pillow_does(orientation: int, tmp_path: Path) -> None:
    picture = COLOURS.copy()
    picture.getexif()[0x0112] = orientation
    expected = ImageOps.exif_transpose(picture)
    dataset = opened(tmp_path, picture, [3, expected.height, expected.width], exif=True)
    assert np.array_equal(sample(dataset), channels_first(expected))
    turned = [notice.kind for notice in dataset.notices]
    assert turned == (["images, turned by their orientation"] if orientation > 1 else [])


def test_modes(tmp_path: Path) -> None:
    picture = Image.fromarray(PIXELS)
    with_alpha = sample(opened(tmp_path / "rgba", picture, [4, 37, 52]))
    assert np.array_equal(with_alpha, PIXELS.transpose(2, 0, 1))
    reversed_ = sample(opened(tmp_path / "bgr", COLOURS, [3, 37, 52], mode="bgr"))
    assert np.array_equal(reversed_, PIXELS[..., 2::-1].transpose(2, 0, 1))
    grey = sample(opened(tmp_path / "grey", COLOURS, [3, 37, 52], mode="grey"))
    assert np.array_equal(grey, channels_first(v2.Grayscale(3)(COLOURS)))


@pytest.mark.parametrize("background", ["white", "black"])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_blended_with_the_background(background: str, mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(PIXELS)
    picture = picture.quantize(16) if mode == "P" else picture.convert(mode)
    canvas = Image.new("RGBA", picture.size, background)
    canvas.alpha_composite(picture.convert("RGBA"))
    dataset = opened(tmp_path, picture, [3, 37, 52], transparency=background)
    assert np.array_equal(sample(dataset), channels_first(canvas.convert("RGB")))
    assert f"images with transparency, which is blended with {background}" in {
        notice.kind for notice in dataset.notices
    }


@pytest.mark.parametrize(("shape", "input", "message"), [
    ([3, 16, 16], {"resize": [16, 15]}, "input.resize to [16, 15] makes images smaller than shape"),
    ([3, 16, 16], {"resize": 15}, "input.resize to 15 makes images smaller than shape"),
    ([3, 16, 16], {"crop": 20, "resize": 24}, "input.crop to 20 makes images of [20, 20], but input.shape needs [16, "),
    ([3, 16, 16], {"mode": "rgba"}, "mode: rgba makes 4 channels, but shape has 3"),
    ([1, 16, 16], {"mode": "bgr"}, "mode: bgr makes 3 channels, but shape has 1"),
    ([4, 16, 16], {"mode": "rgba", "transparency": "white"}, "rgba keeps the transparency"),
    ([16], {"resize": 8}, "resize is only for images, but shape is [16]; omit it"),
    ([3, 16, 16], {"resize": [16, 16, 3]}, "at most 2 items"),
    ([3, 16, 16], {"interpolation": "cubic"}, "'bicubic'"),
])  # fmt: skip
def test_steps_that_contradict_the_shape_are_refused(shape: list[int], input: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        describe(shape, input)


def test_a_size_before_enlarging_is_compared_with_the_stored_shape() -> None:
    manifest = describe([3, 32, 32], {"resize": 16}, transform=[{"enlarge": 2}])
    assert manifest.input.resize == 16


def test_an_image_that_is_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"0\.png: is 52x37 pixels, smaller than input\.crop_before, 40x40"):
        opened(tmp_path / "before", COLOURS, [3, 16, 16], crop_before=40, resize=16)
    with pytest.raises(UserError, match=r"0\.png: is 52x37 pixels, but input\.shape is 40x40; add input\.resize"):
        opened(tmp_path / "crop", COLOURS, [3, 40, 40], crop="centre")


def test_new_keys_at_their_defaults_keep_the_digest_of_older_manifests() -> None:
    plain = describe([3, 16, 16], {})
    assert "interpolation" not in plain._dump()["input"]
    assert plain.digest == describe([3, 16, 16], {"interpolation": "bilinear", "exif": False}).digest
    assert plain.digest != describe([3, 16, 16], {"exif": True}).digest
