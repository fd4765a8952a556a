"""The beginning of every run: the first checkpoint has its place, and the current one is what the ledger says."""

import re
from pathlib import Path

from unlearn_cli.batch import run_files
from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.promote import FIRST, POINTER, copy_first, point, pointed
from unlearn_cli.batch.work import Batch
from unlearn_cli.checkpoints.checkpoint_header import files_digest, read_header
from unlearn_cli.checkpoints.file_digests import tensor_digest
from unlearn_cli.errors import IntegrityError, UserError


def digests(folder: Path) -> dict[str, str]:
    """Return the two digests of the checkpoint in a folder: of its files, and of its tensors.

    Raises:
        UserError: there is no intact checkpoint.
    """
    header = read_header(folder)
    return {"file_sha256": files_digest(header), "tensor_digest": tensor_digest(header)}


def begin(batch: Batch) -> None:
    """Copy the first checkpoint, let the pointer name it, and tell the ledger, which then knows of it for ever.

    Raises:
        UserError: the first checkpoint is not intact.
        IntegrityError: the ledger is empty, but there are versions.
    """
    if batch.ledger.events():
        return
    models, initial = batch.setup.models, batch.setup.initial
    _refuse_others(models, initial, batch.ledger.path)
    models.mkdir(parents=True, exist_ok=True)
    batch.setup.inbox.mkdir(parents=True, exist_ok=True)
    if not (models / FIRST).exists():
        copy_first(initial, models)
    fault.step("copied")
    point(models, FIRST)
    batch.ledger.append("opened", version=FIRST, checkpoint=digests(models / FIRST))
    fault.step("opened")


def _refuse_others(models: Path, initial: Path, ledger: Path) -> None:
    """Refuse to begin anew where another ledger has been at work; a copy that a killed run made is none of its work."""
    there = sorted(path.name for path in models.iterdir()) if models.is_dir() else []
    versions = [name for name in there if re.fullmatch(r"v\d{4,}", name)]
    if versions and (versions != [FIRST] or digests(models / FIRST) != digests(initial)):
        what = f"is empty, but {models} holds {', '.join(versions[:3])} of earlier runs"
        raise IntegrityError(f"{ledger}: {what}; bring the ledger back from a backup")


def refuse_unknown(models: Path, state: LedgerState) -> None:
    """Refuse to go on beside versions that the ledger does not know: it may be an old one that was put back.

    Raises:
        IntegrityError: names one of them.
    """
    for name in unknown_versions(models, state):
        what = "the ledger does not know this version"
        raise IntegrityError(f"{models / name}: {what}; bring the ledger back from a backup, or move the folder away")


def unknown_versions(models: Path, state: LedgerState) -> list[str]:
    """Return the versions that the ledger does not know; while it knows of none, those of a run are another matter."""
    names = sorted(path.name for path in models.iterdir()) if models.is_dir() and state.versions else []
    return [name for name in names if re.fullmatch(r"v\d{4,}", name) and name not in state.versions]


def check_current(batch: Batch, state: LedgerState) -> None:
    """Check that the pointer names the version that the ledger says, and that its bytes are those that it knows.

    A killed run may have left the pointer at the version before or after: at none but these two.

    Raises:
        IntegrityError: something else than a run has changed one of them.
    """
    models, found, last = batch.setup.models, pointed(batch.setup.models), state.last
    assert last is not None and state.current is not None
    run = state.runs.get(state.unfinished or "")
    if last.kind == "rolled_back" and found == last.body["from"]:
        point(models, state.current)
    elif found != state.current and not (run and run.state == "promoting" and found == run.version):
        said = f"'{found}'" if found else "no version"
        what = f"names {said}, but the ledger says that '{state.current}' is current"
        raise IntegrityError(f"{models / POINTER}: {what}; find out who changed it, and let it name that version again")
    check_version(batch, state, state.current)


def check_version(batch: Batch, state: LedgerState, name: str) -> None:
    """Check that a version's bytes are those that the ledger knows.

    Raises:
        IntegrityError: they are not, or it is gone.
    """
    folder = batch.version(name)
    try:
        found = files_digest(read_header(folder))
    except UserError as error:
        raise IntegrityError(f"{error}; the ledger knows a checkpoint there: bring it back from a backup") from None
    if found != state.versions[name]["file_sha256"]:
        what = "is not the checkpoint that the ledger knows: it was replaced or damaged"
        raise IntegrityError(f"{folder}: {what}; find out by whom, and bring it back from a backup")
    run_files.check_version(batch, state, name)
