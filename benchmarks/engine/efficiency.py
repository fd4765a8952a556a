"""What a second process brings: one process with one and with two threads, two processes with one each. CPU, gloo.

python -m benchmarks.engine.efficiency

Training a ResNet-18 (CIFAR stem) on CIFAR-10, SGD with momentum, batches of 128 in all. The four ways are running all
the time and take turns, round after round, so that what else the machine does meets them alike. Writes
results/efficiency.md: samples a second, their ratio to one process with one thread, and CPU time a sample.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.cache import DATA, HERE, manifest_text
from benchmarks.output import write_result
from unlearn_cli.plugins.run_options import Precision, RunOptions

BATCH, STEPS, ROUNDS = 128, 2, 7


class Way(NamedTuple):
    """So many processes with so many threads each."""

    name: str
    processes: int
    threads: int
    shard: bool = False


WAYS = [
    Way("1 process, 1 thread", 1, 1), Way("1 process, 2 threads", 1, 2), Way("2 processes, replicas", 2, 1),
    Way("2 processes, `--shard`", 2, 1, shard=True),
]  # fmt: skip


class Round(NamedTuple):
    """How long some steps took: seconds on the clock, and of all processes on their cores."""

    wall: float
    cpu: float


class Group:
    """The processes of one way, which work when they are asked to."""

    def __init__(self, way: Way, manifest: Path, precision: Precision) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        line = [
            sys.executable,
            "-m",
            "benchmarks.engine.efficiency",
            str(manifest),
            precision,
            *(["shard"] * way.shard),
        ]
        self.workers = [
            subprocess.Popen(
                line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent,
                env={**os.environ, **place, "OMP_NUM_THREADS": str(way.threads), "RANK": str(rank),
                     "LOCAL_RANK": str(rank), "WORLD_SIZE": str(way.processes),
                     "LOCAL_WORLD_SIZE": str(way.processes)},
            ) for rank in range(way.processes)
        ]  # fmt: skip
        self.answers()  # the first steps are made

    def answers(self) -> list[Round]:
        lines = [worker.stdout.readline() for worker in self.workers if worker.stdout]
        if "" in lines:
            raise SystemExit("one of the processes has ended; it said why")
        return [Round(*json.loads(line)) for line in lines]

    def run(self) -> Round:
        for worker in self.workers:
            assert worker.stdin
            print(STEPS, file=worker.stdin, flush=True)
        found = self.answers()
        return Round(max(one.wall for one in found), sum(one.cpu for one in found))

    def end(self) -> None:
        for worker in self.workers:
            worker.communicate()


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        manifest = Path(name) / "manifest.yaml"
        text = manifest_text("cifar_resnet18", [0]).replace("DATA", str(DATA.resolve()))
        manifest.write_text(text, encoding="utf-8")
        precisions: tuple[Precision, ...] = ("fp32", "bf16")
        for precision in precisions:
            rows += compared(manifest, precision)
    head = Path(__file__).with_name("efficiency_table.md").read_text(encoding="utf-8")
    write_result("efficiency.md", head + "\n".join(rows) + "\n")
    print("\n".join(rows))


def compared(manifest: Path, precision: Precision) -> list[str]:
    """Let the four ways take turns; return the rows."""
    groups = [Group(way, manifest, precision) for way in WAYS]
    rounds = [[group.run() for group in groups] for _ in range(ROUNDS)]
    for group in groups:
        group.end()
    rows = []
    for number, way in enumerate(WAYS):
        own, base = [one[number] for one in rounds], [one[0] for one in rounds]
        ratios = sorted(first.wall / second.wall for first, second in zip(base, own, strict=True))
        speed = STEPS * BATCH / statistics.median(one.wall for one in own)
        cpu = 1000 * statistics.median(one.cpu for one in own) / (STEPS * BATCH)
        middle = f"{statistics.median(ratios):.2f} [{ratios[1]:.2f}, {ratios[-2]:.2f}]"
        rows.append(f"| {precision} | {way.name} | {speed:.0f} | {middle} | {cpu:.1f} |")
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def work(manifest: str, precision: Precision, shard: bool) -> None:
    """Be one process of a group: train for as many steps as each line of stdin says, and tell how long it took."""
    from benchmarks.engine.engine import ours, train_loop
    from unlearn_cli.commands.manifest_inputs import open_inputs
    from unlearn_cli.evaluation.session import start
    from unlearn_cli.runtime.processes import barrier

    common = RunOptions(device="cpu", precision=precision, shard=shard, batch_size=BATCH)
    with start(open_inputs(Path(manifest), common)) as session:
        loop = train_loop(session.fresh("fresh"), ours(session, True), session.run.autocast)
        loop(1)
        print("[0, 0]", flush=True)
        for line in sys.stdin:
            barrier()
            wall, cpu = time.perf_counter(), time.process_time()
            loop(int(line))
            print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], "bf16" if sys.argv[2] == "bf16" else "fp32", "shard" in sys.argv)
    else:
        main()
