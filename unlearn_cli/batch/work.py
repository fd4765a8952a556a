"""What the stages of a batch share: what deletion.yaml says, the ledger, and where things lie."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unlearn_cli.batch import lock
from unlearn_cli.batch.ledger import clock, keyed
from unlearn_cli.batch.ledger.ledger_state import LedgerState, fold
from unlearn_cli.batch.ledger.store import Clock, Ledger, open_ledger
from unlearn_cli.batch.ledger_check import check_ledger, migrate_ledger
from unlearn_cli.batch.requests.reasons import format_reason
from unlearn_cli.batch.settings import deletion
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.commands.manifest_inputs import check_device_and_code
from unlearn_cli.errors import UserError
from unlearn_cli.plugins import plugin, suitability
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.schema.literals import Half
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.storage.atomic_files import tidy_up
from unlearn_cli.storage.remote import locate
from unlearn_cli.storage.version import VERSION

# In a run's folder. The lists of records are removed when the run ends; the control is of a run that is refused.
MANIFEST, SELECTION, FORGET, EVIDENCE = "manifest.yaml", "selection", "selection/forget.csv", "evidence"
CONTROL = "control.yaml"


@dataclass(frozen=True)
class Setup:
    """A deletion.yaml, and the manifest that it names with the gates of both."""

    path: Path
    deletion: DeletionSettings
    manifest: Manifest
    allow_code: bool = False

    @property
    def models(self) -> Path:
        return self.deletion.path("models")

    @property
    def initial(self) -> Path:
        """Where the first checkpoint lies, or the copy of it if it is behind a URL."""
        return locate(self.deletion.initial, self.deletion.folder)

    @property
    def inbox(self) -> Path:
        return self.deletion.path("requests")

    def common(self, half: Half = "all") -> RunOptions:
        """Return the options of the commands that a run is made of."""
        return RunOptions(**self.deletion.common.model_dump(), allow_code=self.allow_code, half=half)

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides what becomes of a selection: a run that began with another cannot go on."""
        kept = {"methods", "settings", "attack", "common"}
        said = {**self.deletion.model_dump(mode="json", include=kept), "manifest": self.manifest.digest}
        return hashlib.sha256(keyed.to_canonical_json({**said, "version": VERSION}).encode()).hexdigest()

    def reason(self, text: str) -> str:
        """Return an error's text as the ledger may have it: relative paths, printable."""
        return format_reason(text, self.deletion.folder, self.manifest.folder)

    def told(self, path: Path) -> str:
        """Name a file for evidence: below the folder of deletion.yaml, never by an absolute path."""
        folder = self.deletion.folder
        return (path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)).as_posix()


@dataclass(frozen=True)
class Batch:
    """A batch at work: this process holds the lock of its ledger."""

    setup: Setup
    ledger: Ledger
    key: bytes

    def state(self) -> LedgerState:
        return fold(self.ledger.events())

    def common(self, half: Half = "all") -> RunOptions:
        """Return the options of the commands that a run is made of, with the key of digests of what to forget."""
        return self.setup.common(half).model_copy(update={"selection_key": self.key})

    def folder(self, run: str) -> Path:
        """Return the folder of a run: its work while it goes on, its reports and evidence afterwards."""
        return self.setup.deletion.path("runs") / run

    def version(self, name: str | None) -> Path:
        """Return the folder of a version of the checkpoint."""
        assert name is not None
        return self.setup.models / name


def read_setup(path: Path, *, allow_code: bool = False) -> Setup:
    """Read deletion.yaml and its manifest, and check all that can be checked without the data.

    Raises:
        UserError: what is wrong with one of them.
    """
    said = deletion.read(path)
    setup = Setup(path, said, deletion.read_batch_manifest(said), allow_code)
    manifest, place = setup.manifest, said.path("manifest")
    check_device_and_code(place, manifest.model.architecture, setup.common())
    for name in said.methods:
        suitability.check(plugin.load("methods", name), manifest.sections | {"forget"}, manifest.task, place)
    if said.attack.tier and "test" not in manifest.sections:
        what = "has no data.test, whose records an attack compares with"
        raise UserError(f"{place}: {what}; add it, or set attack.tier: null in {path}")
    if said.signing_key:
        from unlearn_cli.batch.evidence.signing import check_key  # its library is an extra

        check_key(said.folder / said.signing_key)
    return setup


@contextmanager
def open_batch(setup: Setup, now: Clock = clock.now) -> Iterator[Batch]:
    """Hold the lock while something is done, with the ledger and its key open.

    Raises:
        UserError: there is no ledger yet, and no checkpoint to begin with.
        Busy: another process is at this batch.
        IntegrityError: the key or the ledger is damaged, or the key is gone.
    """
    said = setup.deletion
    if not said.path("ledger").exists():
        read_header(setup.initial)  # what it all begins with
    with lock.held(said.lock_file):
        tidy_up(said.key_file)
        with open_ledger(said.path("ledger"), now=now, key_file=said.key_file) as ledger:
            migrate_ledger(ledger, said.path("requests"))
            if not keyed.has_chain_mark(said.key_file):
                keyed.write_chain_mark(said.key_file)
            check_ledger(ledger)
            yield Batch(setup, ledger, ledger.key)


@contextmanager
def read_ledger(said: DeletionSettings) -> Iterator[Ledger]:
    """Open the ledger for reading, without the lock.

    Raises:
        UserError: there is none yet.
    """
    with open_ledger(said.path("ledger"), create_missing=False, key_file=said.key_file) as ledger:
        yield ledger


def read_state(setup: Setup) -> LedgerState:
    """Return where everything stands, without the lock.

    Raises:
        UserError: there is no ledger yet.
    """
    with read_ledger(setup.deletion) as ledger:
        return check_ledger(ledger)
