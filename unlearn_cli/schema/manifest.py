"""The manifest: the YAML file that says which architecture, which data, and what to forget."""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import (
    Field,
    PositiveFloat,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from unlearn_cli.console import in_one_line
from unlearn_cli.errors import UserError
from unlearn_cli.schema import gates
from unlearn_cli.schema.data_sections import Data, DataSections, Input, check_augmentation, check_transforms
from unlearn_cli.schema.forget import Forget, Forgotten
from unlearn_cli.schema.gates import GateCondition
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.manifest_errors import read_model
from unlearn_cli.schema.sources import Section
from unlearn_cli.schema.spelling import Name


class NameChecker(Protocol):
    """Checks whether what a manifest names exists; each check raises `UserError` if not."""

    def check_architecture(self, name: str) -> None: ...

    def check_gate(self, condition: GateCondition, task: str) -> None: ...


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


class Target(Section):
    """Regression: the model's output times std plus mean is the prediction in the label's unit.

    Left out, `train` takes mean and standard deviation of the labels of retain (of train, if nothing is forgotten) and
    records them in the checkpoint; every command reads them from there.
    """

    mean: float = 0.0
    std: PositiveFloat = 1.0


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
            check_transforms(self.data, self.input)
        if self.data and self.data.augment:
            check_augmentation(self.data.augment, self.input.shape)
        return self

    _folder: Path = PrivateAttr(default_factory=Path)

    @property
    def folder(self) -> Path:
        """Where relative paths in the manifest start: its own folder."""
        return self._folder

    @property
    def sections(self) -> set[str]:
        """Which of the sections that plug-ins may need are there."""
        sections = {"data": self.data, "forget": self.forget, "test": self.data and self.data.test}
        return {name for name, section in sections.items() if section is not None}

    @property
    def data_sections(self) -> DataSections:
        """The sections that opening the data needs."""
        return DataSections(
            folder=self.folder,
            task=self.task,
            input=self.input,
            data=self.data,
            forget=self.forget,
            forgotten=self.forgotten,
            classes=self.classes,
            num_classes=self.model.arguments.get("num_classes"),
        )

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


def _check_architecture(name: str, names: NameChecker | None) -> None:
    if names is None:
        return
    try:
        names.check_architecture(name)
    except UserError as error:
        raise ValueError(str(error)) from None


def _check_gate(text: str, task: Task, number: int, names: NameChecker | None) -> None:
    """Refuse a condition that can never be judged, with its place in the list as the place of the mistake."""
    try:
        condition = gates.parse_condition(text)
        if names is not None:
            names.check_gate(condition, task)
    except UserError as error:
        mistake = PydanticCustomError("gate", "{reason}", {"reason": in_one_line(str(error))})
        details = InitErrorDetails(type=mistake, loc=("gates", number), input=text)
        raise ValidationError.from_exception_data("Manifest", [details]) from None


def read(path: Path, names: NameChecker | None = None, folder: Path | None = None) -> Manifest:
    """Read and check a manifest. `names` checks whether the metrics and architectures in it exist.

    Relative paths in it start from `folder`, by default its own folder, or for a pipe the working folder.

    Raises:
        UserError: all that is wrong with it, each with file, line, column, field and the nearest known key.
    """
    manifest = read_model(path, Manifest, names)
    manifest._folder = folder or (path.parent if path.is_file() else Path())
    return manifest


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the manifest, for editors."""
    return Manifest.model_json_schema()
