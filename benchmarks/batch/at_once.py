"""Do processes that start the same batch at the same moment get in each other's way? 8 of them, 50 rounds.

python -m benchmarks.batch.at_once

Every round drops a new request, and lets children of one process, which wait at the same gate, run the command. Writes
results/at_once.md: how many worked, how many exited 75, and whether anything was done twice.
"""

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

from benchmarks.batch.forked import fork
from benchmarks.output import write_result
from tests.batch.tiny import ask, batch, ids_of, ledger_of, train
from unlearn_cli.batch.ledger.store import open_ledger
from unlearn_cli.reporting import html as page

ROUNDS, PROCESSES = 50, 8


def main() -> None:
    torch.set_num_threads(1)  # a child of a process with threads would wait for them for ever
    page.render = lambda *arguments: "<html></html>"  # most of the time would go into pictures
    with tempfile.TemporaryDirectory() as name:
        folder = train(Path(name) / "project")
        assert batch(folder).exit_code == 0  # imports all that a run needs, so that the children are at work at once
        names = [record for digit in "012" for record in ids_of(folder, "digit", digit)][:ROUNDS]
        rounds = []
        for number, record in enumerate(names, start=1):
            ask(folder, f"DSR-{number}", ids=[record])
            rounds.append(one_round(folder, number))
            print(number, rounds[-1], file=sys.stderr, flush=True)
        last = batch(folder, "verify")
        text = Path(__file__).with_name("at_once_table.md").read_text(encoding="utf-8") + "\n".join(rows(rounds)) + "\n"
        text += f"\nAfter the last round `batch verify` exited with {last.exit_code}: {last.stdout}"
    write_result("at_once.md", text)
    print(text)


def one_round(folder: Path, number: int) -> tuple[str, str]:
    """Let all start at once; return their exit codes, and what is wrong with what the ledger says afterwards."""
    gate = os.pipe()

    def work() -> int:
        return batch(folder).exit_code

    children = [fork(work, gate=gate) for _ in range(PROCESSES)]
    for end in gate:
        os.close(end)
    codes = Counter(child.wait() for child in children)
    for child in children:
        child.lines.close()
    told = ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))
    return told, "; ".join(wrong(folder, number)) or "-"


def wrong(folder: Path, number: int) -> list[str]:
    """Return what is not as after so many runs, one after another, over one record each."""
    events = ledger_of(folder)
    done = Counter(event.request for event in events if event.kind == "done")
    kinds = Counter(event.kind for event in events)
    with open_ledger(folder / "ledger.sqlite", create_missing=False) as ledger:
        forgotten = sum(1 for _ in ledger.forgotten_digests())
    expected = {f"DSR-{position}": 1 for position in range(1, number + 1)}
    found = {
        "requests are not done once each": done != expected,
        "there are more runs than requests": {kinds["run_started"], kinds["promoted"], kinds["received"]} != {number},
        "the forgotten records are others": forgotten != number,
        "the pointer is elsewhere": os.readlink(folder / "models" / "current") != f"v{number:04}",
    }
    return [what for what, is_so in found.items() if is_so]


def rows(rounds: list[tuple[str, str]]) -> list[str]:
    """Return how many rounds ended in the same way."""
    return [f"| {codes} | {what} | {count} |" for (codes, what), count in Counter(rounds).most_common()]


if __name__ == "__main__":
    main()
