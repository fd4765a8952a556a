"""Small made-up values of every input that metrics and attacks may ask for."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.methods.test_unsir import blobs, network
from unlearn_cli.learning.shadows import STAGES, ShadowRuns
from unlearn_cli.learning.training import fit
from unlearn_cli.learning.weight_distances import Weights
from unlearn_cli.runtime.seeds import Random
from unlearn_cli.schema.literals import Task
from unlearn_cli.stats.costs import TrainingCost
from unlearn_cli.stats.outputs import Outputs, join

CLASSES, RUNS, WIDTH = 4, 32, 5
FORGET_CLASSES = [0]


def make_outputs(task: Task, n: int, classes: list[int], seed: int, num_groups: int = 0) -> Outputs:
    """Return outputs that are right more often than not; with groups, records in so many clusters."""
    labels_random, random = np.random.default_rng(n), np.random.default_rng([seed, n, *classes])
    groups = np.arange(n) % num_groups if num_groups else None
    if task == "regression":
        labels = labels_random.normal(size=n)
        return Outputs(labels + random.normal(0, 0.5, n), labels, task, groups)
    if task == "multilabel":
        marks = (labels_random.random((n, CLASSES)) < 0.4).astype(np.uint8)
        return Outputs(random.normal(size=(n, CLASSES)) + marks, marks, task, groups)
    labels = labels_random.choice(classes, n) if n else np.zeros(0, dtype=np.int64)
    values = random.normal(size=(n, CLASSES))
    values[np.arange(n), labels] += 1.0
    return Outputs(values, labels, task, groups)


def make_splits(task: Task, n: int, seed: int, num_groups: int = 0) -> dict[str, Outputs]:
    """Return the outputs of one network on every split, of n records each."""
    retained = [number for number in range(CLASSES) if number not in FORGET_CLASSES]
    forget, retain, unseen, others = (
        make_outputs(task, n, classes, 10 * seed + position, num_groups)
        for position, classes in enumerate((FORGET_CLASSES, retained, FORGET_CLASSES, retained))
    )
    return {
        "forget": forget,
        "retain": retain,
        "retain_sample": retain,
        "test_forget": unseen,
        "test_retain": others,
        "test": join([unseen, others]),
        "holdout": unseen,
    }


def memorise(outputs: Outputs) -> Outputs:
    """Return outputs that differ from those of networks that never saw the records."""
    if outputs.task == "regression":
        return replace(outputs, values=outputs.values + 3.0)
    if outputs.task == "multilabel":
        return replace(outputs, values=outputs.values + 9.0 * (2.0 * outputs.labels - 1))
    marks = np.arange(CLASSES) == outputs.labels[:, None]
    return replace(outputs, values=outputs.values + 9.0 * marks)


def make_shadow_runs(seed: int, records: int = 80) -> ShadowRuns:
    random = np.random.default_rng(seed)
    members = random.random((RUNS, records)) < 0.5
    stages = {
        stage: random.normal(size=(RUNS, records)) + shift * members
        for stage, shift in zip(STAGES.values(), (0.5, 2.0, 0.0), strict=True)
    }
    return ShadowRuns(members, stages, np.arange(records) < records // 3)


@cache
def train_network() -> nn.Module:
    """Return a network that classifies the records of `forget`, `retain` and `test`."""
    torch.manual_seed(0)
    trained = fit(network(), blobs([0, 1, 2, 3], 50), nn.functional.cross_entropy, epochs=5, lr=1e-2)
    return trained.eval().requires_grad_(False)


def make_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return network().eval().requires_grad_(False)


def make_weights(seed: int) -> Weights:
    return Weights(dict(make_network(seed).named_parameters()), {"mean": torch.full((3,), float(seed))})


def make_inputs(task: Task = "classification", n: int = 90, num_groups: int = 0) -> dict[str, Any]:
    """Return a value for every input by name: three references, one original, one network under test."""
    ours, original = make_splits(task, n, 1, num_groups), make_splits(task, n, 2, num_groups)
    references = [make_splits(task, n, seed, num_groups) for seed in (3, 4, 5)]
    shadows = replace(make_shadow_runs(0), retained=make_shadow_runs(1))
    assert shadows.retained is not None
    features = {
        name: np.random.default_rng(position).normal(size=(len(outputs), WIDTH))
        for position, (name, outputs) in enumerate(ours.items())
    }
    return {
        "model": make_network(1),
        "original": train_network(),
        "reference": make_network(3),
        "reference_models": [make_network(seed) for seed in (3, 4, 5)],
        "forget": blobs(FORGET_CLASSES, 20),
        "retain": blobs([1, 2, 3], 20),
        "test": blobs([0, 1, 2, 3], 20),
        "forget_classes": FORGET_CLASSES,
        "num_classes": CLASSES,
        "input_shape": (2,),
        "task_loss": nn.functional.cross_entropy,
        "random": Random(0, "test"),
        "seed": 0,
        "outputs": ours["retain"],
        "reference_outputs": references[0]["retain"],
        "random_outputs": [make_splits(task, n, seed, num_groups)["retain"] for seed in (6, 7)],
        "split_outputs": ours,
        "reference_split_outputs": references[0],
        "split_features": features,
        "forget_outputs": ours["forget"],
        "retain_outputs": ours["retain"],
        "holdout_outputs": ours["holdout"],
        "original_split_outputs": original,
        "original_forget_outputs": memorise(original["forget"]),
        "original_holdout_outputs": original["holdout"],
        "reference_forget_outputs": [reference["forget"] for reference in references],
        "reference_holdout_outputs": [reference["holdout"] for reference in references],
        "reference_test_outputs": [reference["test"] for reference in references],
        "weights": make_weights(1),
        "original_weights": make_weights(2),
        "cost": TrainingCost(1.0, 100),
        "reference_cost": TrainingCost(4.0, 800),
        "shadow_runs": shadows.of("subject"),
        "all_shadow_runs": shadows,
        "retained_shadow_runs": shadows.retained.of("subject"),
    }


def permute(value: Any, seed: int = 0) -> Any:
    """Return outputs with their records in another order: the same order for outputs of the same size."""
    if isinstance(value, Outputs):
        return value.take(np.random.default_rng([seed, len(value)]).permutation(len(value)))
    if isinstance(value, np.ndarray):
        return value[np.random.default_rng([seed, len(value)]).permutation(len(value))]
    if isinstance(value, list) and value and isinstance(value[0], Outputs):
        return [permute(item, seed) for item in value]
    if isinstance(value, dict):
        return {name: permute(item, seed) for name, item in value.items()}
    return value
