"""Is anything lost, or done twice, when a deletion batch is killed at any moment, or started eight times at once?

python -m benchmarks.killed [rounds]

Real SIGKILLs at random moments (seed 0) of a batch over three requests on handwritten digits: two methods, of which the
first fails; then the same command again. And eight processes that start the same batch at the same time. Writes
results/killed.md. The pages of reports are left out, since most of the moments would fall into their drawing.
"""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from benchmarks.cache import HERE
from tests.batch.killing import ended, final_state, started
from tests.batch.tiny import ask, batch, change, ledger_of, train
from unlearn_cli import checkpoint, page

ROUNDS, PROCESSES, STARTS = 200, 8, 50


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    torch.set_num_threads(1)
    page.render = lambda *arguments: "<html></html>"
    with tempfile.TemporaryDirectory() as name:
        template = prepared(Path(name) / "template")
        undisturbed = copied(template, Path(name) / "undisturbed")
        begun = time.monotonic()
        batch(undisturbed)
        seconds = time.monotonic() - begun
        rows = [
            killed(template, final_state(undisturbed), seconds, rounds),
            at_once(template, rounds * STARTS // ROUNDS),
        ]
    head = (HERE / "killed_table.md").read_text(encoding="utf-8")
    (HERE / "results" / "killed.md").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    print("\n".join(rows))


def prepared(folder: Path) -> Path:
    train(folder)
    change(folder, "methods: [finetune]", "methods: [neggrad, finetune]")
    change(folder, "settings: {", "settings: {neggrad: {lr: 100.0}, ")
    ask(folder, "DSR-1", ids=["rec-1", "rec-2"])
    ask(folder, "DSR-2", groups={"column": "person", "values": ["person-7"]})
    ask(folder, "DSR-3", ids=["nobody"])
    return folder


def copied(template: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(template, folder))


def killed(template: Path, undisturbed: dict[str, Any], seconds: float, rounds: int) -> str:
    """Kill a batch at a random moment, as often as asked for, and look at what is there before and after the rerun."""
    drawn, found, stages = random.Random(0), Counter[str](), Counter[str]()
    while found["killed"] < rounds:
        folder = copied(template, template.parent / "killed")
        child = started(lambda folder=folder: batch(folder).exit_code)
        time.sleep(drawn.uniform(0, 1.1 * seconds))
        os.kill(child, signal.SIGKILL)
        if ended(child) != -signal.SIGKILL:
            continue  # it was faster
        found["killed"] += 1
        stages[last_event(folder)] += 1
        found["broken"] += not is_old_or_new(folder, undisturbed)
        batch(folder)
        after = final_state(folder)
        found["lost"] += len(undisturbed["done"].keys() - after["done"].keys())
        found["twice"] += sum(count > 1 for count in after["done"].values())
        found["findings"] += bool(after["findings"])
        found["different"] += after != undisturbed
    where = ", ".join(f"{kind} {count}" for kind, count in stages.most_common())
    print(f"killed after the event: {where}")
    numbers = " | ".join(str(found[name]) for name in ("broken", "lost", "twice", "findings", "different"))
    return f"| SIGKILL, then the same command | {rounds} | {numbers} | killed after: {where} |"


def last_event(folder: Path) -> str:
    """Return the last event that the ledger had when the process was killed."""
    events = ledger_of(folder) if (folder / "ledger.sqlite").exists() else []
    return events[-1].kind if events else "none"


def is_old_or_new(folder: Path, undisturbed: dict[str, Any]) -> bool:
    """Say whether `current` is a whole checkpoint, the one before or the one after, or is not there yet."""
    path = folder / "models" / "current" / "model.safetensors"
    return not path.exists() or checkpoint.load(path).file_sha256 in undisturbed["weights"].values()


def at_once(template: Path, rounds: int) -> str:
    """Start a batch several times at the same time."""
    codes, wrong = Counter[int](), Counter[str]()
    for _ in range(rounds):
        folder = copied(template, template.parent / "at-once")
        codes.update(together(folder))
        done = Counter(event.request for event in ledger_of(folder) if event.kind == "done")
        runs = [event for event in ledger_of(folder) if event.kind == "run_started"]
        wrong["twice"] += sum(count > 1 for count in done.values()) + len(runs) - 1
        wrong["lost"] += 2 - len(done)
        wrong["findings"] += bool(json.loads(batch(folder, "--verify", "--json").stdout)["findings"])
    ends = ", ".join(f"exit code {code}: {count}" for code, count in sorted(codes.items()))
    numbers = f"- | {wrong['lost']} | {wrong['twice']} | {wrong['findings']} | -"
    return f"| {PROCESSES} processes at once | {rounds} | {numbers} | {ends} |"


def together(folder: Path) -> list[int]:
    """Let several processes begin the same batch at one moment, and return their exit codes."""
    gate, opened = os.pipe()

    def wait_and_begin() -> int:
        os.read(gate, 1)
        return batch(folder).exit_code

    children = [started(wait_and_begin) for _ in range(PROCESSES)]
    os.write(opened, bytes(PROCESSES))
    codes = [ended(child) for child in children]
    os.close(gate)
    os.close(opened)
    return codes


if __name__ == "__main__":
    main()
