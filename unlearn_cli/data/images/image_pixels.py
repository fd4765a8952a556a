"""One image as a sample: checks its header, decodes it, converts it to (C, H, W).

How an image is converted, by what it stores (C: the channels in `input.shape`):

grey, 8 bits              as stored; repeated in all channels where C is 3
colour, 8 bits            as stored (mode bgr: reversed); ITU-R 601 luma where C is 1 or mode is grey
1 bit                     0 and 255
palette                   the palette's colours
transparency (alpha)      dropped: the colour values are read as they are stored, also where they are transparent;
                          blended with white or black if `input.transparency` says so; the fourth channel where C is 4
CMYK, YCbCr, LAB          RGB by Pillow's formulas; colour profiles are not applied
grey, 16 or 32 bits, float    at full depth as float32, only with `input.scale`; otherwise refused
colour, over 8 bits       refused: Pillow would cut it to 8 bits
EXIF orientation          applied with `input.exif: true`, otherwise not (a TIFF's is always applied by Pillow)
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
from unlearn_cli.data.images.image_geometry import crop_centre, plan_size, resize, turn, turn_size
from unlearn_cli.data.images.image_modes import convert_mode
from unlearn_cli.data.images.own_transform import apply_own_transform
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
        return to_sample(image, path, input)


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
            check_size(turn_size(image) if input.images.exif else image.size, path, input)
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


def check_size(stored: tuple[int, int], path: Path, input: StoredInput) -> None:
    """Check the size (width, height) that an image has after `crop_before` and `resize`.

    Raises:
        UserError: it has too many pixels, or is not that of `input.shape`.
    """
    _, height, width = input.shape
    if stored[0] * stored[1] > MOST_PIXELS:
        raise describe_bomb(path)
    if input.images.own_transform:
        return
    size = plan_size(stored, input.images, path)
    if size[0] * size[1] > MOST_PIXELS:
        how = "when its shorter side is" if isinstance(input.images.resize, int) else "when it is"
        raise describe_bomb(path, f" ({size[0]}x{size[1]}) {how} resized to {input.images.resize}")
    cropped = input.images.crops and size[0] >= width and size[1] >= height
    if size != (width, height) and not cropped:
        advice = "take a larger" if input.images.resize else "add"
        raise UserError(
            f"{path}: is {stored[0]}x{stored[1]} pixels{_describe_size(size, stored)}, but input.shape is "
            f"{width}x{height}; {advice} input.resize in the manifest"
        )


def _describe_size(size: tuple[int, int], stored: tuple[int, int]) -> str:
    return "" if size == stored else f", resized {size[0]}x{size[1]}"


def to_sample(image: Image.Image, path: Path, input: StoredInput) -> np.ndarray:
    """Convert a decoded image to (C, H, W): uint8, or float32 for more than 8 bits.

    Raises:
        UnreadableImage: it has another size than its header says.
        UserError: a pixel is not finite.
    """
    channels, height, width = input.shape
    if input.images.exif:
        image = turn(image)
    image = _to_floats(image, path) if is_deep_grey(image) else convert_mode(image, input.images, channels)
    if input.images.own_transform:
        return apply_own_transform(image, input.images.own_transform, path, tuple(input.shape))
    image = resize(image, input.images, path)
    if image.size != (width, height) and input.images.crops:
        image = crop_centre(image, (height, width), floor=input.images.crop == "centre_floor")
    if image.size != (width, height):  # the header was wrong
        raise UnreadableImage(path, f"it is {image.width}x{image.height} pixels when decoded")
    return _to_channels(np.asarray(image), channels, reverse=input.images.mode == "bgr")


def _to_channels(pixels: np.ndarray, channels: int, *, reverse: bool) -> np.ndarray:
    if pixels.ndim == 2:
        return np.stack([pixels] * channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[:: -1 if reverse else 1])


def _to_floats(image: Image.Image, path: Path) -> Image.Image:
    """Convert a grey image of more than 8 bits to floats with the stored values."""
    pixels = read_unsigned(image).astype(np.float32)
    if not np.isfinite(pixels).all():
        raise UserError(f"{path}: has pixels that are NaN or infinite; fix them")
    return Image.fromarray(pixels)
