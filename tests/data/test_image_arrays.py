"""Arrays of images are resized, cropped and converted like image files."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import v2

from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest

RANDOM = np.random.default_rng(8)
GREY = RANDOM.integers(0, 256, (5, 28, 26), dtype=np.uint8)
COLOURS = RANDOM.integers(0, 256, (5, 28, 26, 3), dtype=np.uint8)


def opened(folder: Path, array: np.ndarray, shape: list[int], **input: Any) -> Dataset:
    np.savez(folder / "a.npz", x=array, y=np.arange(len(array)))
    content = {
        "version": 1, "task": "classification", "model": {"architecture": "lenet5"}, "input": {"shape": shape, **input},
        "data": {"train": {"npz": str(folder / "a.npz")}},
    }  # fmt: skip
    return open_dataset(Manifest.model_validate(content).data_sections)


def samples(dataset: Dataset) -> np.ndarray:
    return dataset.split("train").records.inputs.take(np.array([3, 1]))


@pytest.mark.parametrize("layout", ["last", "first"])
def test_colours_are_resized_as_by_torchvision(layout: str, tmp_path: Path) -> None:
    array = COLOURS if layout == "last" else COLOURS.transpose(0, 3, 1, 2)
    ours = samples(opened(tmp_path, array, [3, 56, 56], resize=[56, 56], interpolation="bicubic"))
    resize = v2.Resize([56, 56], v2.InterpolationMode.BICUBIC)
    expected = [np.asarray(resize(Image.fromarray(COLOURS[row]))).transpose(2, 0, 1) for row in (3, 1)]
    assert np.array_equal(ours, expected)


@pytest.mark.parametrize("array", [GREY, GREY[..., None], GREY[:, None]], ids=["N H W", "N H W 1", "N 1 H W"])
def test_grey_images_become_three_channels(array: np.ndarray, tmp_path: Path) -> None:
    ours = samples(opened(tmp_path, array, [3, 24, 24], crop="centre", mode="grey"))
    expected = [np.stack([np.asarray(v2.CenterCrop(24)(Image.fromarray(GREY[row])))] * 3) for row in (3, 1)]
    assert np.array_equal(ours, expected)


def test_a_resize_of_grey_images_for_a_network_of_colours(tmp_path: Path) -> None:
    assert samples(opened(tmp_path, GREY, [3, 32, 32], resize=34)).shape == (2, 3, 32, 32)


def test_without_steps_an_array_is_read_as_before(tmp_path: Path) -> None:
    assert np.array_equal(samples(opened(tmp_path, GREY, [1, 28, 26]))[:, 0], GREY[[3, 1]])


@pytest.mark.parametrize(("array", "shape", "input", "message"), [
    (GREY.astype(np.float32), [1, 32, 32], {"resize": 32}, "type float32 and shape [28, 26], but input.re"),
    (GREY[:, 0], [1, 32, 32], {"resize": 32}, "samples are of type uint8 and shape [26], but"),
    (GREY, [1, 30, 30], {"crop": "centre"}, "is 26x28 pixels, but input.shape is 30x30; add input.resize"),
    (GREY, [1, 24, 24], {"crop_before": 27, "resize": 24}, "is 26x28 pixels, smaller than input.crop_before, 27x27"),
])  # fmt: skip
def test_arrays_that_are_no_images_or_have_another_size(
    array: np.ndarray, shape: list[int], input: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        opened(tmp_path, array, shape, **input)
