"""Image files as samples: opened by a fixed list of formats, checked by their headers, brought to the right shape.

The content decides the format, never the suffix. What becomes of an image, by what it stores (C channels asked for):

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

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, BinaryIO, Protocol, runtime_checkable

import numpy as np
from PIL import Image, UnidentifiedImageError

from unlearn_cli import console
from unlearn_cli.data.digests import digest_samples
from unlearn_cli.data.images.image_depth import count_bits, has_white_as_zero, is_deep_grey, read_unsigned
from unlearn_cli.data.records import StoredInput
from unlearn_cli.data.strings import Strings
from unlearn_cli.errors import UserError
from unlearn_cli.storage import regular_files

# Formats whose readers run no other program (as EPS does) and load no plug-in by what a file says (as FPX does).
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
MOST_BYTES = 2**30  # of one file: what so many pixels take in any of these formats, and room to spare
REMEDY = "replace or remove it, or leave it out with 'unreadable: skip'; --dry-run names all such files"
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
)  # what its readers raise for damaged files


class UnreadableImage(UserError):
    """A file that holds no image which can be decoded; `unreadable: skip` leaves it out."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # the arguments, so that a reading process can send it
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: cannot be read ({self.reason}); {REMEDY}"


@runtime_checkable
class Images(Protocol):
    """Samples that are image files, or lie as such in other files."""

    @property
    def input(self) -> StoredInput: ...

    def name(self, row: int) -> Path:
        """Return the path of an image, or what stands for it, for messages."""
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
        console.say(f"looking for copies: reading {len(rows)} image files")  # it may take minutes
        return digest_samples(map(self._bytes, rows.tolist()), len(rows))

    def name(self, row: int) -> Path:
        return self.root / self.names.text(row)

    def content(self, row: int) -> BinaryIO:
        return open_image_file(self.name(row))

    def _bytes(self, row: int) -> bytes:
        with self.content(row) as file:
            return file.read(MOST_BYTES + 1)


def open_image_file(path: Path) -> BinaryIO:
    """Open a file that should be an image.

    Raises:
        UnreadableImage: it is not there, may not be opened, is empty, or too large.
        UserError: it is not a regular file.
    """
    try:
        file = regular_files.try_open(path)
    except FileNotFoundError:
        raise UnreadableImage(path, "there is no such image") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UnreadableImage(path, (getattr(error, "strerror", None) or str(error)).lower()) from None
    size = file.seek(0, 2)
    if not 0 < size <= MOST_BYTES:
        file.close()
        raise UnreadableImage(path, "the file is empty" if not size else f"it has more than {MOST_BYTES} bytes")
    file.seek(0)
    return file


def read_images(images: Images, rows: np.ndarray) -> np.ndarray:
    """Read some of the images as (n, C, H, W): uint8, or float32 where they store more than 8 bits.

    Raises:
        UserError: as `read_image`; or their depths differ, so that no one scale suits them.
    """
    if not len(rows):
        return np.zeros((0, *images.input.shape), dtype=np.uint8)
    pixels = []
    for row in rows.tolist():
        with images.content(row) as content:
            pixels.append(read_image(content, images.name(row), images.input))
    if len({image.dtype for image in pixels}) > 1:
        raise UserError(f"{images.name(int(rows[0]))}: and others have different depths; convert them to one")
    return np.stack(pixels)


def read_image(content: BinaryIO, path: Path, input: StoredInput) -> np.ndarray:
    """Read one image as (C, H, W); the path only names it.

    Raises:
        UnreadableImage: it cannot be decoded.
        UserError: a decompression bomb, another size than the manifest says, or more bits than it gives a scale for.
    """
    with open_image(content, path, input) as image:
        decode_image(image, path)
        return _to_shape(image, path, input)


@contextmanager
def open_image(content: BinaryIO, path: Path, input: StoredInput) -> Iterator[Image.Image]:
    """Open an image and check what its header says: nothing is decoded, and nothing of its size is allocated yet.

    Raises:
        UnreadableImage, UserError: as `read_image`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with _open_with_pillow(content, path) as image:
            _check_depth(image, path, input)
            _check_size(image, path, input)
            yield image


def holds_image(path: Path) -> bool:
    """Say whether a file's content is an image, whatever its name; one that may not be opened may well be."""
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


def list_formats() -> list[str]:
    """Return the formats that this Pillow reads of those allowed; it would load all its readers for one it lacks."""
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
    with _translate_pillow_errors(path):
        image.load()


def _has_right_checksums(file: IO[bytes]) -> bool:
    """Check the checksums of a PNG's pixels, which Pillow passes over; the file stays where it is."""
    position, right = file.tell(), True
    file.seek(8)
    while right and len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        if name == b"IDAT":
            data, stored = file.read(size), file.read(4)
            right = len(stored) < 4 or zlib.crc32(name + data) == int.from_bytes(stored)  # else truncated: Pillow tells
        else:
            file.seek(size + 4, 1)
    file.seek(position)
    return right


def _open_with_pillow(content: BinaryIO, path: Path) -> Image.Image:
    with _translate_pillow_errors(path):
        return Image.open(content, formats=list_formats())


@contextmanager
def _translate_pillow_errors(path: Path) -> Iterator[None]:
    """Turn what Pillow raises into an error of ours."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _describe_bomb(path) from None
    except UnidentifiedImageError:
        raise UnreadableImage(
            path, f"it is not an image of a format that is read: {', '.join(list_formats())}"
        ) from None
    except PILLOW_ERRORS as error:
        raise UnreadableImage(path, str(error) or type(error).__name__) from None


def _describe_bomb(path: Path, more: str = "") -> UserError:
    return UserError(
        f"{path}: has more than {MOST_PIXELS} pixels{more}, like a decompression bomb; shrink or remove it"
    )


def _check_depth(image: Image.Image, path: Path, input: StoredInput) -> None:
    bits = count_bits(image)
    if bits <= 8:
        return
    if not is_deep_grey(image):
        raise UserError(
            f"{path}: has {bits} bits per channel ({image.format}, {image.mode}), of which only 8 would be read; "
            "convert it to 8 bits, or store the samples as an npz file"
        )
    if has_white_as_zero(image):
        raise UserError(
            f"{path}: has {bits} bits per pixel that count from white (0) to black; convert it to MinIsBlack"
        )
    if input.scale is None:
        example = "65535" if bits == 16 else "the largest value that pixels can have"
        raise UserError(
            f"{path}: has {bits} bits per pixel ({image.format}, mode {image.mode}); say in the manifest what pixels "
            f"are divided by, such as input.scale: {example}, or convert it to 8 bits"
        )


def _check_size(image: Image.Image, path: Path, input: StoredInput) -> None:
    """Check the size that an image has when it is resized as the manifest says."""
    _, height, width = input.shape
    if image.width * image.height > MOST_PIXELS:
        raise _describe_bomb(path)
    size = _scale_to_shorter_side(image.size, input.resize) if input.resize else image.size
    if size[0] * size[1] > MOST_PIXELS:
        raise _describe_bomb(path, f" ({size[0]}x{size[1]}) when its shorter side is resized to {input.resize}")
    cropped = input.resize and size[0] >= width and size[1] >= height
    if size != (width, height) and not cropped:
        advice = "take a larger" if input.resize else "add"
        raise UserError(
            f"{path}: is {size[0]}x{size[1]} pixels, but input.shape says {width}x{height}; {advice} input.resize in "
            "the manifest"
        )


def _to_shape(image: Image.Image, path: Path, input: StoredInput) -> np.ndarray:
    channels, height, width = input.shape
    image = _to_floats(image, path) if is_deep_grey(image) else _convert(image, {1: "L", 3: "RGB"}[channels])
    if input.resize:
        image = image.resize(_scale_to_shorter_side(image.size, input.resize), Image.Resampling.BILINEAR)
        image = _crop_centre(image, height, width)
    if image.size != (width, height):  # its header said otherwise
        raise UnreadableImage(path, f"it is {image.width}x{image.height} pixels when decoded")
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if pixels.ndim == 3 else np.stack([pixels] * channels)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode in ("LAB", "PA", "La", "RGBa") and mode == "L":
        image = image.convert("RGB")  # Pillow has no direct way
    return image.convert(mode)


def _to_floats(image: Image.Image, path: Path) -> Image.Image:
    """Return a grey image of more than 8 bits in floats, its values as they are stored."""
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
