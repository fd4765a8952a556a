"""Image files as samples: opened with PIL after a check of their size, brought to the manifest's shape."""

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from unlearn_cli import console
from unlearn_cli.data.digests import digests_of
from unlearn_cli.data.records import StoredInput
from unlearn_cli.data.strings import Strings
from unlearn_cli.errors import UserError

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))


@dataclass(frozen=True)
class ImageFiles:
    """One file a sample; `names` (n,) are the paths below `root`."""

    root: Path
    names: Strings
    input: StoredInput

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return np.stack([read_image(self._path(row), self.input) for row in rows])

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        console.say(f"looking for copies: reading {len(rows)} image files")  # it may take minutes
        return digests_of((self._path(row).read_bytes() for row in rows), len(rows))

    def _path(self, row: int) -> Path:
        return self.root / self.names.text(row)


def read_image(path: Path, input: StoredInput, content: BytesIO | None = None) -> np.ndarray:
    """Read one image as (C, H, W) uint8; with `content` it lies in another file, and the path only names it.

    Raises:
        UserError: no such file, no image, a decompression bomb, or another size than the manifest says.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(content or path) as image:
                pixels = _to_shape(image, path, input)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such image; put it there or take it out of the data") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = Image.MAX_IMAGE_PIXELS
        raise UserError(
            f"{path}: has more than {limit} pixels, like a decompression bomb; shrink or remove it"
        ) from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        reason = "it is no image" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UserError(f"{path}: cannot be read ({reason}); replace or remove it") from None
    return pixels


def _to_shape(image: Image.Image, path: Path, input: StoredInput) -> np.ndarray:
    channels, height, width = input.shape
    image = image.convert({1: "L", 3: "RGB"}[channels])
    if input.resize:
        image = _resize(image, input.resize)
        if image.width >= width and image.height >= height:
            image = _centre_crop(image, height, width)
    if image.size != (width, height):
        size, advice = f"{image.width}x{image.height}", "take a larger" if input.resize else "add"
        raise UserError(
            f"{path}: is {size} pixels, but input.shape says {width}x{height}; {advice} input.resize in the manifest"
        )
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _resize(image: Image.Image, shorter: int) -> Image.Image:
    """Bring the shorter side to `shorter` pixels, as torchvision's Resize does."""
    if image.width <= image.height:
        size = (shorter, int(shorter * image.height / image.width))
    else:
        size = (int(shorter * image.width / image.height), shorter)
    return image.resize(size, Image.Resampling.BILINEAR)


def _centre_crop(image: Image.Image, height: int, width: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
