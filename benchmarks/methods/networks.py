"""The networks of a task: trained, unlearned and judged by commands of the tool; their outputs, computed once."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from benchmarks.attacks.calibration_tasks import TASKS as CALIBRATION
from benchmarks.cache import CACHE, PREPARED, fill_folders, report, run
from benchmarks.methods.prepare import prepare
from benchmarks.methods.tasks import TASKS, Task
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.commands.manifest_inputs import open_manifest
from unlearn_cli.data.halves import take_half
from unlearn_cli.evaluation.attacking import AttackResults, run_one
from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
from unlearn_cli.evaluation.planned_attacks import PlannedAttack
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.evaluation.session import Session, start
from unlearn_cli.plugins import plugin
from unlearn_cli.plugins.names import read_manifest
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.schema.literals import Half
from unlearn_cli.stats.outputs import Outputs

MODEL = "model.safetensors"
HELD_OUT = "held_out"
CODE = "benchmarks.methods.architectures:"
SPLITS = ("forget", "retain", "test_forget", "test_retain", "test")


@dataclass(frozen=True)
class Network:
    """The folder of a run, its outputs by split, and what it cost; `steps` of relearning only for whole classes."""

    folder: Path
    outputs: dict[str, Outputs]
    seconds: float = 0.0
    forward: int = 0
    backward: int = 0
    steps: float | None = None


class TaskNetworks:
    """The networks of one task, all measured on the same half of test."""

    def __init__(self, task: Task, device: str) -> None:
        prepare(task.text, task.checkpoint)
        self.task = task
        self.half: Half = "verdict" if any(HELD_OUT in list_inputs(name) for name in task.methods) else "all"
        self.words = ["--device", device, "--precision", task.precision]
        self.options = RunOptions(device=device, precision=task.precision, allow_code=True)
        self.allowed = ["--allow-code"] if CODE in task.text else []

    def train(self, seed: int, split: str) -> Path:
        """Return the folder of an original (`train`) or a reference (`retain`)."""
        if self.task.checkpoint:
            return PREPARED / self.task.checkpoint
        if self.task.pool:
            pool = CALIBRATION[self.task.pool]
            return pool.train(seed, kept=1 if split == "train" else 0)
        words = [*self.words, *self.task.training, "--split", split, "--seed", str(seed), *self.allowed]
        owner = TASKS[self.task.original_of] if self.task.original_of and split == "train" else self.task
        return run("train", owner.text, words)

    def original(self, seed: int) -> Path:
        return self.train(self.task.originals[seed % len(self.task.originals)], "train")

    def unlearn(self, method: str, seed: int) -> Path:
        name, settings = split_settings(method)
        chosen = [word for setting in settings for word in ("--set", setting)]
        words = ["--method", name, *chosen, "--seed", str(seed), *self.words, "--no-evaluate", "--quiet", *self.allowed]
        return run("unlearn", self.task.text, words, [self.original(seed) / MODEL])

    def judge(self, folder: Path, seed: int) -> str:
        """Return the verdict of the standard tier."""
        options = [("--original", self.original(seed) / MODEL)]
        options += [("--reference", self.train(number, "retain") / MODEL) for number in self.task.references]
        words = ["--tier", "standard", *self.words, "--quiet", *self.allowed]
        document = report(run("attack", self.task.text, words, [folder / MODEL], options))
        return document["verdict"]

    def load(self, folder: Path, original: Path | None = None) -> Network:
        """Return a network with its outputs, and relearning if `original` sets its goal."""
        document: dict[str, Any] = report(folder) if (folder / "report.json").is_file() else {}
        if HELD_OUT in document.get("inputs", []) and self.half == "all":
            raise SystemExit(f"{document['method']} read records of test, so the task needs the verdict half")
        seconds, cost = document.get("run", {}).get("seconds", {}), document.get("cost", {})
        return Network(
            folder,
            self.predict(folder),
            seconds.get("unlearn", seconds.get("train", 0.0)),
            cost.get("samples_forward", 0),
            cost.get("samples_backward", 0),
            self.relearn(folder, original) if original else None,
        )

    def predict(self, folder: Path) -> dict[str, Outputs]:
        """Return a network's outputs on every split."""
        stored = CACHE / f"{folder.name}.{self.key}.npz"
        if not stored.is_file():
            with start(self.opened) as session:
                outputs = self.compute_outputs(session, session.load(checkpoint.load(folder / MODEL)))
            np.savez(stored, allow_pickle=False, **as_arrays(outputs))
        return read_outputs(stored)

    def compute_outputs(self, session: Session, model: nn.Module) -> dict[str, Outputs]:
        """Return the outputs on every split; without references only on test, because nothing else is compared."""
        if self.task.references:
            return session.all_outputs(model)
        return {name: session.outputs(model, name) for name in ("test_forget", "test_retain")}

    @property
    def key(self) -> str:
        """The data and selection of outputs that are stored."""
        return f"{hashlib.sha256(self.task.text.encode()).hexdigest()[:12]}.{self.half}"

    @cached_property
    def opened(self) -> RunInputs:
        """The manifest and the data, with one half of test or all of it."""
        path = CACHE / f"{self.key}.yaml"  # its own: several tasks may run at once
        path.write_text(fill_folders(self.task.text), encoding="utf-8")
        opened = open_manifest(read_manifest(path, path.parent), path, self.options)
        return replace(opened, dataset=take_half(opened.dataset, self.half))

    def relearn(self, folder: Path, original: Path) -> float | None:
        """Return the interpolated steps of the attack `relearn`; None if the goal is not reached."""
        chosen = "".join(f"{setting}." for setting in self.task.relearning)
        stored = CACHE / f"{folder.name}.{original.name}.{self.key}.{chosen}relearn.json"
        if not stored.is_file():
            with self.open_attack(folder, original) as checkpoints:
                attack, results = plugin.load("attacks", "relearn"), AttackResults()
                settings = plugin.complete_settings(attack, assignments=list(self.task.relearning))
                run_one(checkpoints, PlannedAttack(attack, settings, ""), "subject", results)
            (finding,) = results.findings_of("subject").values()
            quantity = finding.quantities["interpolated_steps"]
            stored.write_text(json.dumps(quantity.value), encoding="utf-8")
        return json.loads(stored.read_text(encoding="utf-8"))

    @contextmanager
    def open_attack(self, folder: Path, original: Path) -> Iterator[CheckpointOutputs]:
        weights = {"subject": checkpoint.load(folder / MODEL), "original": checkpoint.load(original / MODEL)}
        with start(self.opened) as session:
            yield CheckpointOutputs(session, weights)


def split_settings(method: str) -> tuple[str, list[str]]:
    """Return name and settings of a method: `masked:keep=none` has one setting, others follow after commas."""
    name, _, settings = method.partition(":")
    return name, settings.split(",") if settings else []


def list_inputs(method: str) -> tuple[str, ...]:
    """Return the inputs that a method receives with these settings."""
    name, settings = split_settings(method)
    loaded = plugin.load("methods", name)
    return loaded.list_inputs(plugin.complete_settings(loaded, assignments=settings))


def as_arrays(outputs: dict[str, Outputs]) -> dict[str, Any]:
    """Return the outputs as arrays for a file of NumPy."""
    arrays = {}
    for name in SPLITS:
        if name in outputs:
            arrays |= {
                f"{name}.values": outputs[name].values.astype(np.float32),
                f"{name}.labels": outputs[name].labels,
            }
    return arrays


def read_outputs(path: Path) -> dict[str, Outputs]:
    with np.load(path, allow_pickle=False) as arrays:
        names = [name for name in SPLITS if f"{name}.values" in arrays.files]
        pairs = {name: (arrays[f"{name}.values"].astype(np.float64), arrays[f"{name}.labels"]) for name in names}
    return {
        name: Outputs(values, labels, "classification" if values.ndim == 2 else "regression")
        for name, (values, labels) in pairs.items()
    }
