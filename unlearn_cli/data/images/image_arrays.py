"""Images of one size in an array, which are prepared like image files: resized, cropped, converted to a mode."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from unlearn_cli.data.digests import digest_samples
from unlearn_cli.data.images.image_pixels import check_size, to_sample
from unlearn_cli.data.records import Inputs, StoredInput, check_samples, make_array_inputs
from unlearn_cli.errors import UserError
from unlearn_cli.schema.image_steps import DEFAULT_MODES


@dataclass(frozen=True)
class ArrayImages:
    """Images of 8 bits: (n, H, W) or (n, H, W, C)."""

    array: np.ndarray
    source: Path  # for messages
    input: StoredInput

    def __len__(self) -> int:
        return len(self.array)

    def take(self, rows: np.ndarray) -> np.ndarray:
        if not len(rows):
            return np.zeros((0, *self.input.shape), dtype=np.uint8)
        images = (Image.fromarray(np.ascontiguousarray(self.array[row])) for row in rows.tolist())
        return np.stack([to_sample(image, self.source, self.input) for image in images])

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        return digest_samples((self.array[row].tobytes() for row in rows), len(rows))


def check_array(source: str, dtype: np.dtype, stored: tuple[int, ...], input: StoredInput) -> None:
    """Check type and shape (N, ...) of an array of samples; it need not be read yet.

    Raises:
        UserError: as `check_samples`; or the manifest has steps for images, and these are not images of 8 bits or have
            a size that does not suit the steps.
    """
    if not input.images.change_arrays:
        check_samples(source, dtype, stored, input.shape)
        return
    sides = _find_sides(stored)
    if dtype != np.uint8 or sides is None or len(input.shape) != 3:
        raise UserError(
            f"{source}: samples are of type {dtype} and shape {list(stored[1:])}, but input.resize, crop and mode need "
            "image files or arrays of 8-bit images (uint8, [height, width] or [height, width, channels]); omit them"
        )
    check_size((sides[1], sides[0]), Path(source), input)


def make_sample_inputs(source: str, array: np.ndarray, input: StoredInput) -> Inputs:
    """Return the samples of an array, prepared like image files where the manifest has steps for images.

    Raises:
        UserError: as `check_array`, or a value is not finite.
    """
    check_array(source, array.dtype, array.shape, input)
    if not input.images.change_arrays:
        return make_array_inputs(source, array, input.shape, gaps=input.gaps)
    if array.ndim == 4 and array.shape[-1] not in DEFAULT_MODES:
        array = array.transpose(0, 2, 3, 1)
    return ArrayImages(array[..., 0] if array.ndim == 4 and array.shape[-1] == 1 else array, Path(source), input)


def _find_sides(stored: tuple[int, ...]) -> tuple[int, int] | None:
    """Return height and width of images (N, H, W), (N, H, W, C) or (N, C, H, W); None for other samples."""
    if len(stored) == 3:
        return stored[1], stored[2]
    if len(stored) == 4 and stored[3] in DEFAULT_MODES:
        return stored[1], stored[2]
    return (stored[2], stored[3]) if len(stored) == 4 and stored[1] in DEFAULT_MODES else None
