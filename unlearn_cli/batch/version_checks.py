"""Checks of the versions before a run: the first one exists, and the current one is the one that the ledger has."""

import re
from pathlib import Path

from unlearn_cli.batch import run_files
from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.open_batch import Batch
from unlearn_cli.batch.versions import FIRST, POINTER, VERSION_NAME, copy_initial, read_pointer, set_pointer
from unlearn_cli.checkpoints.checkpoint_header import digest_checkpoint_files, read_header
from unlearn_cli.checkpoints.file_digests import tensor_digest
from unlearn_cli.errors import IntegrityError, UserError


def digest_checkpoint(folder: Path) -> dict[str, str]:
    """Return the two digests of the checkpoint in a folder: of its files, and of its tensors.

    Raises:
        UserError: there is no intact checkpoint.
    """
    header = read_header(folder)
    return {"file_sha256": digest_checkpoint_files(header), "tensor_digest": tensor_digest(header)}


def add_first_version(batch: Batch) -> None:
    """Copy the initial checkpoint, set the pointer to the copy, and record it; do nothing if the ledger has events.

    Raises:
        UserError: the initial checkpoint is not intact.
        IntegrityError: the ledger is empty, but there are versions.
    """
    if batch.ledger.events():
        return
    models, initial = batch.setup.models, batch.setup.initial
    _refuse_existing_versions(models, initial, batch.ledger.path)
    models.mkdir(parents=True, exist_ok=True)
    batch.setup.inbox.mkdir(parents=True, exist_ok=True)
    if not (models / FIRST).exists():
        copy_initial(initial, models)
    fault.step("copied")
    set_pointer(models, FIRST)
    batch.ledger.append("opened", version=FIRST, checkpoint=digest_checkpoint(models / FIRST))
    fault.step("opened")


def _refuse_existing_versions(models: Path, initial: Path, ledger: Path) -> None:
    """Refuse versions without a ledger, except the copy of the initial checkpoint that a killed first run left."""
    versions = _list_versions(models)
    if versions and (versions != [FIRST] or digest_checkpoint(models / FIRST) != digest_checkpoint(initial)):
        names = ", ".join(versions[:3])
        raise IntegrityError(
            f"{ledger}: is empty, but {models} holds {names} of earlier runs; restore the ledger from a backup"
        )


def _list_versions(models: Path) -> list[str]:
    names = sorted(path.name for path in models.iterdir()) if models.is_dir() else []
    return [name for name in names if re.fullmatch(VERSION_NAME, name)]


def refuse_unknown_versions(models: Path, state: LedgerState) -> None:
    """Refuse versions that the ledger does not have: it may be an older ledger from a backup.

    Raises:
        IntegrityError: there is such a version.
    """
    for name in list_unknown_versions(models, state):
        raise IntegrityError(
            f"{models / name}: the ledger has no such version; restore the ledger from a backup, or move the "
            "folder away"
        )


def list_unknown_versions(models: Path, state: LedgerState) -> list[str]:
    """Return the versions that the ledger does not have; none if the ledger is empty, which is a case of its own."""
    return [name for name in _list_versions(models) if name not in state.versions] if state.versions else []


def check_current_version(batch: Batch, state: LedgerState) -> None:
    """Check that the pointer names the ledger's current version, and that the version's bytes are unchanged.

    A killed run may have left the pointer at the version before or after. After a rollback it is moved.

    Raises:
        IntegrityError: the pointer or the version was changed by something other than a run.
    """
    models, target, last = batch.setup.models, read_pointer(batch.setup.models), state.last
    assert last is not None and state.current is not None
    run = state.runs.get(state.unfinished or "")
    if last.kind == "rolled_back" and target == last.body["from"]:
        set_pointer(models, state.current)
    elif target != state.current and not (run and run.state == "promoting" and target == run.version):
        stated = f"names '{target}'" if target else "names no version"
        raise IntegrityError(
            f"{models / POINTER}: {stated}, but '{state.current}' is the ledger's current version; find out who "
            "changed it, and point it to that version again"
        )
    check_version(batch, state, state.current)


def check_version(batch: Batch, state: LedgerState, name: str) -> None:
    """Check that a version's bytes are those that the ledger has the digests of.

    Raises:
        IntegrityError: they differ, or the version is gone.
    """
    folder = batch.version_folder(name)
    try:
        digest = digest_checkpoint_files(read_header(folder))
    except UserError as error:
        raise IntegrityError(f"{error}; the ledger has a checkpoint there: restore it from a backup") from None
    if digest != state.versions[name]["file_sha256"]:
        raise IntegrityError(
            f"{folder}: is not the checkpoint that the ledger has: it was replaced or damaged; find out who changed "
            "it, and restore it from a backup"
        )
    run_files.check_version_files(batch, state, name)
