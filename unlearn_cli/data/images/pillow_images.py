"""Opens and decodes images with Pillow: only a fixed list of formats, with translated errors.

The content decides the format, never the suffix.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, BinaryIO

from PIL import Image, UnidentifiedImageError

from unlearn_cli.errors import UserError
from unlearn_cli.storage import regular_files
from unlearn_cli.storage.foreign_texts import find_text

# Only formats whose readers start no other program (as EPS does) and load no plug-in named in the file (as FPX does).
PLUGINS = {
    "PNG": "Png",
    "JPEG": "Jpeg",
    "BMP": "Bmp",
    "DIB": "Bmp",
    "GIF": "Gif",
    "WEBP": "WebP",
    "TIFF": "Tiff",
    "PPM": "Ppm",
    "JPEG2000": "Jpeg2K",
    "AVIF": "Avif",
}
START = 512  # bytes by which a text is recognised
SUFFIXES = frozenset(
    (
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".bmp",
        ".dib",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jp2",
        ".j2k",
        ".avif",
    )
)
MOST_PIXELS = 89_478_485  # Pillow's own limit: a quarter of a GiB in 24 bits
MOST_BYTES = 2**30  # of one file: more than MOST_PIXELS need in any of these formats
REMEDY = "replace or remove it, or leave it out with 'unreadable: skip'"
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    struct.error,
    zlib.error,
)  # raised by Pillow's readers for damaged files


class UnreadableImage(UserError):
    """A file that is not an image or cannot be decoded; `unreadable: skip` leaves it out."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # all arguments, so that a worker process can pickle the exception
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: cannot be read ({self.reason}); {REMEDY}; --dry-run lists all such files"


def open_image_file(path: Path) -> BinaryIO:
    """Open a file that should be an image.

    Raises:
        UnreadableImage: it is absent, may not be opened, is empty, or too large.
        UserError: it is not a regular file.
    """
    try:
        file = regular_files.try_open(path)
    except FileNotFoundError:
        raise UnreadableImage(path, "no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UnreadableImage(path, (getattr(error, "strerror", None) or str(error)).lower()) from None
    size = file.seek(0, 2)
    if not 0 < size <= MOST_BYTES:
        file.close()
        raise UnreadableImage(path, "the file is empty" if not size else f"it has more than {MOST_BYTES} bytes")
    file.seek(0)
    return file


def contains_image(path: Path) -> bool:
    """Return whether a file's content is an image, independent of its name; True if it may not be opened."""
    try:
        with open_image_file(path) as content, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(content, formats=list_formats()).close()
    except UnreadableImage as error:
        return isinstance(error.__context__, PermissionError)
    except PILLOW_ERRORS:
        return False
    except Image.DecompressionBombError:
        return True
    return True


def open_with_pillow(content: BinaryIO, path: Path) -> Image.Image:
    """Open an image.

    Raises:
        UnreadableImage: it is not one, or is damaged.
    """
    with translate_pillow_errors(path):
        try:
            return Image.open(content, formats=list_formats())
        except UnidentifiedImageError:
            raise UnreadableImage(path, explain_content(content)) from None


def explain_content(content: BinaryIO) -> str:
    """Return what a file is instead of an image."""
    content.seek(0)
    text = find_text(content.read(START))
    return text or f"not an image, or not in one of the supported formats: {', '.join(list_formats())}"


def list_formats() -> list[str]:
    """Return the allowed formats that this Pillow can read; a format that it lacks would make it load all readers."""
    if not _registered:
        for name, module in PLUGINS.items():
            try:
                import_module(f"PIL.{module}ImagePlugin")
            except ImportError:  # an older Pillow
                continue
            _registered.extend([name] if name in Image.OPEN else [])
    return _registered


_registered: list[str] = []


def decode_image(image: Image.Image, path: Path) -> None:
    """Decode an opened image.

    Raises:
        UnreadableImage: it is truncated or damaged.
    """
    file = getattr(image, "fp", None)
    if image.format == "PNG" and file is not None and not _has_right_checksums(file):
        raise UnreadableImage(path, "a checksum of its pixels is wrong")
    with translate_pillow_errors(path):
        image.load()


def _has_right_checksums(file: IO[bytes]) -> bool:
    """Check the checksums of a PNG's pixels, which Pillow skips; the position in the file is restored."""
    position, right = file.tell(), True
    file.seek(8)
    while right and len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        if name == b"IDAT":
            data, stored = file.read(size), file.read(4)
            right = len(stored) < 4 or zlib.crc32(name + data) == int.from_bytes(stored)  # Pillow refuses truncation
        else:
            file.seek(size + 4, 1)
    file.seek(position)
    return right


@contextmanager
def translate_pillow_errors(path: Path) -> Iterator[None]:
    """Translate Pillow's exceptions."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise describe_bomb(path) from None
    except PILLOW_ERRORS as error:
        raise UnreadableImage(path, str(error) or type(error).__name__) from None


def describe_bomb(path: Path, more: str = "") -> UserError:
    return UserError(
        f"{path}: has more than {MOST_PIXELS} pixels{more}, like a decompression bomb; shrink or remove it"
    )
