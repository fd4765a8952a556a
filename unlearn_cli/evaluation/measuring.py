"""Computes metrics of every checkpoint: per split, per reference, and of the whole network."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel
from torch import nn

from unlearn_cli import console
from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.evaluation import over_forgetting
from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
from unlearn_cli.evaluation.holdout import choose_holdout
from unlearn_cli.evaluation.plugin_inputs import MeasuringContext, make_measuring_inputs
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.evaluation.session import Session
from unlearn_cli.learning.weight_distances import compare_layers
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.schema.literals import name_role
from unlearn_cli.stats.comparisons import average_over_references, compare
from unlearn_cli.stats.confusion import confusion
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.label_scores import list_label_scores
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Comparison, Confusion, Estimate, LabelScore, Layer

Metrics = Sequence[tuple[Plugin, BaseModel]]
Measured = dict[str, dict[str, Estimate]]  # split -> metric -> estimate
MODEL = "model"  # the 'split' of metrics of the whole network
PER_RECORD = ("train",)  # splits without comparisons with a reference: their parts are compared


def load_metrics(names: Iterable[str], assignments: Sequence[str] = (), *, allow_code: bool = False) -> Metrics:
    """Return metrics with their settings; an assignment applies to every metric that has the setting."""
    metrics = [plugin.load("metrics", name, allow_code=allow_code) for name in names]
    return [
        (metric, plugin.complete_settings(metric, None, [text for text in assignments if _applies_to(text, metric)]))
        for metric in metrics
    ]


def _applies_to(assignment: str, metric: Plugin) -> bool:
    return assignment.partition("=")[0].strip() in metric.settings.model_fields


def select_holdout(opened: RunInputs) -> np.ndarray | None:
    """Return the positions of the hold-out in test; None if it is empty or nothing is forgotten."""
    if not {"forget", "test"} <= opened.dataset.splits.keys():
        return None
    positions = choose_holdout(opened).positions
    return positions if len(positions) else None


def measure_all(checkpoints: CheckpointOutputs, metrics: Metrics) -> dict[str, Measured]:
    """Compute these metrics of every checkpoint; each network predicts the data once."""
    measured = {}
    for role in checkpoints.weights:
        with checkpoints.session.run.measure_time("evaluate"):
            console.say(f"evaluate: {name_role(role)}")
            measured[role] = measure_role(checkpoints, metrics, role)
    return measured


def measure_checkpoints(
    session: Session, weights: dict[str, Checkpoint], before: dict[str, Outputs], names: Sequence[str]
) -> dict[str, Any]:
    """Return the report's fields with measurements of these checkpoints; `before` has the original's outputs."""
    checkpoints = CheckpointOutputs(session, weights, holdout=select_holdout(session.opened))
    checkpoints.remember("original", before)
    spent = session.run.cost.model_copy()
    metrics = load_metrics(names)
    measurements = measure_all(checkpoints, metrics)
    session.run.cost = spent  # only the cost of unlearning is compared with the cost of retraining
    return {
        "metrics": measurements,
        "comparisons": compare_with_references(measurements, metrics),
        "confusions": count_confusions(checkpoints),
        "labels": score_labels(checkpoints, weights),
        "layers": measure_layers(checkpoints),
        "over_forgetting": over_forgetting.detect(checkpoints),
    }


def predict_splits(session: Session, model: nn.Module, label: str) -> dict[str, Outputs]:
    """Predict all splits with a network; `label` names it in the log."""
    with session.run.measure_time("evaluate"):
        console.say(f"evaluate: {label}")
        return session.all_outputs(model)


def measure_network(session: Session, model: nn.Module, label: str) -> dict[str, Any]:
    """Return the report's fields with measurements of a network in memory: those that need only its outputs."""
    checkpoints = CheckpointOutputs(session, {})
    checkpoints.remember("subject", predict_splits(session, model, label))
    defaults = load_metrics(discovery.list_default_metrics(session.task))
    with session.run.measure_time("evaluate"):
        chosen = [(metric, settings) for metric, settings in defaults if metric.needs == ("outputs",)]
        return {
            "metrics": {"subject": measure_role(checkpoints, chosen, "subject")},
            "labels": score_labels(checkpoints, ["subject"]),
        }


def measure_role(checkpoints: CheckpointOutputs, chosen: Metrics, role: str) -> Measured:
    """Compute the metrics that are defined for one checkpoint."""
    measured: Measured = {}
    outputs, references = checkpoints.outputs(role), checkpoints.references(but=role)
    for metric, settings in chosen:
        if metric.is_of_model:
            splits = [MODEL] if _has_meaning(checkpoints, metric, role) else []
        else:
            splits = [split for split in outputs if split != "holdout" and _is_defined_on(metric, split, references)]
        for split in splits:
            measured.setdefault(split, {})[metric.name] = _measure(checkpoints, metric, settings, role, split)
    return measured


def _has_meaning(checkpoints: CheckpointOutputs, metric: Plugin, role: str) -> bool:
    """Return whether a metric of the whole network is defined for a role: no network is compared with itself."""
    needs = set(metric.needs)
    if role == "original":
        return not needs & {"original_weights", "cost", "original"}
    if role.startswith("reference"):
        compares_outputs = "reference_split_outputs" in needs
        if compares_outputs:
            return bool(checkpoints.references(but=role))
        return not needs & {"weights", "cost", "reference"}
    return True


def _measure(checkpoints: CheckpointOutputs, metric: Plugin, settings: BaseModel, role: str, split: str) -> Estimate:
    """Compute one metric; if it compares with a reference, combine it over all references except the checkpoint."""
    if "reference" not in metric.sections:
        inputs = make_measuring_inputs(MeasuringContext(checkpoints, role, split))
        return metric.call(inputs, settings, (Estimate,))
    others = checkpoints.references(but=role)
    contexts = [MeasuringContext(checkpoints, role, split, other) for other in others]
    estimates = [metric.call(make_measuring_inputs(context), settings, (Estimate,)) for context in contexts]
    return average_over_references(estimates) if estimates else missing("no reference was given")


def _is_defined_on(metric: Plugin, split: str, references: Sequence[str]) -> bool:
    """Return whether a metric is computed on a split."""
    if "random_outputs" in metric.needs:
        return "forget" in split
    return "reference" not in metric.sections or (bool(references) and split not in PER_RECORD)


def compare_with_references(measured: dict[str, Measured], metrics: Metrics) -> list[Comparison]:
    """Compare every metric of the subject with the references, relative to the differences among the references."""
    distances = {metric.name for metric, _ in metrics if metric.is_distance}
    roles = [role for role in measured if role.startswith("reference")]
    if not roles:
        return []
    return [
        compare(
            estimate,
            [measured[role][split][name] for role in roles if name in measured[role].get(split, {})],
            measured.get("original", {}).get(split, {}).get(name),
            split=split,
            metric=name,
            distance=name in distances,
        )
        for split, of_split in measured["subject"].items()
        for name, estimate in of_split.items()
        if split != "train" and any(name in measured[role].get(split, {}) for role in roles)
    ]


def count_confusions(checkpoints: CheckpointOutputs) -> list[Confusion]:
    """Count the predictions of each checkpoint on forget and test_forget by class."""
    dataset = checkpoints.session.opened.dataset
    names = dataset.classes
    if names is None or dataset.task != "classification":
        return []
    return [
        confusion(checkpoints.outputs(role)[split], names, split, role)
        for split in ("forget", "test_forget")
        for role in checkpoints.weights
        if split in checkpoints.outputs(role) and len(checkpoints.outputs(role)[split])
    ]


def score_labels(checkpoints: CheckpointOutputs, roles: Iterable[str]) -> list[LabelScore]:
    """Return the scores of each label of multilabel records, per checkpoint and split."""
    dataset = checkpoints.session.opened.dataset
    if dataset.task != "multilabel":
        return []
    return [
        score
        for role in roles
        for split, outputs in checkpoints.outputs(role).items()
        if split != "holdout" and len(outputs)
        for score in list_label_scores(outputs, dataset.classes or [], split, role)
    ]


def measure_layers(checkpoints: CheckpointOutputs) -> list[Layer]:
    """Return the distance of each tensor of the subject from the original's."""
    if "original" not in checkpoints.weights:
        return []
    return compare_layers(checkpoints.read_weights("subject"), checkpoints.read_weights("original"))
