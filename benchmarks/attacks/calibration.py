"""How often does the verdict fail what it should not, and detect what it should? Real networks, drawn from a pool.

python -m benchmarks.attacks.calibration [task ...]

Trains, for each task, a pool of references (retain, one recipe), retrains by other recipes, originals, and networks
that were trained on a share of the forgotten records, too. Each repetition draws four references and one subject, and
judges the subject by the gates of the standard tier. Writes results/calibration.md. Networks are kept outside the
repository (see cache.py), so an interrupted run continues.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from benchmarks.cache import CACHE, DATA, HERE, run
from benchmarks.output import write_result
from unlearn_cli.attacks.population import population
from unlearn_cli.attacks.retrain_contrast import retrain_contrast
from unlearn_cli.attacks.sanity import sanity
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.commands.manifest_inputs import open_manifest
from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
from unlearn_cli.evaluation.holdout import choose_holdout
from unlearn_cli.evaluation.session import start
from unlearn_cli.plugins.names import read_manifest
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Finding
from unlearn_cli.verdict.judgement import Gate
from unlearn_cli.verdict.judging import judge
from unlearn_cli.verdict.tier_checks import Candidate

REPETITIONS, REFERENCES, POOL, SUBJECTS = 30, 4, 12, 6
KEPT = (0.1, 0.3, 0.5, 1.0)  # shares of the forgotten records that a subject was trained on
PENDIGITS_RECIPES = {
    "same recipe": {},
    "60 epochs": {"epochs": "60"},
    "45 epochs": {"epochs": "45"},
    "20 epochs": {"epochs": "20"},
    "half the learning rate": {"lr": "0.001"},
    "twice the learning rate": {"lr": "0.004"},
    "batches of 64": {"batch_size": "64"},
    "batches of 256": {"batch_size": "256"},
    "SGD": {"optimizer": "sgd", "lr": "0.05"},
    "constant rate": {"schedule": "constant"},
    "weight decay": {"weight_decay": "0.01"},
}
CIFAR_RECIPES = {
    "same recipe": {},
    "40 epochs": {"epochs": "40"},
    "20 epochs": {"epochs": "20"},
    "half the learning rate": {"lr": "0.001"},
    "batches of 64": {"batch_size": "64"},
    "SGD": {"optimizer": "sgd", "lr": "0.05"},
    "constant rate": {"schedule": "constant"},
}


@dataclass(frozen=True)
class Task:
    """A manifest, the share of train that is forgotten, the recipe of the references, and other recipes."""

    manifest: str
    share: float
    recipe: dict[str, str]
    recipes: dict[str, dict[str, str]]

    def text(self, kept: float = 0.0) -> str:
        """Return the manifest; a network that kept a share of the forgotten records has fewer of them to forget."""
        text = (HERE / "manifests" / f"{self.manifest}.yaml").read_text(encoding="utf-8")
        return text.replace("FORGET", f"{{fraction: {{share: {round(self.share * (1 - kept), 3):g}, seed: 0}}}}")

    def train(self, seed: int, recipe: dict[str, str] = {}, *, kept: float = 0.0) -> Path:
        """Train on retain and a share of the forgotten records."""
        settings = {**self.recipe, **recipe}
        batch, split = settings.pop("batch_size"), "train" if kept == 1 else "retain"
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        fixed = ["--batch-size", batch, "--split", split, "--seed", str(seed), "--device", "cpu", "--precision", "fp32"]
        return run("train", self.text(0.0 if kept == 1 else kept), [*fixed, *words])


TASKS = {
    "pendigits": Task("pendigits_random", 0.2, {"epochs": "30", "lr": "0.002", "batch_size": "128"}, PENDIGITS_RECIPES),
    "cifar": Task("cifar_4000", 0.25, {"epochs": "30", "lr": "0.002", "batch_size": "128"}, CIFAR_RECIPES),
}
HEAD = """# Calibration of the verdict

{repetitions} repetitions a row, each with {references} references of {pool} and one subject of {subjects}; gates of the
standard tier. **failed**: at least one gate fails. **AUC**: of the contrast with never-seen records, mean over the
repetitions. Pendigits: MLP 16-128-128-10 on 5,995 records, which it hardly memorises, 1,199 at random forgotten. CIFAR:
LeNet-5 on 4,000 images, which it memorises, 1,000 at random forgotten.
Command: `python -m benchmarks.attacks.calibration`.

| task | subject | failed | inconclusive | AUC | gates that failed |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """What was judged how often, and with which result."""

    task: str
    subject: str
    gates: list[list[Gate]]
    areas: list[float]

    def format(self) -> str:
        failed = [[gate.condition for gate in gates if gate.verdict == "failed"] for gates in self.gates]
        undecided = sum(
            not names and any(gate.verdict == "inconclusive" for gate in gates)
            for names, gates in zip(failed, self.gates, strict=True)
        )
        names = "; ".join(f"{name} x {count}" for name, count in Counter(chain.from_iterable(failed)).most_common())
        return (
            f"| {self.task} | {self.subject} | {sum(map(bool, failed))} of {len(self.gates)} | {undecided} "
            f"| {np.mean(self.areas):.3f} | {names} |"
        )


class Pool:
    """Outputs of trained networks on the splits, computed once."""

    def __init__(self, task: Task) -> None:
        path = CACHE / f"{task.manifest}.yaml"
        CACHE.mkdir(parents=True, exist_ok=True)
        path.write_text(task.text().replace("DATA", str(DATA.resolve())), encoding="utf-8")
        options = RunOptions(device="cpu", precision="fp32")
        self.opened = open_manifest(read_manifest(path, path.parent), path, options)
        self.holdout = choose_holdout(self.opened).positions
        self._outputs: dict[Path, dict[str, Outputs]] = {}

    def outputs(self, folder: Path) -> dict[str, Outputs]:
        if folder not in self._outputs:
            with start(self.opened) as session:
                weights = {"subject": checkpoint.load(folder / "model.safetensors")}
                outputs = CheckpointOutputs(session, weights, {"retain": 2000}, self.holdout).outputs("subject")
                self._outputs[folder] = outputs
        return self._outputs[folder]


def repetitions(
    pool: Pool, subjects: list[Path], references: list[Path], seed: int
) -> Iterator[tuple[list[Gate], float]]:
    random = np.random.default_rng(seed)
    for _ in range(REPETITIONS):
        subject = subjects[int(random.integers(len(subjects)))]
        others = [folder for folder in references if folder != subject]
        drawn = [others[i] for i in random.choice(len(others), REFERENCES, replace=False)]
        yield judge_network(pool.outputs(subject), [pool.outputs(folder) for folder in drawn])


def judge_network(outputs: dict[str, Outputs], references: list[dict[str, Outputs]]) -> tuple[list[Gate], float]:
    """Return the gates of a subject, and the AUC of its contrast."""
    forget, holdout = ([network[name] for network in references] for name in ("forget", "holdout"))
    contrast = retrain_contrast(outputs["forget"], outputs["holdout"], forget, holdout)
    assert contrast.scores is not None
    scores = {"population": population(outputs["forget"], outputs["holdout"]), "retrain_contrast": contrast.scores}
    findings = {"sanity": describe("sanity", sanity(outputs)), "retrain_contrast": describe("contrast", contrast)}
    candidate = Candidate(
        role="subject",
        outputs=outputs,
        comparators=references,
        comparator_kind="reference",
        attack_results={},
        findings=findings,
        scores=scores,
        whole_classes=False,
        task="classification",
    )
    gates, _, _ = judge(candidate, [], "standard")
    members, others = scores["retrain_contrast"].members, scores["retrain_contrast"].non_members
    return gates, float((members[:, None] > others).mean())


def describe(name: str, findings: Findings) -> Finding:
    return Finding(name=name, role="subject", tier="", quantities=findings.quantities, informative=findings.informative)


def train_subjects(task: Task, workers: ThreadPoolExecutor) -> dict[str, list[Path]]:
    """Return the networks that are judged, by the name of the row."""
    names, jobs = list[str](), list[Future[Path]]()
    for name, recipe in task.recipes.items():
        names += [name] * SUBJECTS
        jobs += [workers.submit(task.train, seed, recipe) for seed in range(100, 100 + SUBJECTS)]
    for kept in KEPT:
        names += ["original" if kept == 1 else f"{kept:.0%} of the records kept"] * SUBJECTS
        jobs += [workers.submit(task.train, seed, kept=kept) for seed in range(200, 200 + SUBJECTS)]
    trained: dict[str, list[Path]] = {}
    for name, job in zip(names, jobs, strict=True):
        trained.setdefault(name, []).append(job.result())
    return trained


def rows(name: str) -> Iterator[str]:
    """Judge the subjects of a task; yield the rows of the table."""
    task = TASKS[name]
    with ThreadPoolExecutor(2) as workers:
        references = list(workers.map(task.train, range(POOL)))
        subjects = train_subjects(task, workers)
    pool = Pool(task)
    for seed, (subject, folders) in enumerate(subjects.items()):
        judged = list(repetitions(pool, folders, references, seed))
        yield Row(name, subject, [gates for gates, _ in judged], [area for _, area in judged]).format()


def main(names: list[str]) -> None:
    lines = []
    for name in names or TASKS:
        for line in rows(name):
            lines.append(line)
            print(line, flush=True)
    head = HEAD.format(repetitions=REPETITIONS, references=REFERENCES, pool=POOL, subjects=SUBJECTS)
    if not names:
        write_result("calibration.md", head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
