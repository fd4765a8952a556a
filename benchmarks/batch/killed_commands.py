"""Does a `train` or an `unlearn` that is killed at a random moment end, by the same command, as if it had not been?

python -m benchmarks.batch.killed_commands

Digits of three classes and a tiny network. Children of one process run the command, which keeps its state every few
steps, are ended by SIGKILL at seeded moments, and the command is run again. Writes results/killed_commands.md.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.batch.forked import fork
from benchmarks.batch.killed import KILLED
from benchmarks.output import write_result
from tests.tiny import invoke, write_manifest
from unlearn_cli.reporting import html as page
from unlearn_cli.runtime import progress
from unlearn_cli.storage.regular_files import sha256

KILLS = 30  # of each command
TIMED = 10  # tries after which an undisturbed run is timed
COMMANDS = {
    "train": ["train", "-m", "manifest.yaml", "-o", "out", "--set", "epochs=4"],
    "train, over an old folder": ["train", "-m", "manifest.yaml", "-o", "out", "--set", "epochs=4", "--overwrite"],
    "unlearn": ["unlearn", "original/model.safetensors", "-m", "manifest.yaml", "-o", "out", "--method", "bad_teacher"],
}


@dataclass(frozen=True)
class Kill:
    """What a kill left at `--out`, whether there was kept state, and what was wrong then or after the rerun."""

    output: str
    has_state: bool
    problems: tuple[str, ...]


def main() -> None:
    torch.set_num_threads(1)  # tiny tensors, and children of a process with threads would wait for them for ever
    os.environ["OMP_NUM_THREADS"] = "1"
    page.render = lambda *arguments: "<html></html>"  # most of the time would go into pictures
    progress.SAVE_EVERY_SECONDS = progress.WORTH_SAVING_SECONDS = 0.02
    with tempfile.TemporaryDirectory() as name:
        template = make_template(Path(name) / "template")
        kills = {label: list(killed(template, arguments, random.Random(0))) for label, arguments in COMMANDS.items()}
    head = Path(__file__).with_name("killed_commands_table.md").read_text(encoding="utf-8")
    write_result("killed_commands.md", head + "\n".join(rows(kills)) + "\n")


def make_template(folder: Path) -> Path:
    """Make a folder with a manifest, an original, and an older output that `--overwrite` replaces."""
    folder.mkdir()
    write_manifest(folder)
    for out in ("original", "older"):
        assert run_in(folder, ["train", "-m", "manifest.yaml", "-o", out, "--set", "epochs=6", "--set", "lr=0.01"]) == 0
    return folder


def run_in(folder: Path, arguments: list[str]) -> int:
    os.chdir(folder)
    result = invoke(*arguments, "--device", "cpu", "--quiet")
    print(result.stderr, end="", file=sys.stderr)
    return result.exit_code


def fresh_copy(template: Path, arguments: list[str]) -> Path:
    folder = template.with_name("project")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    if "--overwrite" in arguments:
        (folder / "older").rename(folder / "out")
    return folder


def killed(template: Path, arguments: list[str], moments: random.Random) -> Iterator[Kill]:
    """Kill as often as is wanted; a run that ended before its moment counts for nothing."""
    kills = tries = 0
    end, old, seconds = {}, "", 0.0
    while kills < KILLS:
        folder = fresh_copy(template, arguments)
        if tries % TIMED == 0:
            old, begun = digest(folder / "out"), time.monotonic()
            assert fork(lambda: run_in(folder, arguments)).wait() == 0  # noqa: B023  # ends within the iteration
            end, seconds, folder = final_state(folder), time.monotonic() - begun, fresh_copy(template, arguments)
        tries += 1
        child = fork(lambda: run_in(folder, arguments))  # noqa: B023
        time.sleep(moments.uniform(0, seconds))
        child.kill()
        if child.wait() == KILLED:
            kills += 1
            output, problems = check_output(folder, old, end)
            has_state = any(folder.glob("out.partial/*/*.safetensors"))
            yield Kill(output, has_state, (*problems, *rerun(folder, arguments, end)))


def digest(out: Path) -> str:
    return sha256(out / "model.safetensors") if out.is_dir() else "none"


def final_state(folder: Path) -> dict[str, Any]:
    """Return what must be the same after a kill and a rerun as after an undisturbed run."""
    report = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    del report["run"]
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    return {"weights": digest(folder / "out"), "report": report, "files": files}


def check_output(folder: Path, old: str, end: dict[str, Any]) -> tuple[str, list[str]]:
    """Say which output is there after a kill: the old one or none, or the new one, whole."""
    out = folder / "out"
    if not out.is_dir():
        return "none", []
    load_file(out / "model.safetensors")
    json.loads((out / "report.json").read_text(encoding="utf-8"))
    weights = {old: "old", end["weights"]: "new"}.get(digest(out), "another")
    return weights, ["another checkpoint"] if weights == "another" else []


def rerun(folder: Path, arguments: list[str], end: dict[str, Any]) -> list[str]:
    """Let the same command end, and return in what the end differs; a whole output is replaced only if asked."""
    again = arguments if "--overwrite" in arguments or not (folder / "out").exists() else [*arguments, "--overwrite"]
    code = fork(lambda: run_in(folder, again)).wait()
    if code:
        return [f"the rerun exited with {code}"]
    state = final_state(folder)
    return [f"differs: {name}" for name in state if state[name] != end[name]]


def rows(kills: dict[str, list[Kill]]) -> list[str]:
    lines = []
    for label, listed in {**kills, "**together**": [kill for some in kills.values() for kill in some]}.items():
        outputs, problems = (
            Counter(kill.output for kill in listed),
            Counter(p for kill in listed for p in kill.problems),
        )
        cells = [
            label, len(listed), *(outputs[name] for name in ("none", "old", "new", "another")),
            sum(kill.has_state for kill in listed), f"{sum(not kill.problems for kill in listed)}/{len(listed)}",
            "; ".join(f"{problem} ({count})" for problem, count in problems.items()) or "-",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


if __name__ == "__main__":
    main()
