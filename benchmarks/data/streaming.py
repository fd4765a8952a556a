"""Does the cost grow linearly with the data, and the memory not at all? Samples streamed from a file.

python -m benchmarks.data.streaming

10^4, 10^5 and 10^6 synthetic samples of 256 numbers in a safetensors file, a memory budget of 1 MiB, so that all are
streamed: `evaluate` and one epoch of `finetune` with a perceptron. Writes results/streaming.md: seconds, a sample, and
the highest anonymous memory of the process and its workers.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from benchmarks.engine.billion import children, proportional
from benchmarks.output import write_result

SIZES = (10**4, 10**5, 10**6)
MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp}
input: {shape: [256], scale: 1, mean: 128, std: 64}
data:
  train: {safetensors: SIZE.safetensors}
  test: {safetensors: test.safetensors}
forget: {fraction: {share: 0.01, seed: 0}}
"""


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        centers = np.random.default_rng(0).normal(size=(10, 256))
        for size in (2000, *SIZES):
            write(folder / ("test.safetensors" if size == 2000 else f"{size}.safetensors"), size, centers)
        for size in SIZES:
            (folder / f"{size}.yaml").write_text(MANIFEST.replace("SIZE", str(size)), encoding="utf-8")
        original = folder / "original"
        watch("train", "-m", folder / f"{SIZES[0]}.yaml", "-o", original, "--set", "epochs=3")
        for size in SIZES:
            words = [original / "model.safetensors", "-m", folder / f"{size}.yaml", "--memory-budget", "1"]
            rows.append(row("evaluate", size, *watch("evaluate", *words)))
            more = ["--method", "finetune", "--set", "epochs=1", "--no-evaluate", "-o", folder / f"out-{size}"]
            rows.append(row("finetune", size, *watch("unlearn", *words, *more)))
    head = Path(__file__).with_name("streaming_table.md").read_text(encoding="utf-8")
    write_result("streaming.md", head + "\n".join(sorted(rows)) + "\n")
    print("\n".join(sorted(rows)))


def write(path: Path, size: int, centers: np.ndarray) -> None:
    random = np.random.default_rng(size)
    labels = random.integers(0, 10, size)
    x = 128 + 30 * centers[labels] + 40 * random.normal(size=(size, 256)).astype(np.float32)
    save_file({"x": np.clip(x, 0, 255).astype(np.uint8), "y": labels}, path)


def watch(*words: Any) -> tuple[dict[str, Any], float, int]:
    """Run a command; return its report, its wall time, and the highest anonymous memory of it and its workers."""
    line = [sys.executable, "-m", "unlearn_cli", *map(str, words), "--json", "--quiet", "--device", "cpu"]
    begun, highest = time.monotonic(), 0
    with tempfile.TemporaryFile("w+") as out:
        command = subprocess.Popen(line, stdout=out)
        while command.poll() is None:
            highest = max(highest, sum(proportional(process) for process in (command.pid, *children(command.pid))))
            time.sleep(0.02)
        out.seek(0)
        if command.returncode not in (0, 3):
            raise SystemExit(f"{' '.join(line)} ended with exit code {command.returncode}")
        return json.loads(out.read()), time.monotonic() - begun, highest


def row(what: str, size: int, document: dict[str, Any], wall: float, highest: int) -> str:
    phase = "evaluate" if what == "evaluate" else "unlearn"
    seconds = document["run"]["seconds"][phase]
    assert document["environment"]["samples"].endswith("streamed")
    numbers = f"{wall:.1f} | {seconds:.2f} | {1e6 * seconds / size:.1f} | {highest / 2**20:.0f}"
    return f"| {what} | {size:,} | {numbers} |"


if __name__ == "__main__":
    main()
