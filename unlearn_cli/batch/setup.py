"""The setup of a batch: deletion.yaml, the manifest that it names, and the paths and options that follow from them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from unlearn_cli.batch.ledger import keyed
from unlearn_cli.batch.requests.reasons import format_reason
from unlearn_cli.batch.settings import deletion
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.commands.manifest_inputs import check_device_and_code
from unlearn_cli.errors import UserError
from unlearn_cli.plugins import suitability
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.schema.literals import Half
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.storage.remote import locate
from unlearn_cli.storage.version import VERSION


@dataclass(frozen=True)
class Setup:
    """A deletion.yaml, and the manifest that it names, with the gates of both."""

    path: Path
    deletion: DeletionSettings
    manifest: Manifest
    methods: Mapping[str, Plugin]  # by their names in deletion.yaml
    allow_code: bool = False

    @property
    def models(self) -> Path:
        return self.deletion.path("models")

    @property
    def initial(self) -> Path:
        """The path of the initial checkpoint, or of its local copy if it has a URL."""
        return locate(self.deletion.initial, self.deletion.folder)

    @property
    def inbox(self) -> Path:
        return self.deletion.path("requests")

    def run_options(self, half: Half | None = None) -> RunOptions:
        """Return the options of the commands that a run calls."""
        common = self.deletion.common.model_dump(exclude_unset=True)  # methods may choose what is not stated
        return RunOptions(**common, allow_code=self.allow_code, half=half, cache=False)

    def complete_settings(self, name: str) -> BaseModel:
        """Return the settings of a method of deletion.yaml."""
        return self.methods[name].settings.model_validate(self.deletion.settings.get(name, {}))

    @property
    def digest(self) -> str:
        """SHA-256 of everything that determines the result of a selection; a run continues only with the same one."""
        included = {"methods", "settings", "attack", "common"}
        settings = self.deletion.model_dump(mode="json", include=included)
        code = {name: method.code.sha256 for name, method in self.methods.items() if method.code}
        facts = {**settings, "manifest": self.manifest.digest, "version": VERSION, **({"code": code} if code else {})}
        text = keyed.to_canonical_json(facts)
        return hashlib.sha256(text.encode()).hexdigest()

    def format_reason(self, text: str) -> str:
        """Return an error's text in the form of the ledger: printable, with relative paths."""
        return format_reason(text, self.deletion.folder, self.manifest.folder)

    def relative_name(self, path: Path) -> str:
        """Return a file's name relative to the folder of deletion.yaml; for a file outside of it, only the last part.

        Evidence has no absolute path.
        """
        folder = self.deletion.folder
        return (path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)).as_posix()


def read_setup(path: Path, *, allow_code: bool = False) -> Setup:
    """Read deletion.yaml and its manifest, and check everything that can be checked without the data.

    Raises:
        UserError: one of the two is not valid, or they do not fit together.
    """
    settings = deletion.read(path)
    manifest, manifest_path = deletion.read_batch_manifest(settings), settings.path("manifest")
    methods = deletion.load_methods(settings, path, allow_code=allow_code)
    setup = Setup(path, settings, manifest, methods, allow_code)
    check_device_and_code(manifest_path, manifest.network_sections, setup.run_options())
    for name, method in methods.items():
        completed = setup.complete_settings(name)
        suitability.check(method, manifest.sections | {"forget"}, manifest.task, manifest_path, completed)
    if settings.attack.tier and "test" not in manifest.sections:
        raise UserError(
            f"{manifest_path}: has no data.test, whose records an attack compares with; add it, or set "
            f"attack.tier: null in {path}"
        )
    if settings.signing_key:
        from unlearn_cli.batch.evidence.signing import check_key  # its library is an extra

        check_key(settings.resolve_path(settings.signing_key))
    return setup
