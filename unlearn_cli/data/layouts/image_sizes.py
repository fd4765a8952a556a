"""Sizes and modes of a sample of images, from their headers."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from unlearn_cli.console import pluralize
from unlearn_cli.data.images.image_depth import is_deep_grey
from unlearn_cli.data.images.pillow_images import UnreadableImage, open_image_file, open_with_pillow
from unlearn_cli.errors import UserError

MOST_IMAGES = 200  # whose headers are read
GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")


@dataclass(frozen=True)
class ImageSizes:
    """The images of a sample: sizes (width, height) and modes, with counts; `deep`: with more than 8 bits."""

    sizes: Counter[tuple[int, int]]
    modes: Counter[str]
    deep: int
    unreadable: int
    first: str = ""  # of those that cannot be read, with the reason

    @property
    def shape(self) -> list[int]:
        """The most frequent size as [channels, height, width]; one channel if all images are grey."""
        (width, height), _ = self.sizes.most_common(1)[0]
        return [1 if all(mode in GREY for mode in self.modes) else 3, height, width]


def measure_images(paths: Sequence[Path], source: Path) -> ImageSizes:
    """Read the headers of at most MOST_IMAGES images, evenly spread over the paths.

    Raises:
        UserError: none of them can be read.
    """
    chosen = paths[:: max(1, len(paths) // MOST_IMAGES)]
    return _measure(((path, partial(open_image_file, path)) for path in chosen), source)


def measure_contents(contents: Iterable[bytes], source: Path) -> ImageSizes:
    """Read the headers of the first MOST_IMAGES images inside a table.

    Raises:
        UserError: none of them can be read.
    """
    named = ((Path(f"row {row}"), partial(BytesIO, content)) for row, content in enumerate(contents) if content)
    return _measure(islice(named, MOST_IMAGES), source)


def _measure(images: Iterable[tuple[Path, Callable[[], BinaryIO]]], source: Path) -> ImageSizes:
    sizes, modes, deep, unreadable = Counter[tuple[int, int]](), Counter[str](), 0, list[str]()
    for path, open_image in images:
        try:
            with open_image() as content, open_with_pillow(content, path) as image:
                sizes[image.size] += 1
                modes[image.mode] += 1
                deep += is_deep_grey(image)
        except UnreadableImage as error:
            unreadable.append(f"{path}: {error.reason}")
    if not sizes:
        raise UserError(
            f"{source}: none of {pluralize(len(unreadable), 'image')} can be read; 'unlearn-cli inspect' lists them"
        )
    return ImageSizes(sizes, modes, deep, len(unreadable), *unreadable[:1])
