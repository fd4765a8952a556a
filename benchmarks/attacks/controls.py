"""Do the tiers tell right from wrong on real data? The original must fail, a fresh retrain must not.

python -m benchmarks.attacks.controls [task ...]

Trains an original, references and one more of these a task (the fresh retrain that is judged), unlearns with several
methods, and judges each by the tiers quick and standard with the references. Writes results/controls.md. Trained
and unlearned checkpoints are kept by digest (see cache.py); the attacks are run again every time.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cache import CACHE, manifest_text, run
from benchmarks.methods.tasks import recipe
from benchmarks.output import write_result

FASHION = recipe(epochs=10)
CIFAR = recipe(epochs=12, optimizer="sgd", lr=0.2, weight_decay=0.0005)
SHORT = ("relearn.max_steps=10", "relearn.repeats=1")
RECORDS = ("bad_teacher", "amnesiac", "finetune", "neggrad")


@dataclass(frozen=True)
class Task:
    """A manifest, the classes that it forgets (none: what it says itself), a recipe, and the methods to judge."""

    manifest: str
    classes: list[int]
    recipe: tuple[str, ...]
    methods: tuple[str, ...]
    references: int = 8
    settings: tuple[str, ...] = ()  # of the attacks


TASKS = {
    "fashion_class": Task("fashion_lenet5", [0], FASHION, ("unsir", *RECORDS, "fisher")),
    "fashion_random": Task("fashion_random", [], FASHION, RECORDS),
    "cifar_memorised": Task("cifar_memorised", [], recipe(epochs=40), RECORDS),
    # minutes an attack on two cores, so half the references and hardly any relearning
    "cifar_class": Task("cifar_resnet20", [0], CIFAR, ("unsir", *RECORDS), 4, SHORT),
    "cifar_random": Task("cifar_random", [], CIFAR, RECORDS, 4, SHORT),
}
NUMBERS = {  # column -> attack or probe, quantity
    "AUC": ("population", None), "mean z": ("retrain_z", "mean_z"), "AUC of abs z": ("retrain_z", "auc_abs_z"),
    "probe": ("linear_probe", "recall_forgotten"), "RMIA": ("rmia", None),
}  # fmt: skip


def main(names: list[str]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    lines: list[str] = []
    for name in names or TASKS:
        lines += table(name, TASKS[name])
        text = Path(__file__).with_name("controls_table.md").read_text(encoding="utf-8") + "\n".join(lines) + "\n"
        if not names:
            write_result("controls.md", text)
    print("\n".join(lines))


def train(task: Task, split: str, seed: int) -> Path:
    words = [*task.recipe, "--split", split, "--seed", str(seed)]
    return run("train", manifest_text(task.manifest, task.classes), words)


def made(task: Task) -> tuple[Path, list[Path], dict[str, Path]]:
    """Return the original, the references, and what is judged by name."""
    with ThreadPoolExecutor(2) as pool:
        # seeds 1, 2, ...; the fifth is the fresh retrain that is judged, together with the others
        jobs = [("train", 0), *(("retain", seed) for seed in range(1, task.references + 2))]
        original, *references = pool.map(lambda job: train(task, *job), jobs)
        text, model = manifest_text(task.manifest, task.classes), [original / "model.safetensors"]
        unlearned = pool.map(lambda method: run("unlearn", text, ["--method", method], model), task.methods)
        subjects = dict(zip(task.methods, unlearned, strict=True))
    fresh = references.pop(4)
    return original, references, {"original": original, "fresh retrain": fresh, **subjects}


def table(name: str, task: Task) -> list[str]:
    """Judge everything of a task; return the rows of the table."""
    original, references, subjects = made(task)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda what: row(name, what, subjects[what], original, references), subjects))


def row(name: str, what: str, folder: Path, original: Path, references: list[Path]) -> str:
    """Judge one checkpoint by both tiers."""
    quick = attack(folder, original, [], "quick")
    settings = [word for setting in TASKS[name].settings for word in ("--set", setting)]
    standard = attack(folder, original, references, "standard", settings)
    numbers = [number(standard, *of) for of in NUMBERS.values()]
    accuracy = [correct(standard, split) for split in ("forget", "test_forget")]
    seconds = sum(value for phase, value in quick["run"]["seconds"].items())
    cells = [what, *accuracy, *numbers, quick["verdict"], standard["verdict"], failed(standard), f"{seconds:.1f}"]
    return f"| {name} | {' | '.join(cells)} |"


def attack(folder: Path, original: Path, references: list[Path], tier: str, settings: list[str] = []) -> dict[str, Any]:
    """Run one tier and return its report."""
    words = ["attack", str(folder / "model.safetensors"), "--manifest", str(CACHE / f"{original.name}.yaml"),
             "--original", str(original / "model.safetensors"), "--tier", tier, "--json", "--quiet"]  # fmt: skip
    words += settings
    for reference in references:
        words += ["--reference", str(reference / "model.safetensors")]
    done = subprocess.run([sys.executable, "-m", "unlearn_cli", *words], check=False, capture_output=True, text=True)
    if done.returncode not in (0, 3, 4):
        raise SystemExit(f"attack on {folder} ended with exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def number(document: dict[str, Any], name: str, quantity: str | None) -> str:
    """Return the AUC of an attack, or a quantity of a probe, on the subject."""
    if quantity is None:
        found = [block["auc"] for block in document["attacks"] if (block["name"], block["role"]) == (name, "subject")]
    else:
        probes = [one for one in document["findings"] if (one["name"], one["role"]) == (name, "subject")]
        found = [one["quantities"][quantity] for one in probes]
    return f"{found[0]['value']:.2f}" if found and found[0]["value"] is not None else ""


def correct(document: dict[str, Any], split: str) -> str:
    """Return the share of a split's records that the subject puts into their own class, if classes are forgotten."""
    forgotten = document["manifest"]["forget_classes"]
    found = [one for one in document["confusions"] if (one["split"], one["role"]) == (split, "subject")]
    if not found or not forgotten:
        return ""
    return f"{100 * sum(found[0]['counts'].get(name, 0) for name in forgotten) / found[0]['n']:.1f}"


def failed(document: dict[str, Any]) -> str:
    """Name the gates that the subject failed, or the first reason for another verdict."""
    judged = [gate for gate in document["gates"] if gate["role"] == "subject"]
    names = [gate["condition"] for gate in judged if gate["verdict"] == "failed"]
    reasons = document["judgement"]["reasons"]
    return ("; ".join(names) or (reasons[0] if reasons else "")).replace("|", "\\|")


if __name__ == "__main__":
    main(sys.argv[1:])
