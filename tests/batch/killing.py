"""Batches that are killed: in a process of their own, at a named step or before their n-th change of a file."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from tests.batch.tiny import batch
from tests.forked import exit_code_of_fork
from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.ledger.store import open_ledger
from unlearn_cli.batch.requests import inbox
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.checkpoints.file_digests import tensor_digest

CHANGES = {"os.rename", "os.link", "os.symlink", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod"}


def killed_at_step(folder: Path, step: str, *options: str) -> int:
    """Run a batch that ends at a named step as if by SIGKILL."""

    def work() -> int:
        os.environ[fault.VARIABLE] = step
        return batch(folder, *options).exit_code

    return exit_code_of_fork(work)


def killed_before_change(folder: Path, number: int, *options: str) -> int:
    """Run a batch that ends right before its n-th change of a file below the folder, counted from 0."""

    def work() -> int:
        watch_changes(folder, lambda count: os._exit(fault.KILLED) if count == number else None)
        return batch(folder, *options).exit_code

    return exit_code_of_fork(work)


def record(
    folder: Path, snapshots: Path, *options: str, steps: Collection[str] = (), changes: Collection[int] = ()
) -> int:
    """Run a batch to its end in a child process, and copy its folder at the moments at which it may be killed.

    These are the first time that it comes to each of `steps`, and the moments before its n-th change of a file below
    the folder, counted from 0, with n in `changes`. The copies are in `snapshots`, under the step's name or the number.
    What goes on in a copy must recognise the requests: see `identify_copy`.
    """

    def reach(moment: str | int) -> None:
        if moment in (*steps, *changes) and not (snapshots / str(moment)).exists():
            copy_folder(folder, snapshots / str(moment))

    def work() -> int:
        fault.step, inbox._identify_arrival = reach, identify_copy
        watch_changes(folder, reach)
        return batch(folder, *options).exit_code

    return exit_code_of_fork(work)


def watch_changes(folder: Path, reach: Callable[[int], object]) -> None:
    """Call a function with the number of each change of a file below a folder, until this process ends."""
    count = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if _is_change(event, arguments, str(folder)):
            reach(count)
            count += 1

    sys.addaudithook(watch)


def identify_copy(path: Path) -> str:
    """Return what identifies one arrival of a request file and of its copies, which have inodes of their own."""
    status = path.lstat()
    return f"{status.st_mtime_ns}-{status.st_size}"


def copy_folder(folder: Path, copy: Path) -> Path:
    """Copy a folder with its links, hard ones too; in another process, for locks of this one end with any reading."""
    subprocess.run(["cp", "-a", folder, copy], check=True)
    return copy


def _is_change(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    if event == "open":
        path, _mode, flags = arguments
        opened = isinstance(path, str) and path.startswith(folder) and not path.endswith(".sqlite")
        return opened and bool((flags or 0) & (os.O_WRONLY | os.O_RDWR))
    return event in CHANGES and any(folder in os.fsdecode(one) for one in arguments if isinstance(one, (str, Path)))


def final_state(folder: Path) -> dict[str, Any]:
    """Return what must be the same after a killed run and its rerun as after one that was left alone.

    Keys and times differ from folder to folder, and so do all digests that they go into.
    """
    with open_ledger(folder / "ledger.sqlite", create_missing=False) as ledger:
        events = ledger.events()
    done = Counter(event.request for event in events if event.kind == "done")
    weights = {str(path.relative_to(folder)): _keyless(path) for path in sorted(folder.glob("models/v*/*.safetensors"))}
    reports = {str(path.relative_to(folder)): _timeless(path) for path in sorted(folder.glob("models/*/report.json"))}
    findings = json.loads(batch(folder, "verify", "--json").stdout)["findings"]
    return {
        "done": done, "weights": weights, "reports": reports, "findings": findings,
        "current": os.readlink(folder / "models" / "current"),
        "events": [(event.kind, event.request, event.run) for event in events],
        "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
    }  # fmt: skip


def _keyless(path: Path) -> tuple[str, dict[str, str]]:
    """Return the digest of a checkpoint's tensors and its metadata, without the digest that has the ledger's key."""
    header = read_header(path)
    metadata = {name: text for name, text in header.metadata.items() if not name.endswith("selection_digest")}
    return tensor_digest(header), metadata


def _timeless(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["run"], document["manifest"]["selection_digest"]
    for role in ("subject", "original"):
        if document[role]:
            del document[role]["file_sha256"]
            document[role]["lineage"].pop("selection_digest", None)
    return document
