"""The manifest: the YAML file that says which architecture, which data, and what to forget. The only reader of YAML."""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from unlearn_cli.console import in_one_line
from unlearn_cli.errors import UserError
from unlearn_cli.schema import gates, strict_yaml, transforms
from unlearn_cli.schema.forget import Forget, Forgotten
from unlearn_cli.schema.gates import Condition
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.manifest_errors import validated
from unlearn_cli.schema.sources import Section, Source, Table
from unlearn_cli.schema.spelling import Name
from unlearn_cli.schema.transforms import Step

Spread = Annotated[float, Field(gt=0)]


class Names(Protocol):
    """Checks whether what a manifest names exists; each check raises `UserError` if not."""

    def check_architecture(self, name: str) -> None: ...

    def check_gate(self, condition: Condition, task: str) -> None: ...


class Model(Section):
    """Which network the checkpoint's weights belong to."""

    architecture: str = Field(description="torchvision/<name>, a bundled name, or package.module:function")
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="what the architecture's function is called with"
    )
    stem: Literal["cifar"] | None = Field(
        default=None, description="torchvision ResNets: 3x3 first convolution and no pooling"
    )

    @model_validator(mode="after")
    def check(self, info: ValidationInfo) -> Self:
        library, slash, name = self.architecture.partition("/")
        if slash and (library != "torchvision" or not name.isidentifier()):
            raise ValueError(f"'{self.architecture}' is no torchvision/<name>; 'torchvision/resnet18' is one")
        code = ":" in self.architecture
        if code and not all(part.isidentifier() for part in self.architecture.replace(":", ".", 1).split(".")):
            raise ValueError(f"'{self.architecture}' is no package.module:function")
        if not slash and not code:
            _check_architecture(self.architecture, info.context)
        downloads = {"weights", "weights_backbone", "pretrained"} & set(self.arguments)
        if downloads:
            raise ValueError(f"the argument '{min(downloads)}' would download weights; the checkpoint brings its own")
        count = self.arguments.get("num_classes", 1)
        if type(count) is not int or count < 1:
            raise ValueError(f"the argument 'num_classes' is {count}; expected a number of classes, 1 or more")
        if self.stem and not (library == "torchvision" and "res" in name):
            raise ValueError("a stem is for torchvision's ResNets alone; leave 'stem' out")
        return self


class Input(Section):
    """How a stored sample becomes a tensor; it must be what the model was trained with."""

    shape: Annotated[list[Annotated[int, Field(ge=1, lt=2**31)]], Field(min_length=1, max_length=3)] = Field(
        description="[channels, height, width] of images, [features] of tables, after all of data.transform"
    )
    scale: PositiveFloat | None = Field(
        default=None, description="stored values are divided by it first; 255 for uint8, else 1"
    )
    mean: float | list[float] = Field(default=0.0, description="subtracted after scaling: one number, or one a channel")
    std: Spread | list[Spread] = Field(default=1.0, description="divided by after that")
    resize: PositiveInt | None = Field(
        default=None, description="image files: shorter side to this, then the centre crop"
    )

    @field_validator("resize", mode="before")
    @classmethod
    def check_resize(cls, value: Any) -> Any:
        if isinstance(value, list):
            raise ValueError(
                f"{value} gives both sides; only the shorter side can be given, as one number, and the centre crop to "
                "shape follows; for other ways resize the files themselves"
            )
        return value

    @model_validator(mode="after")
    def check(self) -> Self:
        for name, value in (("mean", self.mean), ("std", self.std)):
            if isinstance(value, list) and len(value) != self.shape[0]:
                raise ValueError(f"{name} has {len(value)} numbers; expected one, or {self.shape[0]} as in shape")
        if self.resize and self.resize < min(self.shape[1:], default=1):
            raise ValueError(f"resize to {self.resize} makes images smaller than shape; resize to more")
        return self


class Target(Section):
    """Regression: the model's output times std plus mean is the prediction in the label's unit.

    Left out, `train` takes mean and standard deviation of the labels of retain (of train, if nothing is forgotten) and
    records them in the checkpoint; every command reads them from there.
    """

    mean: float = 0.0
    std: PositiveFloat = 1.0


class RandomCrop(Section):
    random_crop: PositiveInt = Field(description="pixels of zero padding on each side before the crop")


class Data(Section):
    """Where the records lie."""

    train: Source
    test: Source | None = None
    group: str | None = Field(
        default=None,
        min_length=1,
        description="column (of arrays: key) of train and test that says which person or recording a record belongs "
        "to; intervals, tests and halves go by it. Default: forget.groups.column, or the series of windows",
    )
    transform: list[Step] = Field(
        default_factory=list, description="what becomes of stored samples; input.shape is the shape after it"
    )
    augment: list[Literal["horizontal_flip"] | RandomCrop] = Field(default_factory=list)


class Manifest(Section):
    version: Literal[1]
    task: Task
    model: Model
    input: Input
    target: Target = Field(default_factory=Target)
    loss: Literal["mse", "l1"] = Field(default="mse", description="regression: what training minimises")
    classes: Annotated[list[Name], Field(min_length=1)] | None = Field(
        None, description="the order of the head's outputs; default: the sorted names of train"
    )
    data: Data | None = None
    forget: Forget | None = None
    forgotten: Forgotten | None = None
    gates: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def check(self, info: ValidationInfo) -> Self:
        if self.classes is not None and len({str(name) for name in self.classes}) < len(self.classes):
            raise ValueError("'classes' lists a name twice")
        if self.task == "regression" and (self.classes or (self.forget and self.forget.classes)):
            raise ValueError("a regression has no classes; leave 'classes' out, and choose what to forget with 'where'")
        if self.forgotten and not self.data:
            raise ValueError("'forgotten' names records of data.train, but there is no 'data'; leave it out")
        for number, condition in enumerate(self.gates):
            _check_gate(condition, self.task, number, info.context)
        if self.data:
            _check_transforms(self.data, self.input)
        if self.data and self.data.augment:
            _check_augmentation(self.data.augment, self.input.shape)
        return self

    _folder: Path = PrivateAttr(default_factory=Path)

    @property
    def folder(self) -> Path:
        """Where relative paths in the manifest start: its own folder."""
        return self._folder

    @property
    def sections(self) -> set[str]:
        """Which of the sections that plug-ins may need are there."""
        there = {"data": self.data, "forget": self.forget, "test": self.data and self.data.test}
        return {name for name, section in there.items() if section is not None}

    @property
    def group_column(self) -> tuple[str | None, str]:
        """Which column says what records belong together, and the field that names it."""
        if self.data and self.data.group:
            return self.data.group, "data.group"
        if self.forget and self.forget.groups:
            return self.forget.groups.column, "forget.groups.column"
        steps = self.data.transform if self.data else []
        series = next((step.window.series for step in steps if step.window and step.window.series), None)
        return series, "data.transform.window.series" if series else "data.group"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest's content without `forget`: who is named there could be found by trying names."""
        return _digest({**self.model_dump(mode="json"), "forget": None})

    @cached_property
    def digest_with_forget(self) -> str:
        """The digest that old checkpoints carry, to recognise them by; never written any more."""
        return _digest(self.model_dump(mode="json"))


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _check_architecture(name: str, names: Names | None) -> None:
    if names is None:
        return
    try:
        names.check_architecture(name)
    except UserError as error:
        raise ValueError(str(error)) from None


def _check_gate(text: str, task: Task, number: int, names: Names | None) -> None:
    """Refuse a condition that can never be judged, with its place in the list as the place of the mistake."""
    try:
        condition = gates.parse(text)
        if names is not None:
            names.check_gate(condition, task)
    except UserError as error:
        told = PydanticCustomError("gate", "{reason}", {"reason": in_one_line(str(error))})
        place = InitErrorDetails(type=told, loc=("gates", number), input=text)
        raise ValidationError.from_exception_data("Manifest", [place]) from None


def _check_transforms(data: Data, input: Input) -> None:
    tokens = any(step.tokens for step in data.transform)
    transforms.stored_shape(data.transform, input.shape)
    for name, source in (("train", data.train), ("test", data.test)):
        has_text = source is not None and isinstance(source.spec, Table) and source.spec.text is not None
        if source and has_text != tokens:
            advice = "add tokens to data.transform" if has_text else "name its columns of text, or take tokens out"
            raise ValueError(f"data.{name} has {'' if has_text else 'no '}columns of text; {advice}")
        if source and isinstance(source.spec, Table):
            _check_label(source.spec, name, data.transform)
    if tokens and {"scale", "mean", "std"} & input.model_fields_set:
        raise ValueError("numbers of words are no quantities; leave input.scale, input.mean and input.std out")


def _check_label(table: Table, name: str, steps: list[Step]) -> None:
    past = any(step.window and step.window.ahead for step in steps)
    if table.label in (table.features or []) and not past:
        raise ValueError(
            f"data.{name} lists its label '{table.label}' as a feature, too; that is for windows that end before "
            "the record's own row (ahead: 1 or more)"
        )


def _check_augmentation(listed: list[Literal["horizontal_flip"] | RandomCrop], shape: list[int]) -> None:
    if len(shape) < 3:
        raise ValueError(f"data.augment is for images, but input.shape is {shape}; leave it out")
    padding = max((item.random_crop for item in listed if isinstance(item, RandomCrop)), default=0)
    if padding > min(shape[1:]):
        raise ValueError(f"random_crop pads {padding} pixels, but images have only {min(shape[1:])}; take fewer")


def read(path: Path, names: Names | None = None) -> Manifest:
    """Read and check a manifest. `names` checks whether the metrics and architectures in it exist.

    Relative paths in it start from its own folder, those of a pipe from the working folder.

    Raises:
        UserError: all that is wrong with it, each with file, line, column, field and the nearest known key.
    """
    manifest = validated(path, Manifest, names)
    manifest._folder = path.parent if path.is_file() else Path()
    return manifest


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the manifest, for editors."""
    return Manifest.model_json_schema()


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a flat YAML mapping, such as a file of settings."""
    return strict_yaml.plain(read_written(path))


def read_written(path: Path) -> dict[str, Any]:
    """Read a flat YAML mapping with unquoted numbers and booleans as `strict_yaml.Written`."""
    value = strict_yaml.read(path).written
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a mapping 'name: value', one setting a line")
    return value
