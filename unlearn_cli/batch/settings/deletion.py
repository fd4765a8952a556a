"""deletion.yaml: the checkpoint, the folder of requests, the methods, and the rules of a deletion batch."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, PositiveInt, PrivateAttr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from unlearn_cli.batch.settings.policy import AttackPolicy, CommonOptions, Deadline, Retention
from unlearn_cli.console import escape_line
from unlearn_cli.errors import UserError, did_you_mean, prefix_field
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.names import parse_gate, read_manifest
from unlearn_cli.plugins.outside import is_outside
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.manifest_errors import read_model
from unlearn_cli.schema.sources import Arrays, FilePath, ImageFolder, Section, Source, Table, Webdataset
from unlearn_cli.storage.path_variables import expand_path

FOLDERS: tuple[Literal["requests", "models", "runs"], ...] = ("requests", "models", "runs")


class DeletionSettings(Section):
    version: Literal[1] = Field(description="of this format")
    manifest: FilePath = Field(description="architecture and data, without 'forget', which the requests provide")
    initial: FilePath = Field(description="the checkpoint that the first run starts from; it is copied, never changed")
    requests: FilePath = Field(default=Path("requests"), description="folder into which requests are put")
    models: FilePath = Field(default=Path("models"), description="folder of the versions and of 'current'")
    runs: FilePath = Field(default=Path("runs"), description="folder of the reports and evidence of runs")
    ledger: FilePath = Field(default=Path("ledger.sqlite"), description="its key and its lock are next to it")
    methods: Annotated[list[str], Field(min_length=1)] = Field(
        description="tried in turn: the next one if gates fail; built in, or file.py:function, or module:function"
    )
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict, description="a method's name: its settings")
    gates: list[str] = Field(default_factory=list, description="in addition to the manifest's")
    attack: AttackPolicy = Field(default_factory=AttackPolicy)
    deadline: Deadline = Field(default_factory=lambda: Deadline(months=1))
    attempts: PositiveInt = Field(default=3, description="failed runs after which a request is set aside")
    unknown_ids: Literal["set_aside", "ignore"] = Field(
        default="set_aside", description="ignore: forget the records of the other ids"
    )
    keep_ids: bool = Field(default=False, description="true: ledger and done requests keep the record ids")
    retention: Retention = Field(default_factory=Retention)
    signing_key: FilePath | None = Field(default=None, description="PEM of an Ed25519 key, for signed evidence")
    publish: str | None = Field(default=None, description="fsspec URL that a promoted version is copied to")
    common: CommonOptions = Field(default_factory=CommonOptions)

    _folder: Path = PrivateAttr(default_factory=Path)

    @model_validator(mode="after")
    def check(self) -> Self:
        for number, name in enumerate(self.methods):
            if not is_outside(name) and name not in discovery.entries("methods"):
                _refuse(f"unknown method; {did_you_mean(name, discovery.entries('methods'))}", ("methods", number))
            if name in self.methods[:number]:
                _refuse("a method is listed twice", ("methods", number))
        for name, values in self.settings.items():
            if name not in self.methods:
                _refuse(f"is not one of 'methods'; {did_you_mean(name, self.methods)}", ("settings", name))
            mistake = None if is_outside(name) else _find_mistake(plugin.load("methods", name), values)
            if mistake:
                _refuse(mistake.reason, ("settings", name, *mistake.location))
        if self.ledger.suffix in (".key", ".lock"):
            _refuse("this suffix is for a file next to the ledger; use another one, such as ledger.sqlite", ("ledger",))
        return self

    @property
    def folder(self) -> Path:
        """The folder of the file, where its relative paths start."""
        return self._folder

    def path(self, name: Literal["manifest", "initial", "requests", "models", "runs", "ledger"]) -> Path:
        """Return the path of one of its files or folders."""
        return self.resolve_path(getattr(self, name))

    def resolve_path(self, path: Path) -> Path:
        """Return one of the settings' paths, below the folder of the file if it is relative."""
        return self._folder / expand_path(path)

    @property
    def key_file(self) -> Path:
        return self.path("ledger").with_suffix(".key")

    @property
    def lock_file(self) -> Path:
        return self.path("ledger").with_suffix(".lock")


def _refuse(reason: str, location: tuple[str | int, ...]) -> None:
    """Raise a validation error at this location of the file."""
    error = PydanticCustomError("deletion", "{reason}", {"reason": escape_line(reason)})
    detail = InitErrorDetails(type=error, loc=location, input=None)
    raise ValidationError.from_exception_data("Deletion", [detail])


class _Mistake(NamedTuple):
    """What is wrong with the settings of a method, and at which of them."""

    reason: str
    location: tuple[str | int, ...]


def _find_mistake(method: Plugin, values: dict[str, Any]) -> _Mistake | None:
    """Return the first setting that the method does not have, or whose value is not valid."""
    try:
        method.settings.model_validate(values)
    except ValidationError as error:
        first, name = error.errors()[0], method.label
        hint = did_you_mean(str(first["loc"][0]), method.settings.model_fields)
        unknown = f"{name} has no such setting; {hint}; 'unlearn-cli show {name}' lists its settings"
        reason = unknown if first["type"] == "extra_forbidden" else first["msg"].replace("Input should be", "expected")
        return _Mistake(reason, first["loc"])
    return None


def read(path: Path) -> DeletionSettings:
    """Read and check deletion.yaml. Relative paths in it start from its folder.

    Raises:
        UserError: it is not valid; the message lists all errors, with file, line, column, field and the nearest key.
    """
    deletion = read_model(path, DeletionSettings)
    deletion._folder = path.parent
    _check_folders(deletion, path)
    return deletion


def _check_folders(deletion: DeletionSettings, path: Path) -> None:
    """Refuse folders inside each other: one part of a run may remove files that another part needs."""
    folders = {name: deletion.path(name).resolve() for name in FOLDERS}
    for name, folder in folders.items():
        for other, inner in folders.items():
            if name != other and inner.is_relative_to(folder):
                raise UserError(f"{path}: '{other}' is inside '{name}'; choose folders next to each other")
        if path.resolve().is_relative_to(folder):
            raise UserError(f"{path}: '{name}' is the folder of this file or above it; choose a folder below it")
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not existing.is_dir():
            raise UserError(f"{path}: '{name}': {existing} is a file; name another folder, or move the file")


def load_methods(deletion: DeletionSettings, path: Path, *, allow_code: bool) -> dict[str, Plugin]:
    """Return the methods by their names in deletion.yaml, where the paths of files start from its folder.

    Raises:
        UserError: a method is outside of the package, and it or its settings have a mistake, or it is not allowed.
    """
    methods = {}
    for name in deletion.methods:
        with prefix_field(f"{path}: methods"):
            methods[name] = plugin.load("methods", name, allow_code=allow_code, folder=deletion.folder)
    for name, values in deletion.settings.items():
        if methods[name].code and (mistake := _find_mistake(methods[name], values)):
            field = ".".join(map(str, ("settings", name, *mistake.location)))
            raise UserError(f"{path}: {field}: {mistake.reason}")
    return methods


def read_batch_manifest(deletion: DeletionSettings) -> Manifest:
    """Read the manifest that deletion.yaml names, and add the gates of deletion.yaml.

    Raises:
        UserError: as `check_batch_manifest`, or a gate is not valid.
    """
    path = deletion.path("manifest")
    manifest = read_manifest(path)
    check_batch_manifest(manifest, path)
    for condition in deletion.gates:
        parse_gate(condition, manifest.task)
    combined = manifest.model_copy(update={"gates": [*manifest.gates, *deletion.gates]})
    combined._folder = manifest.folder
    return combined


def check_batch_manifest(manifest: Manifest, path: Path) -> None:
    """Refuse a manifest that cannot be used in a batch.

    Raises:
        UserError: it has a selection to forget, or no data, or its records have only row numbers as ids.
    """
    if manifest.forget or manifest.forgotten:
        section = "forget" if manifest.forget else "forgotten"
        raise UserError(f"{path}: has a '{section}' section; remove it, requests and ledger provide its content")
    if manifest.data is None:
        raise UserError(f"{path}: has no 'data' section; add it, requests are looked up there")
    if not has_stable_ids(manifest.data.train):
        raise UserError(
            f"{path}: data.train: its records have row numbers as ids, which change when rows are deleted; "
            "use a source with an id column, or with paths or keys"
        )


def has_stable_ids(source: Source) -> bool:
    """Return whether a record keeps its id when other records are removed from the source."""
    match source.spec:
        case ImageFolder() | Webdataset():
            return True
        case Table(id=column):
            return column is not None
        case Arrays(ids=name):
            return name is not None
        case _:
            return False


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of deletion.yaml, for editors."""
    return DeletionSettings.model_json_schema()
