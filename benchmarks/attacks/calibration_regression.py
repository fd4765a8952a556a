"""How often do the gates of a regression fail what they should not, and detect what they should? Real networks.

python -m benchmarks.attacks.calibration_regression [task ...]

Trains, for each task, a pool of references (retain, one recipe), retrains by other recipes, originals, and networks
that were trained on half of the forgotten records, too. Each repetition draws references and one subject, and judges
the subject by the gates of the standard tier. Writes results/calibration_regression.md. Networks are kept outside the
repository (see cache.py), so an interrupted run continues.
"""

import sys
from collections import Counter
from collections.abc import Iterator
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
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Finding
from unlearn_cli.verdict.judgement import Gate
from unlearn_cli.verdict.judging import judge
from unlearn_cli.verdict.tier_checks import Candidate

REPETITIONS, REFERENCES, POOL, SUBJECTS = 30, 4, 10, 5
Recipe = dict[str, str]
RECIPES: dict[str, Recipe] = {
    "half the learning rate": {"lr": "0.0015"},
    "twice the learning rate": {"lr": "0.006"},
    "SGD": {"optimizer": "sgd", "lr": "0.02"},
    "constant rate": {"schedule": "constant"},
    "weight decay": {"weight_decay": "0.01"},
}
UTILITY = "mean error at most"  # the part of a condition by which a gate on utility is recognised


@dataclass(frozen=True)
class Task:
    """A manifest, what it forgets, the recipe of the references and other recipes; `share` if it forgets at random."""

    manifest: str
    forget: str
    epochs: int
    batch_size: int
    share: float = 0.0

    @property
    def recipes(self) -> dict[str, Recipe]:
        epochs, batch = self.epochs, self.batch_size
        return {
            "same recipe": {},
            "twice the epochs": {"epochs": str(2 * epochs)},
            "half the epochs": {"epochs": str(epochs // 2)},
            "twice the batch": {"batch_size": str(2 * batch)},
            **RECIPES,
        }

    def text(self, remaining: float = 1.0) -> str:
        """Return the manifest; a network that kept a share of the forgotten records has fewer of them to forget."""
        text = (HERE / "manifests" / f"{self.manifest}.yaml").read_text(encoding="utf-8")
        return text.replace("FORGET", self.forget.replace("SHARE", f"{round(self.share * remaining, 3):g}"))

    def train(self, seed: int, recipe: Recipe = {}, *, split: str = "retain", remaining: float = 1.0) -> Path:
        """Train on retain, which has those forgotten records that remain of a share."""
        settings = {"epochs": str(self.epochs), "lr": "0.003", "batch_size": str(self.batch_size)} | recipe
        batch = settings.pop("batch_size")
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        fixed = ["--batch-size", batch, "--split", split, "--seed", str(seed), "--device", "cpu", "--precision", "fp32"]
        return run("train", self.text(remaining), [*fixed, *words])

    def train_subjects(self) -> Iterator[tuple[str, list[Path]]]:
        """Yield the networks that are judged, by the name of the row."""
        for name, recipe in self.recipes.items():
            yield name, [self.train(100 + number, recipe) for number in range(SUBJECTS)]
        if self.share:
            yield "50 % of the records kept", [self.train(200 + number, remaining=0.5) for number in range(SUBJECTS)]
        yield "original", [self.train(200 + number, split="train") for number in range(SUBJECTS)]


RANGE = '{where: [{column: median_house_value, op: "<", value: 100000}]}'
MONTH = "{where: [{column: year, op: ==, value: 2013}, {column: month, op: ==, value: 1}]}"
TASKS = {
    "housing": Task("housing_fifth", "{fraction: {share: SHARE, seed: 0}}", 120, 64, share=0.1),
    "housing range": Task("housing_fifth", RANGE, 120, 64),
    "beijing month": Task("beijing_period", MONTH, 40, 128),
}
HEAD = """# Calibration of the verdict on regressions

{repetitions} repetitions a row, each with {references} references of {pool} and one subject of {subjects}; gates of the
standard tier. **failed**: at least one gate fails. **forgetting**: at least one that is not on utility; a retrain by a
recipe that predicts test records more than 5 % worse than the references fails the utility gates, and should.
**error**: mean error on forget divided by the references', mean over the repetitions. Housing: MLP 8-256-256-1 on 4,128
districts, which it memorises; 413 at random, or the 751 below 100,000 dollars forgotten. Beijing: the same on 16,973
hours of 2012 and 2013, January 2013 forgotten, 2014 is test, so the hold-out is unmatched; days are clusters.
Command: `python -m benchmarks.attacks.calibration_regression`.

| task | subject | failed | forgetting | inconclusive | error | gates that failed |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """What was judged how often, and with which result."""

    task: str
    subject: str
    gates: list[list[Gate]]
    errors: list[float]

    @property
    def failed(self) -> list[list[str]]:
        return [[gate.condition for gate in gates if gate.verdict == "failed"] for gates in self.gates]

    @property
    def num_forgetting(self) -> int:
        return sum(any(UTILITY not in name for name in names) for names in self.failed)

    def format(self) -> str:
        failed = self.failed
        undecided = sum(
            not names and any(gate.verdict == "inconclusive" for gate in gates)
            for names, gates in zip(failed, self.gates, strict=True)
        )
        names = "; ".join(f"{name} x {count}" for name, count in Counter(chain.from_iterable(failed)).most_common())
        return (
            f"| {self.task} | {self.subject} | {sum(map(bool, failed))} of {len(self.gates)} | {self.num_forgetting} "
            f"| {undecided} | {np.mean(self.errors):.2f} | {names} |"
        )


class Pool:
    """Outputs of trained networks on the splits, computed once."""

    def __init__(self, task: Task) -> None:
        path = CACHE / f"{task.manifest}.yaml"
        CACHE.mkdir(parents=True, exist_ok=True)
        path.write_text(task.text().replace("DATA", str(DATA.resolve())), encoding="utf-8")
        self.opened = open_manifest(read_manifest(path, path.parent), path, RunOptions(device="cpu", precision="fp32"))
        self.holdout = choose_holdout(self.opened)
        self._outputs: dict[Path, dict[str, Outputs]] = {}

    def outputs(self, folder: Path) -> dict[str, Outputs]:
        if folder not in self._outputs:
            with start(self.opened) as session:
                weights = {"subject": checkpoint.load(folder / "model.safetensors")}
                outputs = CheckpointOutputs(session, weights, {"retain": 2000}, self.holdout.positions)
                self._outputs[folder] = outputs.outputs("subject")
        return self._outputs[folder]

    def judge(self, subject: Path, folders: list[Path]) -> list[Gate]:
        """Return the gates of a subject with these references."""
        outputs, references = self.outputs(subject), [self.outputs(folder) for folder in folders]
        forget, holdout = ([network[name] for network in references] for name in ("forget", "holdout"))
        contrast = retrain_contrast(outputs["forget"], outputs["holdout"], forget, holdout)
        assert contrast.scores is not None
        check = sanity(outputs)
        finding = Finding(name="sanity", tier="", quantities=check.quantities, informative=check.informative)
        candidate = Candidate(
            role="subject",
            outputs=outputs,
            comparators=references,
            comparator_kind="reference",
            attack_results={},
            findings={"sanity": finding},
            scores={
                "population": population(outputs["forget"], outputs["holdout"]),
                "retrain_contrast": contrast.scores,
            },
            whole_classes=False,
            task="regression",
            holdout_is_matched=self.holdout.is_matched,
        )
        return judge(candidate, [], "standard")[0]

    def compare_errors(self, subject: Path, folders: list[Path]) -> float:
        """Return the mean error on forget divided by that of the references."""
        ours, *theirs = (measure_error(self.outputs(folder)["forget"]) for folder in (subject, *folders))
        return ours / float(np.mean(theirs))


def measure_error(outputs: Outputs) -> float:
    return float(np.abs(outputs.values - outputs.labels).mean())


def judge_rows(name: str) -> Iterator[Row]:
    """Judge the subjects of a task."""
    task, pool = TASKS[name], Pool(TASKS[name])
    references = [task.train(seed) for seed in range(POOL)]
    for seed, (subject, folders) in enumerate(task.train_subjects()):
        random, gates, errors = np.random.default_rng(seed), list[list[Gate]](), list[float]()
        for _ in range(REPETITIONS):
            drawn = [references[i] for i in random.choice(POOL, REFERENCES, replace=False)]
            judged = folders[int(random.integers(len(folders)))]
            gates.append(pool.judge(judged, drawn))
            errors.append(pool.compare_errors(judged, drawn))
        yield Row(name, subject, gates, errors)


def format_pooled(rows: list[Row]) -> str:
    """Return how often retrains of all recipes failed a gate that is not on utility."""
    honest = [row for row in rows if row.subject in TASKS[row.task].recipes]
    count = sum(row.num_forgetting for row in honest)
    return f"| all | retrains by all recipes | | {count} of {sum(len(row.gates) for row in honest)} | | | |"


def main(names: list[str]) -> None:
    rows = list[Row]()
    for name in names or TASKS:
        for row in judge_rows(name):
            rows.append(row)
            print(row.format(), flush=True)
    lines = [*(row.format() for row in rows), format_pooled(rows)]
    print(lines[-1])
    if not names:
        head = HEAD.format(repetitions=REPETITIONS, references=REFERENCES, pool=POOL, subjects=SUBJECTS)
        write_result("calibration_regression.md", head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
