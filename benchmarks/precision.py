"""Does bf16 change what unlearning ends in by more than another seed does?

python -m benchmarks.precision

Each method three times over (seeds) in fp32 and in bf16 from one original; predictions are made in fp32 in both. Writes
results/precision.md: means and standard deviations over the seeds, and the difference of the means in units of the
larger of them.
"""

import statistics
import sys

from benchmarks.cache import HERE, manifest_text, report, run
from benchmarks.methods import TASKS

SEEDS = (0, 1, 2)
METHODS = ("unsir", "bad_teacher", "amnesiac", "finetune")
SPLITS = ("test_forget", "test_retain")


def main() -> None:
    rows = [row(task, method, split) for task in ("fashion_class", "cifar_class") for method in METHODS
            for split in SPLITS]  # fmt: skip
    head = (HERE / "precision_table.md").read_text(encoding="utf-8")
    (HERE / "results" / "precision.md").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    print("\n".join(rows))


def row(task: str, method: str, split: str) -> str:
    full, low = (accuracies(task, method, split, precision) for precision in ("fp32", "bf16"))
    spread = max(statistics.stdev(full), statistics.stdev(low))
    change = statistics.mean(low) - statistics.mean(full)
    units = f"{abs(change) / spread:.1f}" if spread else "0.0" if not change else "no spread"
    cells = [f"{statistics.mean(found):.2f} ± {statistics.stdev(found):.2f}" for found in (full, low)]
    print(task, method, split, full, low, file=sys.stderr, flush=True)
    return f"| {task} | {method} | {split} | {' | '.join(cells)} | {change:+.2f} | {units} |"


def accuracies(task: str, method: str, split: str, precision: str) -> list[float]:
    """Return the accuracies of the seeds, in per cent."""
    text = manifest_text(TASKS[task].manifest, TASKS[task].classes)
    original = run("train", text, list(TASKS[task].training)) / "model.safetensors"
    found = []
    for seed in SEEDS:
        # `--precision bf16` would make predictions in bf16, too; what `auto` chooses is bf16 where it is fast.
        words = ["--method", method, "--seed", str(seed), "--precision", "fp32" if precision == "fp32" else "auto"]
        document = report(run("unlearn", text, words, [original]))
        if document["environment"]["precision"] != {"fp32": "float32", "bf16": "bfloat16"}[precision]:
            raise SystemExit("this device does not compute in bf16 by itself; there is nothing to compare")
        found.append(100 * document["metrics"]["subject"][split]["accuracy"]["value"])
    return found


if __name__ == "__main__":
    main()
