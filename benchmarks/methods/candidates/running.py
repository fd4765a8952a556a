"""Runs a method or a candidate in this process, once: its outputs are kept in the cache, by digest of its code."""

import copy
import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from benchmarks.cache import CACHE, digest_code, fill_folders
from benchmarks.methods.networks import MODEL, Network, TaskNetworks, as_arrays, read_outputs
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.commands.manifest_inputs import open_manifest
from unlearn_cli.evaluation.levels import apply_level_step
from unlearn_cli.evaluation.plugin_inputs import make_method_inputs
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.evaluation.session import Session, start
from unlearn_cli.plugins import plugin
from unlearn_cli.plugins.names import read_manifest

NETWORKS = ("model", "original", "fresh", "incompetent_teacher")


class Runner:
    """The networks of one task, and its data with held-out records; everything is measured on the verdict half."""

    def __init__(self, networks: TaskNetworks) -> None:
        self.networks = networks
        path = CACHE / "candidates.yaml"
        path.write_text(fill_folders(networks.task.text), encoding="utf-8")
        manifest = read_manifest(path, path.parent)
        self.opened = open_manifest(manifest, path, networks.options, held_out=True)

    def run(self, name: str, seed: int, settings: Sequence[str] = ()) -> Network:
        """Unlearn with the original of this seed, or read what an earlier run wrote."""
        key = json.dumps([self.networks.key, name, seed, *settings, digest_method(name)])
        folder = CACHE / f"candidate-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
        outputs, cost = folder.with_suffix(".npz"), folder.with_suffix(".json")
        if not cost.is_file():
            network = self.unlearn(folder, name, seed, settings)
            np.savez(outputs, allow_pickle=False, **as_arrays(network.outputs))
            numbers = [network.seconds, network.forward, network.backward, network.steps]
            cost.write_text(json.dumps(numbers), encoding="utf-8")
        return Network(folder, read_outputs(outputs), *json.loads(cost.read_text(encoding="utf-8")))

    def unlearn(self, folder: Path, name: str, seed: int, settings: Sequence[str]) -> Network:
        method = plugin.load("methods", name, allow_code=True)
        weights = checkpoint.load(self.networks.original(seed) / MODEL)
        with start(self.with_seed(seed)) as session:
            original: Any = session.load(weights)
            complete = plugin.complete_settings(method, assignments=settings)
            inputs = make_method_inputs(session, method, complete, weights, original)
            watched = [inputs[each] for each in NETWORKS if each in inputs]
            with session.run.measure_time("unlearn"), session.run.count_samples(*watched):
                with session.run.autocast():
                    model = method.call(inputs, complete, (nn.Module,))
                apply_level_step(session, model, method, complete, weights, [])
            cost, seconds = session.run.cost.model_copy(), session.run.seconds["unlearn"]
            frozen = copy.deepcopy(model).eval().requires_grad_(False)
            outputs = self.networks.compute_outputs(session, frozen)
            steps = relearn(session, frozen, original) if self.networks.task.kind == "classes" else None
        return Network(folder, outputs, seconds, cost.samples_forward, cost.samples_backward, steps)

    def with_seed(self, seed: int) -> RunInputs:
        return replace(self.opened, common=self.opened.common.model_copy(update={"seed": seed}))


def relearn(session: Session, model: nn.Module, original: nn.Module) -> float | None:
    """Return the interpolated steps of the attack `relearn`; None if the goal is not reached."""
    attack = plugin.load("attacks", "relearn")
    batches = {"forget": session.batches("forget"), "test": session.batches("test")}
    inputs = {"model": copy.deepcopy(model), "original": original, **batches, "task_loss": session.task_loss()}
    return attack.call(inputs, plugin.complete_settings(attack)).quantities["interpolated_steps"].value


def digest_method(name: str) -> str:
    """Return a digest of a method's code, or of a candidate's file."""
    if ":" not in name:
        return digest_code(f"methods/{name}.py")
    spec = importlib.util.find_spec(name.partition(":")[0])
    assert spec is not None and spec.origin is not None
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
