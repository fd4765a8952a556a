"""Does bf16 change what unlearning ends in by more than another seed does?

python -m benchmarks.methods.precision [--device cuda] [fashion_class | cifar_class ...]

Each method three times over (seeds) in fp32 and in bf16 from one original; predictions are made in fp32 in both. Writes
results/precision.md (precision_cuda.md): means and standard deviations over the seeds, and the difference of the means
in units of the larger of them.
"""

import os
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.cache import report, run
from benchmarks.methods.tasks import TASKS
from benchmarks.output import write_result

SEEDS = (0, 1, 2)
METHODS = {
    "fashion_class": ("unsir", "bad_teacher", "amnesiac", "finetune"),
    "cifar_class": ("unsir", "bad_teacher", "amnesiac"),  # `finetune` takes five minutes a run there
}
SPLITS = ("test_forget", "test_retain")
TOGETHER = max(1, (os.cpu_count() or 1) // 2)  # runs; nothing is timed

Found = dict[tuple[str, str, int], dict[str, float]]  # method, precision, seed: accuracy of each split


def main(words: list[str]) -> None:
    rows = []
    for task in [word for word in words if word in METHODS] or METHODS:
        found = measured(task)
        rows += [row(task, method, split, found) for method in METHODS[task] for split in SPLITS]
    head = Path(__file__).with_name("precision_table.md").read_text(encoding="utf-8")
    name = "precision_cuda.md" if "cuda" in words else "precision.md"
    write_result(name, head + "\n".join(rows) + "\n", "cuda" if "cuda" in words else "cpu")
    print("\n".join(rows))


def measured(task: str) -> Found:
    """Run every method with both precisions and all seeds."""
    runs = [(method, precision, seed) for method in METHODS[task] for precision in ("fp32", "bf16") for seed in SEEDS]
    original(task)
    with ThreadPoolExecutor(TOGETHER) as pool:
        return dict(zip(runs, pool.map(lambda one: accuracies(task, *one), runs), strict=True))


def row(task: str, method: str, split: str, found: Found) -> str:
    full, low = ([found[method, precision, seed][split] for seed in SEEDS] for precision in ("fp32", "bf16"))
    spread = max(statistics.stdev(full), statistics.stdev(low))
    change = statistics.mean(low) - statistics.mean(full)
    units = f"{abs(change) / spread:.1f}" if spread else "0.0" if not change else "no spread"
    cells = [f"{statistics.mean(own):.2f} ± {statistics.stdev(own):.2f}" for own in (full, low)]
    return f"| {task} | {method} | {split} | {' | '.join(cells)} | {change:+.2f} | {units} |"


def original(task: str) -> Path:
    return run("train", TASKS[task].text, list(TASKS[task].training)) / "model.safetensors"


def accuracies(task: str, method: str, precision: str, seed: int) -> dict[str, float]:
    """Return the accuracies of a run on the splits, in per cent."""
    # `--precision bf16` would make predictions in bf16, too; what `auto` chooses is bf16 where it is fast.
    words = ["--method", method, "--seed", str(seed), "--precision", "fp32" if precision == "fp32" else "auto"]
    document = report(run("unlearn", TASKS[task].text, words, [original(task)]))
    if document["environment"]["precision"] != {"fp32": "float32", "bf16": "bfloat16"}[precision]:
        raise SystemExit("this device does not compute in bf16 by itself; there is nothing to compare")
    found = document["metrics"]["subject"]
    return {split: 100 * found[split]["accuracy"]["value"] for split in SPLITS}


if __name__ == "__main__":
    main(sys.argv[1:])
