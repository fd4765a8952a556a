"""The number of bits per channel in an image file; Pillow silently truncates colour channels of more than 8 bits."""

import numpy as np
from PIL import Image

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
WHITE_IS_ZERO, UNSIGNED = 0, 1  # values of the last two tags
HEADER = 2**16  # bytes that contain the boxes and markers with the depth
MAIN_HEADER = b"\xff\x4f\xff\x51"  # JPEG 2000: start of the codestream, then its sizes


def is_deep_grey(image: Image.Image) -> bool:
    """Return whether an image has one channel of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def count_bits(image: Image.Image) -> int:
    """Return the bits per channel that an opened file stores; 8 for fewer."""
    if is_deep_grey(image):
        return 16 if image.mode.startswith("I;16") else 32
    readers = {
        "PNG": _read_png_depth,
        "TIFF": _read_tiff_depth,
        "PPM": _read_ppm_depth,
        "JPEG2000": _read_jpeg2000_depth,
        "AVIF": _read_avif_depth,
    }
    return max(8, readers[image.format](image)) if image.format in readers else 8


def has_white_as_zero(image: Image.Image) -> bool:
    """Return whether a TIFF counts from white to black; Pillow inverts it only for 8 bits."""
    return getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO


def read_unsigned(image: Image.Image) -> np.ndarray:
    """Return the pixels of a deep grey image; Pillow returns unsigned 32-bit numbers of a TIFF as signed ones."""
    pixels = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    bits, kind = tags.get(BITS_PER_SAMPLE, (0,)), tags.get(SAMPLE_FORMAT, (UNSIGNED,))
    unsigned = image.mode == "I" and tuple(bits) == (32,) and tuple(kind) == (UNSIGNED,)
    return pixels.view(np.uint32) if unsigned else pixels


def _read_png_depth(image: Image.Image) -> int:
    return 16 if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())) else 8


def _read_tiff_depth(image: Image.Image) -> int:
    return max(getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (8,)), default=8)


def _read_ppm_depth(image: Image.Image) -> int:
    """The last argument of Pillow's reader is the largest value, unless that is 255."""
    arguments = [tile[3] for tile in getattr(image, "tile", ())]
    largest = [args[-1] for args in arguments if isinstance(args, tuple) and isinstance(args[-1], int)]
    return max((value.bit_length() for value in largest), default=8)


def _read_jpeg2000_depth(image: Image.Image) -> int:
    header = _read_header(image)
    start = header.find(MAIN_HEADER)
    sizes = start + len(MAIN_HEADER) + 36  # after lengths, sizes and offsets of image and tiles
    count = int.from_bytes(header[sizes : sizes + 2]) if start >= 0 else 0
    depths = header[sizes + 2 : sizes + 2 + 3 * count : 3]
    return max(((depth & 0x7F) + 1 for depth in depths), default=8)


def _read_avif_depth(image: Image.Image) -> int:
    """The box `av1C` has the bits 'high bit depth' and 'twelve bits' in its third byte."""
    parts = _read_header(image).split(b"av1C")[1:]
    return max((12 if part[2] & 0x20 else 10 if part[2] & 0x40 else 8 for part in parts if len(part) > 2), default=8)


def _read_header(image: Image.Image) -> bytes:
    file = getattr(image, "fp", None) or getattr(image, "_fp", None)
    if file is None:
        return b""
    position = file.tell()
    file.seek(0)
    header = file.read(HEADER)
    file.seek(position)
    return header
