"""The files of a run: their names, their digests in the ledger, and checks that they are unchanged.

A run may be killed at any moment and continue hours later. Files that it recorded in the ledger must be unchanged;
files that it wrote but did not record are written again. Digests are keyed, because a plain digest of a list of ids can
be found by trying.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from unlearn_cli import console
from unlearn_cli.batch.ledger import keyed
from unlearn_cli.batch.ledger.ledger_state import LedgerState, RunState
from unlearn_cli.batch.open_batch import Batch
from unlearn_cli.batch.setup import Setup
from unlearn_cli.checkpoints.checkpoint_header import digest_checkpoint_files, read_header
from unlearn_cli.errors import IntegrityError
from unlearn_cli.storage import atomic_files, regular_files
from unlearn_cli.storage.remote import locate

# In a run's folder. The selection is removed when the run ends; the control exists only while `control_check` works.
MANIFEST, SELECTION, FORGET, EVIDENCE = "manifest.yaml", "selection", "selection/forget.csv", "evidence"
CONTROL = "control.yaml"
STEPS = ("attempt", "judged", "attack")  # each attempt has folders with these names and its number
TEMPORARY = ".*.new-*"  # names of `atomic_files` before the rename; no other process writes while the lock is held
NO_FILE = "is not a file"  # the digest of a link, a pipe and so on


def digest_files(folder: Path, key: bytes) -> dict[str, str]:
    """Return the keyed digest of each file below a folder, by its relative name."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    return {path.relative_to(folder).as_posix(): digest_file(path, key) for path in paths}


def digest_file(path: Path, key: bytes) -> str:
    """Return the keyed digest of a file."""
    is_file = path.is_file() and not path.is_symlink()
    return keyed.digest(key, regular_files.sha256(path)) if is_file else NO_FILE


def digest_references(setup: Setup) -> dict[str, str]:
    """Return the digests of the references and of the shadow runs, which attacks compare with.

    Raises:
        UserError: a reference is not an intact checkpoint.
    """
    policy, folder = setup.deletion.attack, setup.deletion.folder
    paths = {f"reference {number}": locate(path, folder) for number, path in enumerate(policy.references, start=1)}
    digests = {name: digest_checkpoint_files(read_header(path)) for name, path in paths.items()}
    if policy.shadows:
        digests["shadows"] = _digest_tree(folder / policy.shadows)
    return digests


def _digest_tree(folder: Path) -> str:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = {path.relative_to(folder).as_posix(): regular_files.sha256(path) for path in paths}
    return hashlib.sha256(keyed.to_canonical_json(digests).encode()).hexdigest()


def list_recorded_digests(run: RunState) -> dict[str, str]:
    """Return the digests in the ledger of the files in a run's folder, by their relative names."""
    steps = {f"{folder}/{name}": digest for folder, names in run.steps.items() for name, digest in names.items()}
    return {**(run.body.get("files") or {}), **steps}


def name_passed_folder(run: RunState) -> str | None:
    """Return the name of the folder of the attempt that passed, which becomes a version."""
    return next((f"attempt-{attempt['number']}" for attempt in run.attempts if attempt["passed"]), None)


def check_run(batch: Batch, run: RunState) -> None:
    """Check that the folder of an unfinished run holds exactly the recorded files, unchanged.

    Files that it wrote but did not record before it was killed are removed, and written again later.

    Raises:
        IntegrityError: a file was changed, is gone, or was not written by the run; the message names the first one.
    """
    folder = batch.run_folder(run.id)
    if run.state == "running":
        remove_unrecorded(batch, run)
    digests = list_recorded_digests(run)
    for name, digest in digests.items():
        path = _locate(batch, run, name)
        if digest_file(path, batch.key) != digest:
            change = "was changed" if path.exists() else "is gone"
            raise IntegrityError(f"{path}: {change} since {run.id} wrote it; {_advise(run, folder)}")
    for path in _find_foreign_files(batch, run, digests):
        raise IntegrityError(f"{path}: {run.id} did not write this file; move it away, or {_advise(run, folder)}")


def _advise(run: RunState, folder: Path) -> str:
    restore = "restore the folder from a backup"
    return f"{restore}, or remove {folder} to start a new run" if run.state == "running" else restore


def remove_unrecorded(batch: Batch, run: RunState) -> None:
    """Remove files that are not in the ledger: folders of steps, evidence without digests, and the control."""
    folder = batch.run_folder(run.id)
    (folder / CONTROL).unlink(missing_ok=True)
    recorded = {*run.steps, *_list_folders_with_reports(run)}
    names = [path.name for step in STEPS for path in sorted(folder.glob(f"{step}-[0-9]*"))]
    unrecorded = [name for name in names if name not in recorded and not name.endswith(".partial")]
    for name in [*unrecorded, EVIDENCE]:
        if (folder / name).is_dir() and not (folder / name).is_symlink():  # a run writes no links
            console.say(f"{run.id}: {name} is incomplete and is written again", run=run.id)
            shutil.rmtree(folder / name)
            atomic_files.fsync(folder)


def _list_folders_with_reports(run: RunState) -> Iterator[str]:
    """Yield the folders whose reports have digests in the ledger; earlier versions recorded only these."""
    for attempt in run.attempts:
        for step, report in zip(STEPS, ("unlearn_report", "judge_report", "attack_report"), strict=True):
            if attempt[report] is not None:
                yield f"{step}-{attempt['number']}"


def _locate(batch: Batch, run: RunState, name: str) -> Path:
    """Return the path of a run's file: the folder of the attempt that passed may have become a version."""
    first, _, rest = name.partition("/")
    if run.version and first == name_passed_folder(run) and batch.version_folder(run.version).exists():
        return batch.version_folder(run.version) / rest
    return batch.run_folder(run.id) / name


def _find_foreign_files(batch: Batch, run: RunState, digests: dict[str, str]) -> Iterator[Path]:
    """Yield the files in a run's folder and in its version that the run did not write."""
    folder, passed = batch.run_folder(run.id), name_passed_folder(run)
    expected = {_locate(batch, run, name) for name in digests} | {folder / EVIDENCE / name for name in run.evidence}
    version = batch.version_folder(run.version) if run.version else None
    for path in [*list_files(folder), *(list_files(version) if version and version.exists() else ())]:
        was_copied = version and version.exists() and path.is_relative_to(folder / (passed or "."))
        if path not in expected and not was_copied:
            yield path


def list_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, except those that no run reads: temporary and hidden files, saved states."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        ignored = parts[0].startswith(".") or parts[0].endswith(".partial") or path.match(TEMPORARY)
        if not ignored and (path.is_symlink() or not path.is_dir()):
            yield path


def check_version_files(batch: Batch, state: LedgerState, name: str) -> None:
    """Check all files of a version, because all of them are published.

    Raises:
        IntegrityError: a file was changed, is gone, or was not written by the run; the message names the first one.
    """
    for path, change in find_version_changes(batch.version_folder(name), state, name, batch.key):
        raise IntegrityError(f"{path}: {change}")


def find_version_changes(version: Path, state: LedgerState, name: str, key: bytes) -> Iterator[tuple[Path, str]]:
    """Yield the files of a version that differ from those that its run recorded, and how each differs."""
    run = next((run for run in state.runs.values() if run.version == name), None)
    recorded = run.steps.get(name_passed_folder(run) or "") if run else None
    if recorded is None:  # the first version, or the version of a run that recorded no digests
        return
    digests = digest_files(version, key)
    for file in sorted(recorded.keys() | digests.keys()):
        if file not in digests:
            yield version / file, "is gone; restore it from a backup"
        elif file not in recorded:
            yield version / file, "is not a file that the ledger recorded; move it away"
        elif digests[file] != recorded[file]:
            yield (
                version / file,
                "is not the file that the ledger recorded; find out who changed it, and restore it from a backup",
            )


def check_evidence(batch: Batch, run: RunState) -> None:
    """Check that the evidence of a run that is being promoted has the recorded digests.

    Raises:
        IntegrityError: a file was changed or is gone; the message names it.
    """
    for name, recorded in run.evidence.items():
        path = batch.run_folder(run.id) / EVIDENCE / name
        if not path.is_file() or path.is_symlink() or regular_files.sha256(path) != recorded:
            raise IntegrityError(f"{path}: was changed since {run.id} wrote it; restore it from a backup")


def is_record_list(name: str) -> bool:
    """Return whether a file is one of the lists of records, which are removed when the run ends."""
    return name.startswith(f"{SELECTION}/")
