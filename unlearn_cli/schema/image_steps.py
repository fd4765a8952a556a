"""How an image file becomes a sample: the keys of the manifest's section `input` that only images have."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

Sides = Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]
Size = PositiveInt | Sides
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
Crop = Literal["centre", "centre_floor"]
Mode = Literal["grey", "rgb", "bgr", "rgba"]
Transparency = Literal["drop", "white", "black"]

CHANNELS: dict[Mode, tuple[int, ...]] = {"grey": (1, 3), "rgb": (3,), "bgr": (3,), "rgba": (4,)}
DEFAULT_MODES: dict[int, Mode] = {1: "grey", 3: "rgb", 4: "rgba"}


@dataclass(frozen=True)
class ImageSteps:
    """The steps in their order: orientation, mode, `crop_before`, `resize`, centre crop to the shape of a sample."""

    exif: bool = False
    mode: Mode | None = None  # None: by the channels of the shape
    transparency: Transparency = "drop"
    crop_before: int | tuple[int, int] | Literal["square"] | None = None  # height, width
    resize: int | tuple[int, int] | None = None  # the shorter side, or height and width
    interpolation: Interpolation = "bilinear"
    crop: Crop | None = None
    own_transform: str | None = None  # package.module:name, instead of the steps after the mode

    @property
    def crops(self) -> bool:
        """Whether an image that is larger than the shape is cropped."""
        return self.crop is not None or self.resize is not None

    @property
    def change_arrays(self) -> bool:
        """Whether they change images that an array contains; EXIF and transparency are only in files."""
        return any(
            step is not None for step in (self.resize, self.crop, self.crop_before, self.mode, self.own_transform)
        )

    def choose_mode(self, channels: int) -> Mode:
        return self.mode or DEFAULT_MODES[channels]


AS_STORED = ImageSteps()


def check_mode(mode: Mode | None, channels: int) -> None:
    """Check that images of this mode have as many channels as the shape.

    Raises:
        ValueError: they have not.
    """
    if mode and channels not in CHANNELS[mode]:
        counts = " or ".join(map(str, CHANNELS[mode]))
        raise ValueError(f"mode: {mode} makes {counts} channels, but shape has {channels}; make them agree")


def check_size(name: str, size: int | list[int] | None, shape: list[int], *, equal: bool = False) -> None:
    """Check that an image of this size is not smaller than the last two numbers of `shape`, or is `equal` to them.

    Raises:
        ValueError: it is smaller, or not equal.
    """
    if size is None or len(shape) != 3:
        return
    sides = [size, size] if isinstance(size, int) else size
    wanted = shape[1:]
    if equal and sides != wanted:
        raise ValueError(
            f"{name} to {size} makes images of {sides}, but input.shape needs {wanted}; make them agree; to crop "
            "before resizing, use crop_before"
        )
    too_small = size < min(wanted) if isinstance(size, int) else any(a < b for a, b in zip(size, wanted, strict=True))
    if too_small:
        raise ValueError(f"{name} to {size} makes images smaller than shape; use a larger number")
