"""The tasks of the calibration: what is forgotten, the recipe of the references, other recipes, and the networks.

python -m benchmarks.attacks.calibration_tasks [task ...]

Trains the networks of the pool. They are kept outside the repository (see cache.py), so an interrupted run continues.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cache import HERE, run

KEPT = (0.1, 0.3, 0.5)  # shares of the forgotten records that a subject was trained on
Recipe = dict[str, str]


@dataclass(frozen=True)
class Task:
    """A manifest, what it forgets, the recipe of the references, and the other recipes."""

    manifest: str
    forget: str  # SHARE stands for the share of train that is forgotten
    recipe: Recipe
    recipes: dict[str, Recipe]
    share: float = 0.0  # 0: what is forgotten is not a random share of train
    num_references: int = 10
    num_subjects: int = 3  # per recipe
    methods: tuple[tuple[str, ...], ...] = field(default=())
    about: str = ""

    def text(self, kept: float = 0.0) -> str:
        """Return the manifest; a network that kept a share of the forgotten records has fewer of them to forget."""
        text = (HERE / "manifests" / f"{self.manifest}.yaml").read_text(encoding="utf-8")
        share = f"{round(self.share * (1 - kept), 3):g}"
        return text.replace("FORGET", self.forget.replace("SHARE", share))

    def train(self, seed: int, recipe: Recipe = {}, *, kept: float = 0.0) -> Path:
        """Train on retain and a share of the forgotten records."""
        settings = {**self.recipe, **recipe}
        batch, split = settings.pop("batch_size"), "train" if kept == 1 else "retain"
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        fixed = ["--batch-size", batch, "--split", split, "--seed", str(seed), "--device", "cpu", "--precision", "fp32"]
        return run("train", self.text(0.0 if kept == 1 else kept), [*fixed, *words])

    def unlearn(self, method: str, seed: int, *settings: str) -> Path:
        """Unlearn with the first original."""
        words = [word for setting in settings for word in ("--set", setting)]
        fixed = ["--method", method, "--seed", str(seed), "--device", "cpu", "--precision", "fp32"]
        return run("unlearn", self.text(), [*fixed, *words], [self.original() / "model.safetensors"])

    def original(self, number: int = 0) -> Path:
        return self.train(200 + number, kept=1)


def vary(epochs: int, lr: float, sgd_lr: float = 0.05) -> dict[str, Recipe]:
    """Return the other recipes of a network that is trained with Adam in batches of 128."""
    return {
        "twice the epochs": {"epochs": str(2 * epochs)},
        "1.5 times the epochs": {"epochs": str(epochs * 3 // 2)},
        "two thirds of the epochs": {"epochs": str(epochs * 2 // 3)},
        "half the learning rate": {"lr": f"{lr / 2:g}"},
        "twice the learning rate": {"lr": f"{lr * 2:g}"},
        "batches of 64": {"batch_size": "64"},
        "batches of 256": {"batch_size": "256"},
        "SGD": {"optimizer": "sgd", "lr": f"{sgd_lr:g}"},
        "constant rate": {"schedule": "constant"},
        "weight decay": {"weight_decay": "0.01"},
    }


def adam(epochs: int, lr: float = 0.002) -> Recipe:
    return {"epochs": str(epochs), "lr": f"{lr:g}", "batch_size": "128"}


RANDOM = "{fraction: {share: SHARE, seed: 0}}"
PERSONS = "{groups: {column: user, values: [1, 8, 11, 19, 22, 26, 31, 36]}}"
CLASS_METHODS = (("unsir",), ("amnesiac",), ("bad_teacher",), ("finetune",))
CIFAR_RECIPES = {
    "40 epochs": {"epochs": "40"},
    **{
        name: recipe
        for name, recipe in vary(30, 0.002).items()
        if name in ("two thirds of the epochs", "half the learning rate", "batches of 64", "SGD", "constant rate")
    },
}
TASKS = {
    "fashion class": Task(
        "fashion_10k",
        "{classes: [Sandal]}",
        adam(10),
        vary(10, 0.002),
        num_references=12,
        methods=CLASS_METHODS,
        about="Fashion-MNIST, 10,000 images, LeNet-5, the class Sandal forgotten (1,018 images; 1,000 in test).",
    ),
    "digits class": Task(
        "digits_mlp",
        "{classes: [3]}",
        adam(30),
        vary(30, 0.002),
        methods=CLASS_METHODS,
        about="Handwritten digits, perceptron, the class 3 forgotten (146 images; 37 in test): too few to decide.",
    ),
    "pendigits": Task(
        "pendigits_random",
        RANDOM,
        adam(30),
        vary(30, 0.002),
        share=0.2,
        num_references=12,
        methods=(("finetune",),),
        about="Pen-based digits, perceptron, which hardly memorises them; a random fifth forgotten (1,199 of 5,995).",
    ),
    "digits": Task(
        "digits_mlp",
        RANDOM,
        adam(30),
        vary(30, 0.002),
        share=0.2,
        methods=(("finetune",),),
        about="Handwritten digits, perceptron, a random fifth forgotten (287 images): too few for a margin of 0.05.",
    ),
    "cifar": Task(
        "cifar_4000",
        RANDOM,
        adam(30),
        CIFAR_RECIPES,
        share=0.25,
        num_references=12,
        num_subjects=6,
        about="CIFAR-10, 4,000 images, LeNet-5, which memorises them; a random quarter forgotten (1,000 images).",
    ),
    "fashion": Task(
        "fashion_10k",
        RANDOM,
        adam(20),
        vary(20, 0.002),
        share=0.2,
        methods=(("finetune",),),
        about="Fashion-MNIST, 10,000 images, LeNet-5, a random fifth forgotten (2,000 images).",
    ),
    "persons": Task(
        "wisdm",
        PERSONS,
        adam(40),
        vary(40, 0.002),
        about="WISDM, perceptron; 8 of 20 never-seen persons count as forgotten, drawn anew in each repetition.",
    ),
}


def list_subjects(task: Task) -> Iterator[tuple[str, Recipe, float, int]]:
    """Yield name, recipe, share of the forgotten records and seed of every network that is judged."""
    for name, recipe in {"same recipe": {}, **task.recipes}.items():
        yield from ((name, recipe, 0.0, 100 + number) for number in range(task.num_subjects))
    shares = (*(KEPT if task.share else ()), 1.0)
    for kept in shares:
        name = "original" if kept == 1 else f"{kept:.0%} of the records kept"
        yield from ((name, {}, kept, 200 + number) for number in range(task.num_subjects))


def train_references(task: Task, workers: ThreadPoolExecutor) -> list[Path]:
    return list(workers.map(task.train, range(task.num_references)))


def train_subjects(task: Task, workers: ThreadPoolExecutor) -> dict[str, list[Path]]:
    """Return the networks that are judged, by the name of the row."""
    listed = list(list_subjects(task))
    jobs = [workers.submit(task.train, seed, recipe, kept=kept) for _, recipe, kept, seed in listed]
    trained: dict[str, list[Path]] = {}
    for (name, *_), job in zip(listed, jobs, strict=True):
        trained.setdefault(name, []).append(job.result())
    return trained


def main(names: list[str]) -> None:
    with ThreadPoolExecutor(1) as workers:
        for name in names or TASKS:
            count = len(train_references(TASKS[name], workers))
            count += sum(map(len, train_subjects(TASKS[name], workers).values()))
            print(f"{name}: {count} networks", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
