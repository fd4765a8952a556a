"""Does `unsir` with default settings hold on checkpoints it was not tuned for? Prints the table in results/unsir.md.

python benchmarks/unsir.py [digits_allcnn fashion_lenet5 cifar_resnet20]
"""

import statistics
import sys
from pathlib import Path

from benchmarks.cache import HERE, manifest_text, report, run

SEEDS = (0, 1, 2)
FORGOTTEN = ([0], [3], [6], [1, 8])
TRAINING = {
    "digits_allcnn": [],
    "fashion_lenet5": ["--set", "epochs=10"],
    "cifar_resnet20": [
        "--set", "epochs=24", "--set", "optimizer=sgd", "--set", "lr=0.2", "--set", "weight_decay=0.0005",
    ],
}  # fmt: skip
BAR_FORGET, BAR_DROP = 2.0, 3.0  # per cent, points

HEADER = """\
# `unsir` with default settings

Mean ± standard deviation over the seeds {seeds} of the unlearning run; accuracies in per cent. Bars: forgotten classes,
test images at most {forget:g} %; the other classes, test images at most {drop:g} points under the original.
n: test images of the forgotten + the other classes; rounds: how many there were, one number a seed; samples: those
that went backward through the network. Made by `python -m benchmarks.unsir`.

| checkpoint | forgotten | n | forget: test | train | others, test: before | after | drop | held | rounds | samples |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def main(names: list[str]) -> None:
    rows = [row for name in names or TRAINING for row in rows_of(name)]
    table = HEADER.format(seeds=SEEDS, forget=BAR_FORGET, drop=BAR_DROP) + "\n".join(rows) + "\n"
    Path(HERE / "results" / "unsir.md").write_text(table, encoding="utf-8")
    print(table)


def rows_of(name: str) -> list[str]:
    """Train the checkpoint (once) and unlearn each selection of classes with each seed."""
    original = run("train", manifest_text(name, [0]), TRAINING[name]) / "model.safetensors"
    return [row_of(name, original, classes) for classes in FORGOTTEN]


def row_of(name: str, original: Path, classes: list[int]) -> str:
    manifest, method = manifest_text(name, classes), ["--method", "unsir"]
    reports = [report(run("unlearn", manifest, [*method, "--seed", str(seed)], [original])) for seed in SEEDS]
    forget, forget_train, kept = (
        [100 * made["metrics"]["subject"][split]["accuracy"]["value"] for made in reports]
        for split in ("test_forget", "forget", "test_retain")
    )
    before = 100 * reports[0]["metrics"]["original"]["test_retain"]["accuracy"]["value"]
    drop = [before - value for value in kept]
    held = statistics.mean(forget) <= BAR_FORGET and statistics.mean(drop) <= BAR_DROP
    rounds = [sum(curve["phase"].startswith("impair") for curve in made["curves"]) for made in reports]
    samples = statistics.mean(made["cost"]["samples_backward"] for made in reports)
    n = [reports[0]["metrics"]["subject"][split]["accuracy"]["n"] for split in ("test_forget", "test_retain")]
    cells = [
        name, ", ".join(map(str, classes)), f"{n[0]} + {n[1]}", spread(forget), spread(forget_train), f"{before:.1f}",
        spread(kept), spread(drop), "yes" if held else "**no**", ", ".join(map(str, rounds)), f"{samples:.0f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


if __name__ == "__main__":
    main(sys.argv[1:])
