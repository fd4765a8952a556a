"""The manifest: the YAML file that names the architecture, the data, and what to forget."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from unlearn_cli.console import escape_line
from unlearn_cli.errors import UserError
from unlearn_cli.schema import gates
from unlearn_cli.schema.data_sections import (
    Data,
    DataSections,
    Input,
    check_augmentation,
    check_labels,
    check_transforms,
)
from unlearn_cli.schema.forget import Forget, Forgotten
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.manifest_errors import read_model
from unlearn_cli.schema.name_checker import NameChecker
from unlearn_cli.schema.network_sections import Loss, Model, NetworkSections, Target
from unlearn_cli.schema.sources import Section
from unlearn_cli.schema.spelling import Name

NEW_INPUT_KEYS = ("interpolation", "crop", "crop_before", "exif", "mode", "transparency", "own_transform")
NEW_MODEL_KEYS = ("prefix", "rename", "output", "outputs", "frozen")


@dataclass(frozen=True)
class ManifestDigests:
    """What the lineage of a checkpoint records of its manifest: see the properties of `Manifest`."""

    content: str
    with_forget: str


class Manifest(Section):
    version: Literal[1] = Field(description="of this format")
    task: Task = Field(description="what the network predicts: one class, a number, or any number of labels")
    model: Model
    input: Input
    target: Target = Field(default_factory=Target)
    loss: Loss = Field(default="mse", description="regression: what training minimises")
    classes: Annotated[list[Name], Field(min_length=1)] | None = Field(
        None, description="the order of the network's outputs; default: the sorted names of train"
    )
    data: Data | None = None
    forget: Forget | None = None
    forgotten: Forgotten | None = None
    gates: list[str] = Field(
        default_factory=list,
        description="conditions, such as 'test_forget.accuracy <= 0.02'; exit code 3 if one does not hold",
    )

    @model_validator(mode="after")
    def check(self, info: ValidationInfo) -> Self:
        if self.classes is not None and len({str(name) for name in self.classes}) < len(self.classes):
            raise ValueError("'classes' lists a name twice")
        if self.task == "regression" and (self.classes or (self.forget and self.forget.classes)):
            raise ValueError("a regression has no classes; omit 'classes', and select records to forget with 'where'")
        if self.task == "regression" and self.model.outputs == "probabilities":
            raise ValueError("'outputs: probabilities' is only for classification; omit it")
        if self.forgotten and not self.data:
            raise ValueError(
                "'forgotten' names records of data.train, but 'data' is missing; add it or omit 'forgotten'"
            )
        if self.data:
            check_labels(self.data, self.task, self.classes)
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
        """The folder to which paths in the manifest are relative: its own."""
        return self._folder

    @property
    def sections(self) -> set[str]:
        """The names of the sections that the manifest has, of those that plug-ins may need."""
        sections = {
            "data": self.data,
            "forget": self.forget,
            "test": self.data and self.data.test,
            "validation": self.data and self.data.validation,
        }
        return {name for name, section in sections.items() if section is not None}

    @property
    def data_sections(self) -> DataSections:
        """The sections that are needed to open the data."""
        return DataSections(
            folder=self.folder,
            task=self.task,
            input=self.input,
            data=self.data,
            forget=self.forget,
            forgotten=self.forgotten,
            classes=self.classes,
            num_classes=self._num_classes,
        )

    @property
    def network_sections(self) -> NetworkSections:
        """The sections that building, feeding and training the network needs."""
        return NetworkSections(
            model=self.model,
            input=self.input,
            target=self.target if "target" in self.model_fields_set else None,
            loss=self.loss,
            augment=self.data.augment if self.data else [],
            folder=self.folder,
        )

    @property
    def _num_classes(self) -> int | None:
        """The number of classes by `model.arguments`; None where it says nothing, as for a network with one logit."""
        count = self.model.arguments.get("num_classes")
        one_logit = count == 1 and self.task == "classification" and len(self.classes or [0, 1]) == 2
        return None if one_logit else count

    @property
    def digests(self) -> ManifestDigests:
        """The digests by which runs and checkpoints of the manifest are recognised."""
        return ManifestDigests(self.digest, self.digest_with_forget)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest's content without `forget`, whose names could be guessed and verified with it."""
        return _digest({**self._dump(), "forget": None})

    @cached_property
    def digest_with_forget(self) -> str:
        """The digest in the metadata of old checkpoints; it is only compared, never written."""
        return _digest(self._dump())

    def _dump(self) -> dict[str, Any]:
        """Return the content; without new keys that are not used, so that older digests stay valid."""
        content = self.model_dump(mode="json")
        if content["data"]:
            _drop_unused(content["data"], Data, ["validation"])
        _drop_unused(content["input"], Input, NEW_INPUT_KEYS)
        _drop_unused(content["model"], Model, NEW_MODEL_KEYS)
        return content


def _drop_unused(content: dict[str, Any], section: type[Section], keys: Iterable[str]) -> None:
    """Remove keys from a section's content where they have their default."""
    for key in keys:
        if content[key] == section.model_fields[key].get_default(call_default_factory=True):
            del content[key]


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _check_gate(text: str, task: Task, number: int, names: NameChecker | None) -> None:
    """Check a condition; an error has its position in the list of gates."""
    try:
        condition = gates.parse_condition(text)
        if names is not None:
            names.check_gate(condition, task)
    except UserError as error:
        mistake = PydanticCustomError("gate", "{reason}", {"reason": escape_line(str(error))})
        details = InitErrorDetails(type=mistake, loc=("gates", number), input=text)
        raise ValidationError.from_exception_data("Manifest", [details]) from None


def read(path: Path, names: NameChecker | None = None, folder: Path | None = None) -> Manifest:
    """Read and check a manifest. `names` checks that its metrics and architectures exist.

    Its paths are relative to `folder`; default: the manifest's folder, or for a pipe the working directory.

    Raises:
        UserError: with all mistakes, each with file, line, column, field and the nearest known key.
    """
    manifest = read_model(path, Manifest, names)
    manifest._folder = folder or (path.parent if path.is_file() else Path())
    return manifest


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the manifest, for editors."""
    return Manifest.model_json_schema()
