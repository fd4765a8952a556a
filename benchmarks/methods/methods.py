"""Every method on every kind of task with default settings, compared with the original and retrained references.

python -m benchmarks.methods.methods [--device cuda] [task ...] [method ...]

Writes results/methods.md (methods_cuda.md) after each task; what was run before is not run again. With names of tasks
or methods it measures only their rows again. Two commands run at a time, each with one thread, so that seconds compare
within a task.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cache import HERE, manifest_text, report, run
from benchmarks.methods.method_rows import Measured, rows
from benchmarks.output import write_result
from unlearn_cli.plugins import discovery

SEEDS = (0, 1, 2)
BASELINES = ("finetune", "neggrad")
CLASSES = ("unsir", "bad_teacher", "amnesiac", *BASELINES, "fisher")
ZERO_SHOT = ("gkt", "emmn")
CIFAR_CLASSES = ("unsir", "bad_teacher", "amnesiac", "finetune")  # minutes a run
RECORDS = ("bad_teacher", "amnesiac", *BASELINES, "fisher")
REGRESSION = ("blindspot", "gaussian_amnesiac", "finetune")


def recipe(**settings: object) -> tuple[str, ...]:
    """Return the settings by which the original and the references of a task are trained."""
    return tuple(word for name, value in settings.items() for word in ("--set", f"{name}={value}"))


@dataclass(frozen=True)
class Task:
    """A manifest, how its networks are trained, and which methods it is a task for."""

    manifest: str
    training: tuple[str, ...]
    methods: tuple[str, ...]
    classes: list[int] = field(default_factory=list)
    references: tuple[int, ...] = SEEDS


CIFAR = recipe(epochs=15, optimizer="sgd", lr=0.1, weight_decay=0.0005)
TASKS = {
    "digits_class": Task("digits_class", recipe(epochs=20, lr=0.005), ZERO_SHOT),
    "fashion_class": Task("fashion_lenet5", recipe(epochs=10), (*CLASSES, *ZERO_SHOT), [0]),
    "cardiotocography": Task("cardiotocography", recipe(epochs=60, lr=0.005), RECORDS),
    "wisdm_persons": Task("wisdm_persons", recipe(epochs=20), RECORDS),
    "random_1": Task("random_1", recipe(epochs=15), RECORDS),
    "random_10": Task("random_10", recipe(epochs=15), RECORDS),
    "rotation_range": Task("rotation_range", recipe(epochs=20), REGRESSION),
    "housing_range": Task("housing_range", recipe(epochs=40, lr=0.005), REGRESSION),
    "housing_random": Task("housing_random", recipe(epochs=40, lr=0.005), REGRESSION),
    "stsb_scores": Task("stsb_scores", recipe(epochs=6, lr=0.005), REGRESSION),
    "beijing_month": Task("beijing_month", recipe(epochs=20), REGRESSION),
    "beijing_range": Task("beijing_range", recipe(epochs=20), REGRESSION),
    "cifar_subclass": Task("cifar_subclass", CIFAR, RECORDS),
    "cifar_class": Task(
        "cifar_resnet20", recipe(epochs=24, optimizer="sgd", lr=0.2, weight_decay=0.0005), CIFAR_CLASSES, [0], (0,)
    ),
    "cifar_two_classes": Task("cifar_two_classes", CIFAR, CIFAR_CLASSES[:3], references=(0,)),
}


def main(names: list[str]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    device = "cuda" if "cuda" in names else "cpu"
    path = HERE / "results" / ("methods_cuda.md" if device == "cuda" else "methods.md")
    head = Path(__file__).with_name("method_table.md").read_text(encoding="utf-8")
    chosen = [name for name in names if name in discovery.entries("methods")]
    for name in [name for name in names if name in TASKS] or TASKS:
        made = rows(name, measure(TASKS[name], chosen))
        known = path.read_text(encoding="utf-8").removeprefix(head).splitlines() if path.is_file() else []
        write_result(path.name, head + "\n".join(merged([row for row in known if row], made)) + "\n", device)
        print("\n".join(made), flush=True)


def merged(known: list[str], made: list[str]) -> list[str]:
    """Return the rows in the order of the tasks, with those that were made in place of those known of the same name."""
    found = {named(row): row for row in known}
    found.update({named(row): row for row in made})
    return [found[name] for task in TASKS for name in found if name[0] == task]


def named(row: str) -> tuple[str, str]:
    """Return task and method of a row."""
    task, method = (cell.strip() for cell in row.split("|")[1:3])
    return task, method


def measure(task: Task, chosen: list[str]) -> dict[str, list[Measured]]:
    """Run (or find) original, references and every method (or the chosen ones) with every seed; return the numbers."""
    original = train(task)
    jobs = [("retrain", seed, task.training) for seed in task.references]
    wanted = [method for method in task.methods if method in (chosen or task.methods)]
    jobs += [(method, seed, ()) for method in wanted for seed in SEEDS]
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda job: unlearn(task, original, *job), jobs))
    found = {"original": [measured(original)]}
    for (method, *_), folder in zip(jobs, folders, strict=True):
        found.setdefault(method, []).append(measured(folder))
    return found


def train(task: Task) -> Path:
    return run("train", manifest_text(task.manifest, task.classes), list(task.training))


def unlearn(task: Task, original: Path, method: str, seed: int, settings: tuple[str, ...]) -> Path:
    words = ["--method", method, "--seed", str(seed), *settings]
    return run("unlearn", manifest_text(task.manifest, task.classes), words, [original / "model.safetensors"])


def measured(folder: Path) -> Measured:
    document: dict[str, Any] = report(folder)
    seconds, cost = document["run"]["seconds"], document["cost"]
    spent = seconds.get("unlearn", seconds.get("train", 0.0))
    return Measured(folder, document["metrics"]["subject"], spent, cost["samples_forward"], cost["samples_backward"])


if __name__ == "__main__":
    main(sys.argv[1:])
