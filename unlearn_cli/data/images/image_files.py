"""Image files as samples, which are read on access."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

import numpy as np

from unlearn_cli import console
from unlearn_cli.data.digests import digest_samples
from unlearn_cli.data.images.image_pixels import read_image
from unlearn_cli.data.images.pillow_images import MOST_BYTES, UnreadableImage, open_image_file
from unlearn_cli.data.records import StoredInput
from unlearn_cli.data.strings import Strings
from unlearn_cli.errors import UserError


@runtime_checkable
class Images(Protocol):
    """Samples that are image files, or images inside other files."""

    @property
    def input(self) -> StoredInput: ...

    def name(self, row: int) -> Path:
        """Return the path of an image for messages, or a path that stands for it."""
        ...

    def content(self, row: int) -> BinaryIO:
        """Open an image's bytes."""
        ...


@dataclass(frozen=True)
class ImageFiles:
    """One file per sample; `names` (n,) are the paths below `root`."""

    root: Path
    names: Strings
    input: StoredInput

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return read_images(self, rows)

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        console.say(f"searching for copies: reading {len(rows)} image files")  # this may take minutes
        return digest_samples(map(self.read, rows.tolist()), len(rows))

    def name(self, row: int) -> Path:
        return self.root / self.names.text(row)

    def content(self, row: int) -> BinaryIO:
        if not self.names.text(row):  # an empty cell of a table: its path would be the folder
            raise UnreadableImage(self.root / f"row {row}", "the cell is empty")
        return open_image_file(self.name(row))

    def read(self, row: int) -> bytes:
        """Return the bytes of a file."""
        with self.content(row) as file:
            return file.read(MOST_BYTES + 1)


def read_images(images: Images, rows: np.ndarray) -> np.ndarray:
    """Read the images of these rows as (n, C, H, W): uint8, or float32 where they store more than 8 bits.

    Raises:
        UserError: as `read_image`; or their depths differ, so that no single scale fits.
    """
    if not len(rows):
        return np.zeros((0, *images.input.shape), dtype=np.uint8)
    pixels = []
    for row in rows.tolist():
        with images.content(row) as content:
            pixels.append(read_image(content, images.name(row), images.input))
    if len({image.dtype for image in pixels}) > 1:
        raise UserError(
            f"{images.name(int(rows[0]))}: this image and others store different numbers of bits per channel; convert "
            "all of them to the same"
        )
    return np.stack(pixels)
