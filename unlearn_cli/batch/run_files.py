"""The files that a run goes by: their digests in the ledger, and whether they are still the same.

A run may be killed at any moment, and go on hours later. What it has noted in the ledger must be as it was; what it had
written and not yet noted is made again. Digests are keyed, because lists of ids could be tried out.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from unlearn_cli import console
from unlearn_cli.batch.ledger import keyed
from unlearn_cli.batch.ledger.ledger_state import LedgerState, RunState
from unlearn_cli.batch.work import CONTROL, EVIDENCE, SELECTION, Batch, Setup
from unlearn_cli.checkpoints.checkpoint_header import files_digest, read_header
from unlearn_cli.errors import IntegrityError
from unlearn_cli.storage import atomic_files, regular_files
from unlearn_cli.storage.remote import locate

STEPS = ("attempt", "judged", "attack")  # each number of an attempt has a folder of such a name
HALF_WRITTEN = ".*.new-*"  # as `files` names what it has not renamed yet; nobody else writes while the lock is held
NO_FILE = "is not a file"  # the digest of a link, a pipe and so on


def digests(folder: Path, key: bytes) -> dict[str, str]:
    """Return the keyed digest of each file below a folder, by its name below it."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    return {path.relative_to(folder).as_posix(): digest(path, key) for path in found}


def digest(path: Path, key: bytes) -> str:
    """Return the keyed digest of a file."""
    is_file = path.is_file() and not path.is_symlink()
    return keyed.digest(key, regular_files.sha256(path)) if is_file else NO_FILE


def references(setup: Setup) -> dict[str, str]:
    """Return the digests of what attacks compare with: the references, and the shadow runs.

    Raises:
        UserError: a reference is not an intact checkpoint.
    """
    policy, folder = setup.deletion.attack, setup.deletion.folder
    paths = {f"reference {number}": locate(path, folder) for number, path in enumerate(policy.references, start=1)}
    found = {name: files_digest(read_header(path)) for name, path in paths.items()}
    if policy.shadows:
        found["shadows"] = _tree_digest(folder / policy.shadows)
    return found


def _tree_digest(folder: Path) -> str:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): regular_files.sha256(path) for path in paths}
    return hashlib.sha256(keyed.to_canonical_json(found).encode()).hexdigest()


def noted(run: RunState) -> dict[str, str]:
    """Return the digests that the ledger has of the files in a run's folder, by their names below it."""
    steps = {f"{folder}/{name}": found for folder, names in run.steps.items() for name, found in names.items()}
    return {**(run.body.get("files") or {}), **steps}


def passed_folder(run: RunState) -> str | None:
    """Return the name of the folder of the attempt that passed, which becomes a version."""
    return next((f"attempt-{one['number']}" for one in run.attempts if one["passed"]), None)


def check(batch: Batch, run: RunState) -> None:
    """Check that everything in the folder of an unfinished run is as the run has noted it.

    What it was killed over before it could be noted is removed, to be made again.

    Raises:
        IntegrityError: names the first file that was changed, is gone, or that the run has not written.
    """
    folder = batch.folder(run.id)
    if run.state == "running":
        drop_unnoted(batch, run)
    expected = noted(run)
    for name in expected:
        path = _place(batch, run, name)
        if digest(path, batch.key) != expected[name]:
            state = "was changed" if path.exists() else "is gone"
            raise IntegrityError(f"{path}: {state} since {run.id} wrote it; {_advice(run, folder)}")
    for path in _strange(batch, run, expected):
        raise IntegrityError(f"{path}: {run.id} has not written this file; move it away, or {_advice(run, folder)}")


def _advice(run: RunState, folder: Path) -> str:
    back = "bring the folder back from a backup"
    return f"{back}, or remove {folder}: a new run then begins" if run.state == "running" else back


def drop_unnoted(batch: Batch, run: RunState) -> None:
    """Remove what the ledger does not know of: folders of steps, evidence before it has digests, and the control."""
    folder = batch.folder(run.id)
    (folder / CONTROL).unlink(missing_ok=True)
    known = {*run.steps, *_reported(run)}
    names = [path.name for kind in STEPS for path in sorted(folder.glob(f"{kind}-[0-9]*"))]
    unnoted = [name for name in names if name not in known and not name.endswith(".partial")]
    for name in [*unnoted, EVIDENCE]:
        if (folder / name).is_dir() and not (folder / name).is_symlink():  # a link is none of the run's own
            console.say(f"{run.id}: {name} was not finished and is made again", run=run.id)
            shutil.rmtree(folder / name)
            atomic_files.fsync(folder)


def _reported(run: RunState) -> Iterator[str]:
    """Yield the folders whose reports the ledger has digests of; earlier versions of this tool noted nothing else."""
    for made in run.attempts:
        for step, report in zip(STEPS, ("unlearn_report", "judge_report", "attack_report"), strict=True):
            if made[report] is not None:
                yield f"{step}-{made['number']}"


def _place(batch: Batch, run: RunState, name: str) -> Path:
    """Return where a file of a run lies: that of the attempt that passed may have moved to its version."""
    first, _, rest = name.partition("/")
    if run.version and first == passed_folder(run) and batch.version(run.version).exists():
        return batch.version(run.version) / rest
    return batch.folder(run.id) / name


def _strange(batch: Batch, run: RunState, expected: dict[str, str]) -> Iterator[Path]:
    """Yield the files in the folder of a run, and in the version that it made, that the run has not written."""
    folder, passed = batch.folder(run.id), passed_folder(run)
    known = {_place(batch, run, name) for name in expected} | {folder / EVIDENCE / name for name in run.evidence}
    version = batch.version(run.version) if run.version else None
    for path in [*written(folder), *(written(version) if version and version.exists() else ())]:
        left_over = version and version.exists() and path.is_relative_to(folder / (passed or "."))
        if path not in known and not left_over:
            yield path


def written(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder but those that no run reads: half-written ones, saved states, hidden ones."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        ignored = parts[0].startswith(".") or parts[0].endswith(".partial") or path.match(HALF_WRITTEN)
        if not ignored and (path.is_symlink() or not path.is_dir()):
            yield path


def check_version(batch: Batch, state: LedgerState, name: str) -> None:
    """Check all files of a version that a run has made: they are published as they lie there.

    Raises:
        IntegrityError: names the first file that was changed, is gone, or that the run has not written.
    """
    for path, what in changes_of_version(batch.version(name), state, name, batch.key):
        raise IntegrityError(f"{path}: {what}")


def changes_of_version(version: Path, state: LedgerState, name: str, key: bytes) -> Iterator[tuple[Path, str]]:
    """Yield the files of a version that are not as its run has written them, and what is wrong with each."""
    run = next((one for one in state.runs.values() if one.version == name), None)
    expected = run.steps.get(passed_folder(run) or "") if run else None
    if expected is None:  # the first version, or one of a run that has noted no digests
        return
    found = digests(version, key)
    for file in sorted(expected.keys() | found.keys()):
        if file not in found:
            yield version / file, "is gone; bring it back from a backup"
        elif file not in expected:
            yield version / file, "is not a file that the ledger knows; move it away"
        elif found[file] != expected[file]:
            yield version / file, "is not the file that the ledger knows; find out by whom, and bring it back"


def check_evidence(batch: Batch, run: RunState) -> None:
    """Check that the evidence of a run that is promoted is what the ledger says.

    Raises:
        IntegrityError: names the file that was changed or is gone.
    """
    for name, stated in run.evidence.items():
        path = batch.folder(run.id) / EVIDENCE / name
        if not path.is_file() or path.is_symlink() or regular_files.sha256(path) != stated:
            raise IntegrityError(f"{path}: was changed since {run.id} wrote it; bring it back from a backup")


def is_selection(name: str) -> bool:
    """Say whether a file is one of the lists of records, which are removed when the run ends."""
    return name.startswith(f"{SELECTION}/")
