"""Checks all images of a source before they are used: their headers and, on request, their pixels."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import BinaryIO

import numpy as np
from PIL import Image

from unlearn_cli import console
from unlearn_cli.data.images.file_facts import FileFacts, ImageNote
from unlearn_cli.data.images.image_depth import is_deep_grey
from unlearn_cli.data.images.image_files import ImageFiles, Images, read_images
from unlearn_cli.data.images.image_geometry import read_orientation
from unlearn_cli.data.images.image_pixels import open_image
from unlearn_cli.data.images.image_sources import find_images
from unlearn_cli.data.images.own_transform import check_repeats
from unlearn_cli.data.images.pillow_images import REMEDY, UnreadableImage, decode_image
from unlearn_cli.data.notices import make_notices
from unlearn_cli.data.records import Records, StoredInput, choose_records
from unlearn_cli.errors import UserError

LISTED = 1000  # unreadable images that are listed in the log; their number is always complete
MANY = 10_000  # images; for as many, a note is printed because the check takes a while
COLOUR = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


@dataclass
class ImageScan:
    """The result of checking a source's images: changes when they are read, and unreadable images."""

    changes: Counter[str] = field(default_factory=Counter)
    first_of_depth: dict[bool, int] = field(default_factory=dict)  # whether more than 8 bits -> the first such row
    unreadable: list[int] = field(default_factory=list)  # positions among the rows
    reasons: list[UnreadableImage] = field(default_factory=list)  # for the first LISTED of them

    def count(self, note: ImageNote, first: int, images: int = 1) -> None:
        """Count images with the same note; `first` is the row of the first of them."""
        self.changes.update(dict.fromkeys(note.changes, images))
        self.first_of_depth[note.is_deep] = min(first, self.first_of_depth.get(note.is_deep, first))


def drop_unreadable(records: Records, facts: FileFacts | None = None) -> Records:
    """Decode all images, and omit those that cannot be decoded, with a notice; without those that `facts` know.

    Raises:
        UserError: no image can be decoded, or an image does not agree with the manifest, as in `read_image`.
    """
    images = find_images(records.inputs)
    if images is None:
        return records
    scan = scan_images(*images, records.name, decode=True, facts=facts)
    if not scan.unreadable:
        return records
    _warn_of_unreadable(scan, records.name)
    if len(scan.unreadable) == len(records):
        raise UserError(f"{records.name}: none of {len(records)} images can be read; the first: {scan.reasons[0]}")
    readable = np.delete(np.arange(len(records)), scan.unreadable)
    notice = make_notices(records.name, {"unreadable images, left out": len(scan.unreadable)})
    return replace(choose_records(records, readable), notices=records.notices + notice)


def check_sources(
    sources: Mapping[str, Records], *, decode: bool = False, facts: FileFacts | None = None
) -> dict[str, Records]:
    """Check the images of all sources with `check_images`, so that one message has the mistakes of all.

    Raises:
        UserError: as `check_images`, or the depths of the sources differ.
    """
    passed: dict[str, Records] = {}
    reasons: list[str] = []
    for name, records in sources.items():
        try:
            passed[name] = check_images(records, decode=decode, facts=facts)
        except UserError as error:
            reasons.append(str(error))
    if reasons:
        raise UserError("; ".join(reasons))
    first, *others = passed.values()
    for records in others:
        refuse_other_depth(first, records)
    return passed


def check_images(records: Records, *, decode: bool = False, facts: FileFacts | None = None) -> Records:
    """Check the headers of all images (with `decode`, their pixels), and count changes when they are read.

    Images that passed the same check in an earlier run and look unchanged are not opened.

    Raises:
        UserError: images cannot be read (the log lists them), do not agree with the manifest, or have different depths.
    """
    images = find_images(records.inputs)
    if images is None:
        return records
    scan = scan_images(*images, records.name, decode=decode, facts=facts)
    if len(records) and not scan.unreadable and images[0].input.images.own_transform:
        check_repeats(read_images(images[0], images[1][:1]), read_images(images[0], images[1][:1]), records.name)
    if scan.unreadable:
        raise _describe_unreadable(scan, records.name, len(records), decode=decode)
    if len(scan.first_of_depth) > 1:
        few, many = (images[0].name(scan.first_of_depth[deep]) for deep in (False, True))
        raise UserError(
            f"{records.name}: {few} has 8 bits per pixel and {many} has more, so one input.scale cannot fit both; "
            "convert them to one depth"
        )
    return replace(records, notices=records.notices + make_notices(records.name, dict(scan.changes)))


def count_images(sources: Iterable[Records]) -> int | None:
    """Count the records whose samples are images; None if there are none."""
    counts = [len(records) for records in sources if find_images(records.inputs) is not None]
    return sum(counts) or None


def refuse_other_depth(train: Records, other: Records) -> None:
    """Refuse sources of which one has images of 8 bits and the other of more.

    Raises:
        UserError: they differ, so that the manifest's scale cannot fit both.
    """
    images = [find_images(records.inputs) for records in (train, other)]
    types = [read_images(source[0], source[1][:1]).dtype for source in images if source is not None]
    if len(set(types)) > 1:
        raise UserError(
            f"{other.name}: images have {'8' if types[1] == np.uint8 else 'more than 8'} bits per pixel, unlike those "
            f"of {train.name}, so one input.scale cannot fit both; convert them to one depth"
        )


def scan_images(
    images: Images, rows: np.ndarray, name: str, *, decode: bool, facts: FileFacts | None = None
) -> ImageScan:
    """Open all images and check them, except for those that `facts` know.

    With `facts`, all bytes of a file are read and digested: few commands do not need the digests, too.

    Raises:
        UserError: an image does not agree with the manifest.
    """
    scan, unknown, open_content = ImageScan(), np.arange(len(rows)), images.content
    if facts is not None and isinstance(images, ImageFiles):
        indices, notes = facts.find_notes(images, rows, decoded=decode)
        _count_stored(scan, rows, indices, notes)
        unknown, open_content = np.flatnonzero(indices < 0), partial(facts.open_image, images)
    if len(unknown) >= MANY or (decode and len(unknown)):
        console.say(f"{name}: {'decoding' if decode else 'checking the headers of'} {len(unknown)} images")
    numbers: dict[ImageNote, int] = {}
    indices = np.full(len(unknown), -1)
    for number, position in enumerate(unknown.tolist()):
        note = _try_image(images, open_content, rows, position, scan, name, decode)
        if note is not None:
            scan.count(note, int(rows[position]))
            indices[number] = numbers.setdefault(note, len(numbers))
    if facts is not None and isinstance(images, ImageFiles):
        readable = indices >= 0
        facts.add_notes(images, rows[unknown[readable]], indices[readable], list(numbers), decoded=decode)
    return scan


def _count_stored(scan: ImageScan, rows: np.ndarray, indices: np.ndarray, notes: Sequence[ImageNote]) -> None:
    for index, note in enumerate(notes):
        positions = np.flatnonzero(indices == index)
        scan.count(note, int(rows[positions[0]]), len(positions))


def _try_image(
    images: Images,
    open_content: Callable[[int], BinaryIO],
    rows: np.ndarray,
    position: int,
    scan: ImageScan,
    name: str,
    decode: bool,
) -> ImageNote | None:
    """Return the note of an image; None for an unreadable one, which is added to the scan."""
    try:
        return _check_image(images, open_content, int(rows[position]), decode)
    except UnreadableImage as error:
        scan.unreadable.append(position)
        if len(scan.reasons) < LISTED:  # a new exception, because the traceback of the old one keeps the image open
            scan.reasons.append(UnreadableImage(error.path, error.reason))
        return None
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def _check_image(images: Images, open_content: Callable[[int], BinaryIO], row: int, decode: bool) -> ImageNote:
    path = images.name(row)
    with open_content(row) as content, open_image(content, path, images.input) as image:
        note = ImageNote(is_deep_grey(image), tuple(_describe_changes(image, images.input)))
        if decode:
            decode_image(image, path)
    return note


def _describe_changes(image: Image.Image, input: StoredInput) -> Iterator[str]:
    """Yield the ways in which an image is changed when it is read."""
    mode, channels = image.mode, input.shape[0]
    target = input.images.choose_mode(channels)
    if image.has_transparency_data and target != "rgba":
        fill = input.images.transparency
        yield f"images with transparency, which is {'dropped' if fill == 'drop' else f'blended with {fill}'}"
    if mode in ("P", "PA"):
        yield "images with a palette, converted to its colours"
    if mode == "1":
        yield "1-bit images, read as 0 and 255"
    if mode in ("CMYK", "YCbCr", "LAB"):
        yield f"{mode} images, converted to RGB without their colour profile"
    if mode in COLOUR and target == "grey":
        yield "colour images, converted to grey"
    if mode not in COLOUR and channels == 3:
        yield "grey images, repeated in three channels"
    if read_orientation(image) > 1:
        turned = image.format == "TIFF" or input.images.exif
        kind = "TIFF images" if image.format == "TIFF" else "images"
        yield f"{kind}, turned by their orientation" if turned else "images with an EXIF orientation, not turned by it"
    if getattr(image, "is_animated", False):
        yield "images with several frames or pages, of which only the first is read"


def _describe_unreadable(scan: ImageScan, name: str, total: int, *, decode: bool) -> UserError:
    if len(scan.unreadable) == 1:
        first = scan.reasons[0]
        text = f"{first.path}: cannot be read ({first.reason}); {REMEDY}" if decode else str(first)
        return UserError(f"{name}: {text}")
    _warn_of_unreadable(scan, name)
    return UserError(
        f"{name}: {len(scan.unreadable)} of {total} images cannot be read, the first is {scan.reasons[0].path} "
        f"({scan.reasons[0].reason}); replace or remove them, or leave them out with 'unreadable: skip'"
    )


def _warn_of_unreadable(scan: ImageScan, name: str) -> None:
    for error in scan.reasons:
        console.warn(f"{name}: {error.path}: cannot be read ({error.reason})")
    if len(scan.unreadable) > len(scan.reasons):
        console.warn(f"{name}: and {len(scan.unreadable) - len(scan.reasons)} more")
