"""deletion.yaml: which checkpoint forgets nightly what its requests name, how, and by which rules."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, PrivateAttr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from unlearn_cli.batch.settings.policy import AttackPolicy, CommonOptions, Deadline, Retention
from unlearn_cli.console import in_one_line
from unlearn_cli.errors import UserError, did_you_mean, translate_resource_errors
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.names import parse_gate, read_manifest
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.manifest_errors import read_model
from unlearn_cli.schema.sources import Arrays, FilePath, ImageFolder, Section, Source, Table, Webdataset

FOLDERS: tuple[Literal["requests", "models", "runs"], ...] = ("requests", "models", "runs")


class DeletionSettings(Section):
    version: Literal[1]
    manifest: FilePath = Field(description="architecture and data, without 'forget': the requests say that")
    initial: FilePath = Field(description="the checkpoint that the first run starts from; it is copied, never changed")
    requests: FilePath = Field(default=Path("requests"), description="folder that requests are dropped into")
    models: FilePath = Field(default=Path("models"), description="folder of the versions and of 'current'")
    runs: FilePath = Field(default=Path("runs"), description="folder of what runs leave: reports and evidence")
    ledger: FilePath = Field(default=Path("ledger.sqlite"), description="its key and its lock lie beside it")
    methods: Annotated[list[str], Field(min_length=1)] = Field(description="tried in turn: the next when gates fail")
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict, description="a method's name: its settings")
    gates: list[str] = Field(default_factory=list, description="beside the manifest's")
    attack: AttackPolicy = Field(default_factory=AttackPolicy)
    deadline: Deadline = Field(default_factory=lambda: Deadline(months=1))
    attempts: PositiveInt = Field(default=3, description="failed runs after which a request is set aside")
    unknown_ids: Literal["set_aside", "ignore"] = Field(
        default="set_aside", description="ignore: forget those that are known"
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
            if name not in discovery.entries("methods"):
                _refuse(f"unknown method; {did_you_mean(name, discovery.entries('methods'))}", ("methods", number))
            if name in self.methods[:number]:
                _refuse("a method is listed twice", ("methods", number))
        for name, values in self.settings.items():
            if name not in self.methods:
                _refuse(f"is none of 'methods'; {did_you_mean(name, self.methods)}", ("settings", name))
            _check_settings(name, values)
        if self.ledger.suffix in (".key", ".lock"):
            _refuse("this ending is for the file beside the ledger; 'ledger.sqlite' is a name", ("ledger",))
        return self

    @property
    def folder(self) -> Path:
        """Where relative paths in the file start: its own folder."""
        return self._folder

    def path(self, name: Literal["manifest", "initial", "requests", "models", "runs", "ledger"]) -> Path:
        """Return where one of its files or folders lies."""
        return self._folder / getattr(self, name)

    @property
    def key_file(self) -> Path:
        return self.path("ledger").with_suffix(".key")

    @property
    def lock_file(self) -> Path:
        return self.path("ledger").with_suffix(".lock")


def _refuse(reason: str, place: tuple[str | int, ...]) -> None:
    """Refuse a value, with its place in the file as the place of the mistake."""
    told = PydanticCustomError("deletion", "{reason}", {"reason": in_one_line(reason)})
    detail = InitErrorDetails(type=told, loc=place, input=None)
    raise ValidationError.from_exception_data("Deletion", [detail])


def _check_settings(name: str, values: dict[str, Any]) -> None:
    """Refuse settings that the method does not have, or of a kind that it does not take."""
    found = plugin.load("methods", name).settings
    try:
        found.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        hint = did_you_mean(str(first["loc"][0]), found.model_fields)
        unknown = f"{name} has no such setting; {hint}; 'unlearn-cli show {name}' lists its settings"
        reason = unknown if first["type"] == "extra_forbidden" else first["msg"].replace("Input should be", "expected")
        _refuse(reason, ("settings", name, *first["loc"]))


def read(path: Path) -> DeletionSettings:
    """Read and check deletion.yaml; relative paths in it start from its own folder.

    Raises:
        UserError: all that is wrong with it, each with file, line, column, field and the nearest known key.
    """
    deletion = read_model(path, DeletionSettings)
    deletion._folder = path.parent
    _check_folders(deletion, path)
    return deletion


def _check_folders(deletion: DeletionSettings, path: Path) -> None:
    """Refuse folders that lie in each other: what one part of a run removes, another must not need."""
    places = {name: deletion.path(name).resolve() for name in FOLDERS}
    for name, place in places.items():
        for other, inner in places.items():
            if name != other and inner.is_relative_to(place):
                raise UserError(f"{path}: '{other}' lies in '{name}'; choose folders beside each other")
        if path.resolve().is_relative_to(place):
            raise UserError(f"{path}: '{name}' is the folder of this file or above it; choose one below it")


def make_folders(deletion: DeletionSettings) -> None:
    """Make the folders that a run writes in, where they are missing.

    Raises:
        UserError: a file has the name of one, or the place is not writable.
    """
    for folder in (*(deletion.path(name) for name in FOLDERS), deletion.path("ledger").parent):
        with translate_resource_errors(folder):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise UserError(f"{folder}: a file is in the way; name a folder, or move the file") from None


def read_batch_manifest(deletion: DeletionSettings) -> Manifest:
    """Read the manifest that the file names, with the gates of both.

    Raises:
        UserError: as `check_source`, or a gate is none.
    """
    path = deletion.path("manifest")
    found = read_manifest(path)
    check_batch_manifest(found, path)
    for condition in deletion.gates:
        parse_gate(condition, found.task)
    both = found.model_copy(update={"gates": [*found.gates, *deletion.gates]})
    both._folder = found.folder
    return both


def check_batch_manifest(described: Manifest, path: Path) -> None:
    """Refuse what is no manifest for a batch.

    Raises:
        UserError: it says itself what to forget, has no data, or its records are known by row numbers alone.
    """
    if described.forget or described.forgotten:
        section = "forget" if described.forget else "forgotten"
        raise UserError(f"{path}: has a '{section}' section; leave it out, requests and ledger say what it would")
    if described.data is None:
        raise UserError(f"{path}: has no 'data' section; requests are looked up there")
    if not has_stable_ids(described.data.train):
        raise UserError(
            f"{path}: data.train: its records have row numbers for ids, which move when rows are deleted; "
            "take a source with an id column, or with paths or keys"
        )


def has_stable_ids(source: Source) -> bool:
    """Say whether a record keeps its id when others are taken out of the source."""
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
