"""Do 1 and 2 processes agree, method by method? Digits, fp32, CPU (gloo).

python -m benchmarks.engine.processes

Each method runs in 1 process, in 2 replicas, and in 2 processes that share the weights (`--shard`): with LeNet-5, which
has no batch norm, and with the demo's network, once with batch norm frozen and once in batch mode. What two processes
do to the sums of a batch is done in one process, too: the halves of each batch go through the network one after the
other. Writes results/processes.md: the largest difference of a weight, of a metric, and the wall time of the method.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from benchmarks.cache import HERE
from benchmarks.output import write_result
from unlearn_cli.plugins import discovery, plugin

# few steps: rounding grows exponentially with them
SETTINGS = {
    "unsir": ("impair_steps=4", "repair_steps=8", "noise_steps=5", "impair_lr=0.001"),
    "bad_teacher": ("impair_steps=5", "repair_steps=5"), "amnesiac": ("impair_steps=5", "repair_steps=5"),
    "neggrad": ("steps=8",), "fisher": ("max_records=200", "alpha=0.00001"), "finetune": ("epochs=1",),
    "blindspot": ("blindspot_epochs=1", "student_epochs=1"),
    "gaussian_amnesiac": ("impair_epochs=1", "repair_epochs=1"),
    "gkt": ("cycles=3",), "emmn": ("noise_steps=5", "impair_steps=5", "rounds=1"), "retrain": ("epochs=1",),
}  # fmt: skip
NETWORKS = {  # name -> manifest, batch norm
    "LeNet-5": ("manifests/digits_class.yaml", ""), "perceptron": ("../sample_configs/regression.yaml", ""),
    "batch norm frozen": ("manifests/digits_allcnn.yaml", "frozen"),
    "batch norm in batch mode": ("manifests/digits_allcnn.yaml", "batch"),
}  # fmt: skip
Weights = dict[str, Any]


class Workers:
    """Processes that stay, so that torch is imported once, and run the same command together when they are asked to."""

    def __init__(self, size: int) -> None:
        line = [sys.executable, "-m", "benchmarks.engine.processes", "work"]
        self.processes = [
            subprocess.Popen(
                line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent,
                env={**os.environ, "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank),
                     "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"},
            ) for rank in range(size)
        ]  # fmt: skip

    def run(self, out: Path, *words: Any, halves: bool = False) -> tuple[Weights, dict[str, Any]]:
        """Run a command; return the weights and the report that it wrote."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        fixed = ("-o", out, "--json", "--quiet", "--precision", "fp32", "--device", "cpu")
        for process in self.processes:
            assert process.stdin
            print(json.dumps([port, halves, *map(str, (*words, *fixed))]), file=process.stdin, flush=True)
        codes = [process.stdout.readline().strip() for process in self.processes if process.stdout]
        if set(codes) - {"0", "3"}:
            raise SystemExit(f"{' '.join(map(str, words))} ended with exit codes {codes}")
        return load_file(out / "model.safetensors"), json.loads((out / "report.json").read_text(encoding="utf-8"))

    def end(self) -> None:
        for process in self.processes:
            process.communicate()


def main() -> None:
    one, two = Workers(1), Workers(2)
    with tempfile.TemporaryDirectory() as name:
        rows = [row for network in NETWORKS for row in table(network, Path(name), one, two)]
    for workers in (one, two):
        workers.end()
    head = Path(__file__).with_name("processes_table.md").read_text(encoding="utf-8")
    write_result("processes.md", head + "\n".join(rows) + "\n")
    print("\n".join(rows))


def table(network: str, folder: Path, one: Workers, two: Workers) -> list[str]:
    """Compare every method that suits the network; return the rows."""
    source, batch_norm = NETWORKS[network]
    text = (HERE / source).read_text(encoding="utf-8").replace("CLASSES", "[3]")
    manifest, original = folder / Path(source).name, folder / Path(source).stem / "original"
    manifest.write_text(text, encoding="utf-8")
    if not original.exists():
        one.run(original, "train", "-m", manifest, "--set", "epochs=5")
    rows = []
    for method in discovery.entries("methods"):
        settings = settings_of(method, "regression" if "task: regression" in text else "classification", batch_norm)
        if settings is not None:
            flags = [word for setting in settings for word in ("--set", setting)]
            words = ["unlearn", original / "model.safetensors", "-m", manifest, "--method", method, *flags]
            rows.append(compare(network, method, words, folder / network / method, one, two))
    return rows


def settings_of(method: str, task: str, batch_norm: str) -> list[str] | None:
    """Return the settings; none where the method is for the other task, or does not let batch norm be frozen."""
    found = plugin.load("methods", method)
    has_batch_norm = "batch_norm" in found.settings.model_fields
    if task not in found.tasks or (batch_norm == "frozen" and not has_batch_norm):
        return None
    return [*SETTINGS[method], *([f"batch_norm={batch_norm}"] if batch_norm and has_batch_norm else [])]


def compare(network: str, method: str, words: list[Any], folder: Path, one: Workers, two: Workers) -> str:
    """Run a method in 1 and 2 processes, with shards, and in 1 process by halves; return the row."""
    plain, report = one.run(folder / "one", *words)
    replicas, sharded = two.run(folder / "two", *words), two.run(folder / "sharded", *words, "--shard")
    cells = [network, method]
    for weights, other in (replicas, sharded):
        cells += [f"{difference(plain, weights):.1e}", f"{metric_difference(report, other):.1e}"]
    if network == "batch norm in batch mode":  # halves would move its statistics twice
        cells += ["", ""]
    else:
        halves, _ = one.run(folder / "halves", *words, halves=True)
        cells += [f"{difference(plain, halves):.1e}", f"{difference(halves, replicas[0]):.1e}"]
    cells += [f"{found['run']['seconds']['unlearn']:.2f}" for found in (report, replicas[1], sharded[1])]
    print(cells, file=sys.stderr, flush=True)
    return f"| {' | '.join(cells)} |"


def difference(one: Weights, other: Weights) -> float:
    """Return the largest difference of a weight or buffer."""
    return max(float((one[key].double() - other[key].double()).abs().max()) for key in one)


def metric_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the largest difference of an accuracy, a loss or a mean absolute error of the unlearned network."""
    measured, compared = one["metrics"]["subject"], other["metrics"]["subject"]
    return max(abs(measured[split][name]["value"] - compared[split][name]["value"])
               for split in measured for name in measured[split] if name in ("accuracy", "loss", "mae"))  # fmt: skip


def work() -> None:
    """Be a process of `Workers`: run the command of each line of stdin, and tell its exit code."""
    from benchmarks.engine.halves import in_halves
    from unlearn_cli.cli.app import app

    for line in sys.stdin:
        port, halves, *words = json.loads(line)
        os.environ["MASTER_PORT"] = str(port)
        with redirect_stdout(StringIO()), in_halves(halves):
            code = app(words, standalone_mode=False) or 0
        print(code, flush=True)


if __name__ == "__main__":
    work() if "work" in sys.argv else main()
