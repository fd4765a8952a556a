"""Images that a table contains as bytes or as base64 text; they are held in memory as they are stored."""

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from unlearn_cli.data.digests import digest_samples
from unlearn_cli.data.images.image_files import read_images
from unlearn_cli.data.images.pillow_images import UnreadableImage
from unlearn_cli.data.records import StoredInput

BASE64 = re.compile(r"[A-Za-z0-9+/\s]{64,}={0,2}\s*")  # no file name is as long without a dot
IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")  # first bytes of usual formats
DATA_URI = re.compile(r"data:[\w.+-]+/[\w.+-]+(;[\w=.-]+)*;base64,", re.IGNORECASE)


@dataclass(frozen=True)
class ImageBytes:
    """Images (n,) in one block of bytes, which forked processes share."""

    block: bytearray = field(repr=False)
    starts: np.ndarray  # (n + 1,) int64: image i is block[starts[i] : starts[i + 1]]
    table: Path
    input: StoredInput

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(self, rows: np.ndarray) -> np.ndarray:
        return read_images(self, rows)

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        return digest_samples(map(self._bytes, rows.tolist()), len(rows))

    def name(self, row: int) -> Path:
        """Return the table with the number of the row."""
        return self.table / f"row {row}"

    def content(self, row: int) -> BinaryIO:
        """Open an image's bytes.

        Raises:
            UnreadableImage: the cell is empty.
        """
        content = self._bytes(row)
        if not content:
            raise UnreadableImage(self.name(row), "the cell is empty")
        return BytesIO(content)

    def _bytes(self, row: int) -> bytes:
        start, end = self.starts[row : row + 2].tolist()
        return bytes(self.block[start:end])


def pack_images(images: Iterable[bytes], table: Path, input: StoredInput) -> ImageBytes:
    """Store images in one block."""
    block, sizes = bytearray(), [0]
    for image in images:
        block += image
        sizes.append(len(image))
    return ImageBytes(block, np.cumsum(sizes, dtype=np.int64), table, input)


def is_base64(text: str) -> bool:
    """Return whether a cell is base64 text, with or without the beginning of a data URI, and not a path."""
    return DATA_URI.match(text) is not None or BASE64.fullmatch(text) is not None


def is_base64_image(text: str) -> bool:
    """Return whether a cell is an image as base64 text: other long texts, such as of genes, look like base64, too."""
    return is_base64(text) and next(decode_base64([text])).startswith(IMAGES)


def decode_base64(cells: Iterable[str]) -> Iterator[bytes]:
    """Yield the bytes of base64 cells; text that is not base64 is returned as it is, and is then no image."""
    for cell in cells:
        text = "".join(DATA_URI.sub("", cell, count=1).split())
        try:
            yield base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            yield cell.encode("utf-8", "replace")
