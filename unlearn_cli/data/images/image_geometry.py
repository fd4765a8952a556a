"""Orientation, crops and sizes of an image on its way to a sample, as in torchvision's transforms and in Pillow."""

from pathlib import Path

from PIL import ExifTags, Image, ImageOps

from unlearn_cli.data.images.pillow_images import PILLOW_ERRORS
from unlearn_cli.errors import UserError
from unlearn_cli.schema.image_steps import ImageSteps

Size = tuple[int, int]  # width, height, as in Pillow


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, or 1; in a PNG, only an orientation before the pixels is found."""
    if image.format != "TIFF" and "exif" not in image.info:
        return 1
    try:
        tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else image.getexif()
        value = tags.get(ExifTags.Base.Orientation, 1)
    except PILLOW_ERRORS:  # damaged metadata of an image whose pixels can be read
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turn_size(image: Image.Image) -> Size:
    """Return the size that an image has when it is turned by its orientation; Pillow turns a TIFF itself."""
    turned = image.format != "TIFF" and read_orientation(image) >= 5
    return (image.height, image.width) if turned else image.size


def turn(image: Image.Image) -> Image.Image:
    """Return a decoded image turned by its orientation."""
    return image if read_orientation(image) == 1 else ImageOps.exif_transpose(image)


def plan_size(size: Size, steps: ImageSteps, path: Path) -> Size:
    """Return the size after `crop_before` and `resize`.

    Raises:
        UserError: the image is smaller than `crop_before`.
    """
    if steps.crop_before:
        size = _plan_crop(size, steps, path)
    if steps.resize is None:
        return size
    if isinstance(steps.resize, int):
        return _scale_to_shorter_side(size, steps.resize)
    height, width = steps.resize
    return width, height


def resize(image: Image.Image, steps: ImageSteps, path: Path) -> Image.Image:
    """Crop an image to `crop_before`, and resize it."""
    size = plan_size(image.size, steps, path)
    if steps.crop_before:
        width, height = _plan_crop(image.size, steps, path)
        image = crop_centre(image, (height, width), floor=steps.crop == "centre_floor")
    return image if image.size == size else image.resize(size, Image.Resampling[steps.interpolation.upper()])


def crop_centre(image: Image.Image, size: tuple[int, int], *, floor: bool) -> Image.Image:
    """Crop the centre to `size` (height, width); where an odd number of pixels is cut, `floor` rounds down.

    torchvision rounds to the even neighbour, Hugging Face's processors round down.
    """
    height, width = size
    halves = (image.width - width) / 2, (image.height - height) / 2
    left, top = map(int if floor else round, halves)
    return image.crop((left, top, left + width, top + height))


def _scale_to_shorter_side(size: Size, shorter: int) -> Size:
    """Return the size (width, height) with the shorter side at `shorter` pixels, as torchvision's Resize does."""
    width, height = size
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def _plan_crop(size: Size, steps: ImageSteps, path: Path) -> Size:
    crop = min(size) if steps.crop_before == "square" else steps.crop_before
    height, width = (crop, crop) if isinstance(crop, int) else crop or (size[1], size[0])
    if size[0] < width or size[1] < height:
        raise UserError(
            f"{path}: is {size[0]}x{size[1]} pixels, smaller than input.crop_before, {width}x{height}; use a smaller "
            "number, or square"
        )
    return width, height
