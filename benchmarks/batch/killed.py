"""Does a batch that is killed at a random moment end, by the same command, as if undisturbed?

python -m benchmarks.batch.killed

The scene of the tests: digits, a tiny network, a first method that wrecks it and a second that passes, three requests
of which one names a record that is nowhere. Children of one process run it, are ended by SIGKILL at seeded moments,
and the command is run again. Writes results/killed.md: what was current then, and whether the end was the same.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.batch.forked import Child, fork
from benchmarks.output import write_result
from tests.batch.killing import final_state
from tests.batch.tiny import ask, batch, change, ids_of, train
from unlearn_cli.batch.ledger import keyed
from unlearn_cli.batch.ledger.store import open_ledger
from unlearn_cli.reporting import html as page
from unlearn_cli.storage.regular_files import sha256

# how -> kills wanted
KILLS = {
    "while it is promoted": 60, "anywhere in the run": 120, "anywhere, and the rerun again": 30,
    "in the first run of all": 20, "a process started from nothing": 10,
}  # fmt: skip
FIRST, COLD, AGAIN, DENSE = (
    next(how for how in KILLS if word in how) for word in ("first", "nothing", "again", "is prom")
)
PROMOTION = "judged"  # the last step before what a promotion is made of
TIMED = 10  # tries after which an undisturbed run is timed
KILLED = -signal.SIGKILL
COMMAND = (sys.executable, "-m", "unlearn_cli", "batch", "run", "deletion.yaml", "--quiet")


@dataclass
class Scene:
    """A folder that is copied for every kill, and what an undisturbed run makes of it."""

    template: Path
    end: dict[str, Any]
    weights: dict[str, str]  # digest of the weights -> old or new
    whole: float  # seconds of the run, measured again from time to time: it depends on other work on the machine
    promotion: float  # seconds from the judgement to the end of the run


@dataclass(frozen=True)
class Kill:
    """What one kill left, and what the rerun made of it."""

    step: str
    current: str
    problems: tuple[str, ...]


def main() -> None:
    torch.set_num_threads(1)  # tiny tensors, and children of a process with threads would wait for them for ever
    os.environ["OMP_NUM_THREADS"] = "1"
    page.render = lambda *arguments: "<html></html>"  # most of the time would go into pictures
    moments, kills = random.Random(0), dict[str, list[Kill]]()
    with tempfile.TemporaryDirectory() as name:
        scenes = {how: scene for scene, hows in made_scenes(Path(name)) for how in hows}
        for how, count in KILLS.items():
            kills[how] = list(killed(scenes[how], how, count, moments, Path(name) / "project"))
            print(how, Counter((kill.current, kill.problems) for kill in kills[how]), file=sys.stderr, flush=True)
            write(kills, scenes)


def write(kills: dict[str, list[Kill]], scenes: dict[str, Scene]) -> None:
    head = Path(__file__).with_name("killed_table.md").read_text(encoding="utf-8")
    text = head + "\n".join(rows(kills)) + "\n\n" + "\n".join(where(kills)) + "\n\n" + durations(scenes) + "\n"
    write_result("killed.md", text)


def made_scenes(folder: Path) -> Iterator[tuple[Scene, list[str]]]:
    """Return the nights: one of a batch that has run before, so that there is a current checkpoint, and the first."""
    first = train(folder / "first")
    change(first, "methods: [finetune]", "methods: [neggrad, finetune]")
    change(first, "settings: {", "settings: {neggrad: {lr: 100.0}, ")
    nightly = Path(shutil.copytree(first, folder / "nightly"))
    assert batch(nightly).exit_code == 0  # nothing to do, but the first version has its place
    for place in (first, nightly):
        ask(place, "DSR-1", ids=["rec-1", "rec-2"])
        ask(place, "DSR-2", groups={"column": "person", "values": ["person-7"]})
        ask(place, "DSR-3", ids=["nobody"])
    copied(first, folder / "warm")
    assert batch(folder / "warm").exit_code == 5  # imports all that a run needs, so that the children need not
    yield undisturbed(nightly), [how for how in KILLS if how not in (FIRST, COLD)]
    yield undisturbed(first), [FIRST]
    yield undisturbed(nightly, cold=True), [COLD]


def undisturbed(template: Path, cold: bool = False) -> Scene:
    """Let the run end; return what it ends in."""
    folder = template.with_name("undisturbed")
    whole, promotion = from_nothing(template, folder) if cold else timed(template, folder)
    new = sha256(folder / "models" / "current" / "model.safetensors")
    weights = {sha256(template / "original" / "model.safetensors"): "old", new: "new"}
    return Scene(template, ended(folder), weights, whole, promotion)


def timed(template: Path, folder: Path) -> tuple[float, float]:
    """Return the seconds of an undisturbed run, and of its part after the judgement."""
    copied(template, folder)
    begun, child = time.monotonic(), fork(lambda: batch(folder).exit_code)
    reached = {step: moment for moment, step in child.steps()}
    assert child.wait() == 5  # one request is set aside
    now = time.monotonic()
    return now - begun, now - reached[PROMOTION]


def from_nothing(template: Path, folder: Path) -> tuple[float, float]:
    copied(template, folder)
    begun = time.monotonic()
    assert subprocess.run(COMMAND, cwd=folder, check=False, capture_output=True).returncode == 5
    return time.monotonic() - begun, 0.0


def copied(template: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder, symlinks=True)


def ended(folder: Path) -> dict[str, Any]:
    """Return what must be the same; of the forgotten, whether they are those that the requests name."""
    names = {"rec-1", "rec-2", *ids_of(folder, "person", "person-7")}
    key = keyed.read_key(folder / "ledger.key")
    with open_ledger(folder / "ledger.sqlite", create_missing=False) as ledger:
        forgotten = list(ledger.forgotten_digests())
    return {**final_state(folder), "forgotten": forgotten == sorted(keyed.digests(key, names))}


def killed(scene: Scene, how: str, count: int, moments: random.Random, folder: Path) -> Iterator[Kill]:
    """Kill as often as is wanted; a run that ended before its moment counts for nothing."""
    start = (lambda: cold(folder)) if how == COLD else (lambda: fork(lambda: batch(folder).exit_code))
    made = tried = 0
    while made < count:
        if tried % TIMED == 0 and how != COLD:
            scene.whole, scene.promotion = timed(scene.template, folder)
        tried += 1
        copied(scene.template, folder)
        steps = kill(start, scene, moments, dense=how == DENSE)
        if steps is None:
            continue
        current, problems = looked_at(folder, scene)
        if how == AGAIN:
            if kill(start, scene, moments, dense=False) is None:
                continue
            problems += looked_at(folder, scene)[1]
        made += 1
        yield Kill(steps[-1] if steps else "-", current, tuple(problems + rerun(start(), folder, scene)))


def cold(folder: Path) -> Child:
    """Start the command as cron does; it tells no steps."""
    process = subprocess.Popen(COMMAND, cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    return Child(process.pid, open(os.devnull, encoding="ascii"))


def kill(start: Callable[[], Child], scene: Scene, moments: random.Random, *, dense: bool) -> list[str] | None:
    """Kill a run at a random moment; return the steps that it had reported, None if it had ended."""
    child, steps = start(), list[str]()
    if dense:
        for _, step in child.steps():
            steps.append(step)
            if step == PROMOTION:
                break
    time.sleep(moments.uniform(0, scene.promotion if dense else scene.whole))
    child.kill()
    steps += [step for _, step in child.steps()]
    child.lines.close()
    return steps if child.wait() == KILLED else None


def looked_at(folder: Path, scene: Scene) -> tuple[str, list[str]]:
    """Load what is current after a kill and verify the ledger; return whether it is old or new, and what is wrong."""
    model = folder / "models" / "current" / "model.safetensors"
    current = "none"
    if model.exists():
        load_file(model)
        current = scene.weights.get(sha256(model), "another")
    problems = ["another checkpoint was current"] if current == "another" else []
    result = batch(folder, "verify")
    said_none = result.exit_code == 2 and "there is no ledger" in result.stderr
    return current, problems if result.exit_code == 0 or said_none else [*problems, f"verify: {result.output}"]


def rerun(child: Child, folder: Path, scene: Scene) -> list[str]:
    """Let the same command end, and return in what the end differs."""
    code = child.wait()
    child.lines.close()
    if code not in (0, 5):
        return [f"the rerun exited with {code}"]
    found = ended(folder)
    return [f"differs: {name}" for name in found if found[name] != scene.end[name]]


def rows(kills: dict[str, list[Kill]]) -> list[str]:
    found = []
    for how, made in {**kills, "**together**": [kill for some in kills.values() for kill in some]}.items():
        current, problems = Counter(kill.current for kill in made), Counter(p for kill in made for p in kill.problems)
        same = sum(not kill.problems for kill in made)
        wrong = "; ".join(f"{problem} ({count})" for problem, count in problems.items()) or "-"
        cells = [
            how,
            len(made),
            *(current[name] for name in ("old", "new", "none", "another")),
            f"{same}/{len(made)}",
            wrong,
        ]
        found.append(f"| {' | '.join(map(str, cells))} |")
    return found


def where(kills: dict[str, list[Kill]]) -> list[str]:
    """Return how many kills came between which steps."""
    counts = Counter(kill.step for how, made in kills.items() if how != COLD for kill in made)
    return [
        "| last step before the kill | kills |",
        "|---|---|",
        *(f"| {name} | {n} |" for name, n in counts.most_common()),
    ]


def durations(scenes: dict[str, Scene]) -> str:
    usual, cold = scenes[DENSE], scenes[COLD]
    return (f"Undisturbed: {usual.whole:.2f} s a run, of which {usual.promotion:.2f} s after the judgement; "
            f"{cold.whole:.1f} s started from nothing, pictures included.")  # fmt: skip


if __name__ == "__main__":
    main()
