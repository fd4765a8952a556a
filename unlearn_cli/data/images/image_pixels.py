"""One image as a sample: checks its header, decodes it, converts it to (C, H, W).

How an image is converted, by what it stores (C: the channels in `input.shape`):

grey, 8 bits              as stored; repeated in all channels where C is 3
colour, 8 bits            as stored; ITU-R 601 luma where C is 1
1 bit                     0 and 255
palette                   the palette's colours
transparency (alpha)      dropped: the colour values are read as they are stored, also where they are transparent
CMYK, YCbCr, LAB          RGB by Pillow's formulas; colour profiles are not applied
grey, 16 or 32 bits, float    at full depth as float32, only with `input.scale`; otherwise refused
colour, over 8 bits       refused: Pillow would cut it to 8 bits
EXIF orientation          not applied (a TIFF's is applied by Pillow)
several frames or pages   the first one
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from unlearn_cli.data.images.image_depth import count_bits, has_white_as_zero, is_deep_grey, read_unsigned
from unlearn_cli.data.images.pillow_images import (
    MOST_PIXELS,
    UnreadableImage,
    decode_image,
    describe_bomb,
    open_with_pillow,
)
from unlearn_cli.data.records import StoredInput
from unlearn_cli.errors import UserError


def read_image(content: BinaryIO, path: Path, input: StoredInput) -> np.ndarray:
    """Read one image as (C, H, W); the path only names it.

    Raises:
        UnreadableImage: it cannot be decoded.
        UserError: a decompression bomb, another size than `input.shape`, or more than 8 bits without `input.scale`.
    """
    with open_image(content, path, input) as image:
        decode_image(image, path)
        return _to_shape(image, path, input)


@contextmanager
def open_image(content: BinaryIO, path: Path, input: StoredInput) -> Iterator[Image.Image]:
    """Open an image and check its header; nothing is decoded, and no memory for its pixels is allocated yet.

    Raises:
        UnreadableImage, UserError: as `read_image`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with open_with_pillow(content, path) as image:
            _check_depth(image, path, input)
            _check_size(image, path, input)
            yield image


def _check_depth(image: Image.Image, path: Path, input: StoredInput) -> None:
    bits = count_bits(image)
    if bits <= 8:
        return
    if not is_deep_grey(image):
        raise UserError(
            f"{path}: has {bits} bits per channel ({image.format}, {image.mode}), but only 8 can be read; convert it "
            "to 8 bits, or store the samples as an npz file"
        )
    if has_white_as_zero(image):
        raise UserError(
            f"{path}: has {bits} bits per pixel that count from white (0) to black; convert it to MinIsBlack"
        )
    if input.scale is None:
        example = "65535" if bits == 16 else "the largest value that pixels can have"
        raise UserError(
            f"{path}: has {bits} bits per pixel ({image.format}, mode {image.mode}); set the divisor of the pixels in "
            f"the manifest, such as input.scale: {example}, or convert it to 8 bits"
        )


def _check_size(image: Image.Image, path: Path, input: StoredInput) -> None:
    """Check the size that an image has after `input.resize`."""
    _, height, width = input.shape
    if image.width * image.height > MOST_PIXELS:
        raise describe_bomb(path)
    size = _scale_to_shorter_side(image.size, input.resize) if input.resize else image.size
    if size[0] * size[1] > MOST_PIXELS:
        raise describe_bomb(path, f" ({size[0]}x{size[1]}) when its shorter side is resized to {input.resize}")
    cropped = input.resize and size[0] >= width and size[1] >= height
    if size != (width, height) and not cropped:
        advice = "take a larger" if input.resize else "add"
        raise UserError(
            f"{path}: is {size[0]}x{size[1]} pixels, but input.shape is {width}x{height}; {advice} input.resize in "
            "the manifest"
        )


def _to_shape(image: Image.Image, path: Path, input: StoredInput) -> np.ndarray:
    channels, height, width = input.shape
    image = _to_floats(image, path) if is_deep_grey(image) else _convert(image, {1: "L", 3: "RGB"}[channels])
    if input.resize:
        image = image.resize(_scale_to_shorter_side(image.size, input.resize), Image.Resampling.BILINEAR)
        image = _crop_centre(image, height, width)
    if image.size != (width, height):  # the header was wrong
        raise UnreadableImage(path, f"it is {image.width}x{image.height} pixels when decoded")
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if pixels.ndim == 3 else np.stack([pixels] * channels)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode in ("LAB", "PA", "La", "RGBa") and mode == "L":
        image = image.convert("RGB")  # Pillow has no direct conversion
    return image.convert(mode)


def _to_floats(image: Image.Image, path: Path) -> Image.Image:
    """Convert a grey image of more than 8 bits to floats with the stored values."""
    pixels = read_unsigned(image).astype(np.float32)
    if not np.isfinite(pixels).all():
        raise UserError(f"{path}: has pixels that are NaN or infinite; fix them")
    return Image.fromarray(pixels)


def _scale_to_shorter_side(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    """Return the size (width, height) with the shorter side at `shorter` pixels, as torchvision's Resize does."""
    width, height = size
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def _crop_centre(image: Image.Image, height: int, width: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
