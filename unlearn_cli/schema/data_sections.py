"""The sections `data` and `input` of the manifest: where records are stored, and how they become tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from unlearn_cli.schema import transform_steps
from unlearn_cli.schema.forget import Forget, Forgotten
from unlearn_cli.schema.image_steps import (
    Crop,
    ImageSteps,
    Interpolation,
    Mode,
    Size,
    Transparency,
    check_mode,
    check_size,
)
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.sources import Section, Source, Table
from unlearn_cli.schema.spelling import Name
from unlearn_cli.schema.transform_steps import Step

Spread = Annotated[float, Field(gt=0)]

IMAGE_KEYS = ("resize", "interpolation", "crop", "crop_before", "exif", "mode", "transparency", "own_transform")


class Input(Section):
    """How a stored sample becomes a tensor; must equal what the model was trained with."""

    shape: Annotated[list[Annotated[int, Field(ge=1, lt=2**31)]], Field(min_length=1, max_length=3)] = Field(
        description="[channels, height, width] of images, [features] of tables, after all of data.transform"
    )
    scale: PositiveFloat | None = Field(
        default=None, description="stored values are divided by it first; 255 for uint8, else 1"
    )
    mean: float | list[float] = Field(
        default=0.0, description="subtracted after scaling: one number, or one per channel"
    )
    std: Spread | list[Spread] = Field(default=1.0, description="the result is divided by this")
    resize: Size | None = Field(
        default=None,
        description="images: the shorter side is resized to this number, or the image to [height, width]; then "
        "the centre is cropped to shape",
    )
    interpolation: Interpolation = Field(default="bilinear", description="images: how resize computes pixels")
    crop: Crop | Size | None = Field(
        default=None,
        description="images: centre: larger images are cropped to shape, without resize, too (an odd rest is "
        "divided as in torchvision); centre_floor: an odd rest is divided as in Hugging Face's processors; a number or "
        "[height, width] is centre and must equal shape",
    )
    crop_before: Literal["square"] | Size | None = Field(
        default=None,
        description="images: the centre is cropped to this before resize; square: to the shorter side",
    )
    exif: bool = Field(default=False, description="image files: true: turned by the EXIF orientation")
    mode: Mode | None = Field(
        default=None,
        description="images: the order of the channels. Default: grey, rgb or rgba for 1, 3 or 4 channels; grey "
        "with 3 channels repeats the grey values",
    )
    transparency: Transparency = Field(
        default="drop",
        description="image files: white or black: transparent pixels are blended with this background; drop: colours "
        "are read as they are stored",
    )

    own_transform: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] | None = Field(
        default=None,
        description="images: package.module:name of a transform of torchvision or albumentations, or a function of an "
        "image, that makes the sample; needs --allow-code; instead of resize and the crops",
    )

    @model_validator(mode="after")
    def check(self) -> Self:
        for name, value in (("mean", self.mean), ("std", self.std)):
            if isinstance(value, list) and len(value) != self.shape[0]:
                raise ValueError(f"{name} has {len(value)} numbers; expected one, or {self.shape[0]} as in shape")
        steps = [name for name in IMAGE_KEYS if name in self.model_fields_set and len(self.shape) < 3]
        if steps:
            raise ValueError(f"{steps[0]} is only for images, but shape is {self.shape}; omit it")
        check_mode(self.mode, self.shape[0])
        geometry = {"resize", "interpolation", "crop", "crop_before"} & self.model_fields_set
        if self.own_transform and geometry:
            raise ValueError(f"own_transform decides the size of samples; omit {min(geometry)}")
        if self.mode == "rgba" and self.transparency != "drop":
            raise ValueError("mode: rgba keeps the transparency; omit input.transparency")
        return self

    @property
    def image_steps(self) -> ImageSteps:
        """How image files become samples."""
        return ImageSteps(
            exif=self.exif,
            mode=self.mode,
            transparency=self.transparency,
            crop_before=tuple(self.crop_before) if isinstance(self.crop_before, list) else self.crop_before,  # type: ignore[arg-type]
            resize=tuple(self.resize) if isinstance(self.resize, list) else self.resize,  # type: ignore[arg-type]
            interpolation=self.interpolation,
            crop="centre" if isinstance(self.crop, int | list) else self.crop,
            own_transform=self.own_transform,
        )


class RandomCrop(Section):
    random_crop: PositiveInt = Field(description="pixels of zero padding on each side before the crop")


AugmentEntry = Literal["horizontal_flip"] | RandomCrop


class Data(Section):
    """Where the records are stored."""

    train: Source = Field(description="records that the network was trained on")
    test: Source | None = Field(
        default=None, description="records that the network was not trained on: metrics, gates and attacks read them"
    )
    validation: Source | None = Field(
        default=None,
        description="other records that the network was not trained on: only methods read them (the input held_out), "
        "no metric and no attack. Without it, such methods read the selection half of test",
    )
    group: str | None = Field(
        default=None,
        min_length=1,
        description="column (of arrays: key) of all sources with the person or recording of a record; intervals, "
        "tests and halves use it as the cluster. Default: forget.groups.column, or the series of windows",
    )
    transform: list[Step] = Field(
        default_factory=list, description="transforms of stored samples; input.shape is the shape after them"
    )
    augment: list[AugmentEntry] = Field(default_factory=list, description="random changes of images during training")

    @property
    def sources(self) -> dict[str, Source]:
        """The sources by their keys: train, and test and validation if the manifest has them."""
        sources = {"train": self.train, "test": self.test, "validation": self.validation}
        return {name: source for name, source in sources.items() if source is not None}


@dataclass(frozen=True)
class DataSections:
    """The parts of a manifest that are needed to open a data set."""

    folder: Path  # relative paths are relative to it
    task: Task
    input: Input
    data: Data | None
    forget: Forget | None
    forgotten: Forgotten | None
    classes: Sequence[Name] | None
    num_classes: int | None  # of model.arguments

    @property
    def transform(self) -> list[Step]:
        """The steps of data.transform."""
        return self.data.transform if self.data else []


def check_transforms(data: Data, input: Input) -> None:
    """Check that the transforms turn the samples of the sources into samples of `input.shape`.

    Raises:
        ValueError: they do not.
    """
    tokens = any(step.tokens for step in data.transform)
    stored_shape = transform_steps.invert_shape(data.transform, input.shape)
    check_size("input.resize", input.resize, stored_shape)
    check_size("input.crop", input.crop if isinstance(input.crop, int | list) else None, stored_shape, equal=True)
    for name, source in data.sources.items():
        has_text = isinstance(source.spec, Table) and source.spec.text is not None
        if has_text != tokens:
            advice = "add tokens to data.transform" if has_text else "set `text` to its columns, or remove tokens"
            raise ValueError(f"data.{name} has {'' if has_text else 'no '}columns of text; {advice}")
        if isinstance(source.spec, Table):
            _check_text(source.spec, name, data.transform, input.shape)
            _check_label(source.spec, name, data.transform)
    if tokens and {"scale", "mean", "std"} & input.model_fields_set:
        raise ValueError(
            "numbers of words are not quantities and cannot be scaled; omit input.scale, input.mean and input.std"
        )


def _check_text(table: Table, name: str, steps: list[Step], shape: list[int]) -> None:
    """Check that samples of text have the shape [columns, words], and with numbers in front [numbers and words]."""
    mixed, tokens = table.has_numbers_with_text, next((step.tokens for step in steps if step.tokens), None)
    length = tokens.length if tokens else 0
    if tokens and tokens.pair and len(table.text or []) != 2:
        raise ValueError(f"data.{name}: 'pair' of tokens needs two columns of text; list both in 'text'")
    if table.text is None or (len(shape) == 1) == mixed:
        if length and not mixed and len(steps) > 1:
            raise ValueError("data.transform: tokens cannot be combined with other transforms; remove them")
        return
    count = 1 if tokens and tokens.pair else len(table.text)
    expected = f"[numbers + {count} x {length}]" if mixed else f"[{count}, {length}]"
    raise ValueError(f"data.{name} makes samples of shape {expected}, but input.shape is {shape}; make them agree")


def _check_label(table: Table, name: str, steps: list[Step]) -> None:
    past = any(step.window and step.window.ahead for step in steps)
    both = [label for label in table.label_columns if label in (table.features or [])]
    if both and not past:
        raise ValueError(
            f"data.{name} lists its label '{both[0]}' as a feature, too; only windows that end before the record's "
            "own row (ahead: 1 or more) may use it; remove it from 'features'"
        )


def check_labels(data: Data, task: Task, classes: Sequence[Name] | None) -> None:
    """Check that the sources can give the labels of the task.

    Raises:
        ValueError: they cannot.
    """
    labels = classes or (_list_columns_of_labels(data.train) if task == "multilabel" else [])
    for name, source in data.sources.items():
        if task == "multilabel":
            _check_multilabel(source, name, labels)
        elif isinstance(source.spec, Table) and source.spec.has_one_label_column:
            raise ValueError(f"data.{name}: 'label' lists one column; write its name without brackets, or list several")
        elif isinstance(source.spec, Table) and "separator" in source.spec.model_fields_set:
            raise ValueError(f"data.{name}: 'separator' is only for task: multilabel; omit it")


def _check_multilabel(source: Source, name: str, labels: Sequence[Name]) -> None:
    table = source.spec
    if source.format not in ("table", "npz", "safetensors"):
        raise ValueError(
            f"data.{name}: a source '{source.format}' has one label per record; task: multilabel needs table, npz or "
            "safetensors"
        )
    if not isinstance(table, Table):
        return
    if table.unlabelled != "refuse":
        raise ValueError(f"data.{name}: an empty cell is a record without labels; omit 'unlabelled'")
    columns = _list_columns_of_labels(source)
    differing = {str(column) for column in columns} ^ {str(label) for label in labels}
    if columns and differing:
        raise ValueError(
            f"data.{name}: 'label' does not list the same labels as 'classes' or data.train: '{min(differing)}' is "
            "only in one of them"
        )


def _list_columns_of_labels(source: Source) -> list[Name]:
    """Return the labels of a table with one column per label; empty for other sources."""
    table = source.spec
    if not (isinstance(table, Table) and table.has_columns_of_labels):
        return []
    return [table.label_names.get(column, column) for column in table.label]


def check_augmentation(augmentations: Sequence[AugmentEntry], shape: list[int]) -> None:
    """Check that samples of this shape can be augmented.

    Raises:
        ValueError: they cannot.
    """
    if len(shape) < 3:
        raise ValueError(f"data.augment is only for images, but input.shape is {shape}; omit it")
    padding = max((item.random_crop for item in augmentations if isinstance(item, RandomCrop)), default=0)
    if padding > min(shape[1:]):
        raise ValueError(f"random_crop pads {padding} pixels, but images have only {min(shape[1:])}; use fewer")
