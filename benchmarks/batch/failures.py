"""What does a batch do when something around it goes wrong? Each case for real, then fixed, then the same command.

python -m benchmarks.batch.failures        (as root, on Linux: it mounts small file systems in memory)

The scene of the tests: a batch that has done one request and has another pending. Writes results/failures.md: the exit
code and message, what `batch verify` reported, what was left, and what the same command did afterwards.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from benchmarks.output import write_result
from tests.batch.tiny import ask, batch, ledger_of, train
from unlearn_cli.batch.ledger import clock
from unlearn_cli.batch.ledger.store import open_ledger
from unlearn_cli.batch.lock import hold_lock
from unlearn_cli.batch.open_batch import open_batch
from unlearn_cli.batch.pipeline import carry_out_pending
from unlearn_cli.batch.setup import read_setup
from unlearn_cli.reporting import html as page

Trouble = Callable[[Path], object]  # a context manager is left before the command is run again


@dataclass(frozen=True)
class Case:
    name: str
    trouble: Trouble
    fix: Callable[[Path], object] = lambda folder: None


def main() -> None:
    torch.set_num_threads(1)
    page.render = lambda *arguments: "<html></html>"  # most of the time would go into pictures
    with tempfile.TemporaryDirectory() as name:
        template = made(Path(name))
        lines = []
        for case in CASES:
            lines.append(row(case, template, Path(name) / "disk"))
            print(lines[-1], file=sys.stderr, flush=True)
    text = Path(__file__).with_name("failures_table.md").read_text(encoding="utf-8") + "\n".join(lines) + "\n"
    write_result("failures.md", text)


def made(folder: Path) -> Path:
    """Return a batch with one request that is done, and one that is pending."""
    project = train(folder / "template")
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    assert batch(project).exit_code == 0
    ask(project, "DSR-2", ids=["rec-11"])
    return project


def row(case: Case, template: Path, disk: Path) -> str:
    """Make the trouble on a disk of its own, run the command, fix it, and run the command again."""
    with mounted(disk):
        folder = Path(shutil.copytree(template, disk / "project", symlinks=True))
        with ExitStack() as stack:
            trouble = case.trouble(folder)
            if hasattr(trouble, "__exit__"):
                stack.enter_context(trouble)  # pyright: ignore[reportArgumentType]
            result = batch(folder)
            verified = batch(folder, "verify")
            left = state(folder)
        case.fix(folder)
        again, last = batch(folder), batch(folder, "verify")
        cells = [case.name, result.exit_code, told(result.stderr or result.stdout, folder), verified.exit_code, left,
                 f"{again.exit_code}; {state(folder)}", last.exit_code]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


@contextmanager
def mounted(place: Path) -> Iterator[None]:
    """Mount a file system of 8 MiB in memory."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def told(text: str, folder: Path) -> str:
    """Return the first two lines of a message, without the path of the folder."""
    lines = [" ".join(line.split()) for line in text.strip().splitlines()]
    return re.sub(r"process \d+", "process N", "<br>".join(lines[:2])).replace(f"{folder}/", "").replace("|", r"\|")


def state(folder: Path) -> str:
    """Say what is current, and which requests are done how often, as far as that can be read."""
    link = folder / "models" / "current"
    name = os.readlink(link) if link.is_symlink() else "nothing"
    try:
        done = Counter(event.request for event in ledger_of(folder) if event.kind == "done")
    except Exception as error:  # of a ledger that was damaged on purpose
        return f"{name}; ledger: {type(error).__name__}"
    return f"{name}; done: {', '.join(f'{request} x {count}' for request, count in sorted(done.items()))}"


# --- the cases


def full(free: int) -> Trouble:
    """Leave so many bytes on the disk."""

    @contextmanager
    def trouble(folder: Path) -> Iterator[None]:
        filler = folder.parent / "filler"
        room = shutil.disk_usage(folder).free - free
        filler.write_bytes(bytes(room))
        yield
        filler.unlink()

    return trouble


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", folder.parent], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", folder.parent], check=True)


@contextmanager
def ledger_locked(folder: Path) -> Iterator[None]:
    """Hold a write lock on the ledger's file, as a backup program might."""
    connection = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    yield
    connection.close()


def batch_locked(folder: Path) -> object:
    return hold_lock(folder / "ledger.lock")


def clock_set_back(folder: Path) -> None:
    """Let the last event be of two hours from now, as if the clock had been set back since."""
    with open_ledger(folder / "ledger.sqlite", now=lambda: clock.now() + timedelta(hours=2)) as ledger:
        ledger.append("vacuumed", removed=[])


def ran_at(hours: int) -> Callable[[Path], object]:
    """Run the command when the clock is right again."""

    def fix(folder: Path) -> None:
        setup = read_setup(folder / "deletion.yaml")
        with open_batch(setup, now=lambda: clock.now() + timedelta(hours=hours)) as opened:
            carry_out_pending(opened)

    return fix


def truncated(folder: Path) -> None:
    whole = json.dumps({"request": "DSR-3", "received": "2026-11-20T09:30:00Z", "ids": ["rec-12"]})
    (folder / "requests" / "cut.yaml").write_text(whole[: len(whole) // 2], encoding="utf-8")


def half_written(folder: Path) -> None:
    truncated(folder)
    (folder / "requests" / "cut.yaml").rename(folder / "requests" / ".cut.yaml")


def unknown(folder: Path) -> None:
    ask(folder, "DSR-3", ids=["rec-12", "nobody"])


def row_changed(folder: Path) -> None:
    """Change one event as somebody would who takes the triggers away for it and puts them back."""
    shutil.copyfile(folder / "ledger.sqlite", folder / "backup")
    connection = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("UPDATE event SET body = replace(body, '\"records\":2', '\"records\":3') WHERE kind = 'done'")
    for _, text in triggers:
        connection.execute(text)
    connection.close()


def bytes_changed(folder: Path) -> None:
    """Overwrite a page in the middle of the ledger's file."""
    shutil.copyfile(folder / "ledger.sqlite", folder / "backup")
    with (folder / "ledger.sqlite").open("r+b") as file:
        file.seek(4096 + 100)
        file.write(bytes(range(256)) * 8)


def ledger_back(folder: Path) -> None:
    (folder / "backup").rename(folder / "ledger.sqlite")


def gone(name: str) -> Trouble:
    return lambda folder: (folder / name).rename(folder / "backup")


def back(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "backup").rename(folder / name)


def replaced(folder: Path) -> None:
    """Put other weights in the current checkpoint's place."""
    path = folder / "models" / "v0001" / "model.safetensors"
    shutil.copyfile(path, folder / "backup")
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)


def pointed_elsewhere(folder: Path, to: str = "v0000") -> None:
    (folder / "models" / "current").unlink()
    (folder / "models" / "current").symlink_to(to)


CASES = [
    *(Case(f"disk full, {free} KiB left", full(free * 1024)) for free in (0, 8, 24, 48, 96)),
    Case("everything on a read-only file system", read_only),
    Case("another process is at the batch", batch_locked),
    Case("another program has locked the ledger", ledger_locked),
    Case("the clock was set back by two hours", clock_set_back, ran_at(3)),
    Case("a request file that is cut off", truncated),
    Case("a request file that is still being written", half_written),
    Case("a request with an unknown id", unknown),
    Case("one row of the ledger changed", row_changed, ledger_back),
    Case("bytes of the ledger's file changed", bytes_changed, ledger_back),
    Case("the ledger is gone", gone("ledger.sqlite"), back("ledger.sqlite")),
    Case("the ledger's key is gone", gone("ledger.key"), back("ledger.key")),
    Case("current checkpoint replaced", replaced, back("models/v0001/model.safetensors")),
    Case("current checkpoint is gone", gone("models/v0001"), back("models/v0001")),
    Case("pointer set to another version", pointed_elsewhere, lambda folder: pointed_elsewhere(folder, "v0001")),
    Case("the source is gone", gone("train.csv"), back("train.csv")),
]


if __name__ == "__main__":
    main()
