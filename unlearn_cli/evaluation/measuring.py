"""Metrics of every checkpoint: on each split, beside each reference, and of the network as a whole."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError
from torch import nn

from unlearn_cli import console
from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation import over_forgetting
from unlearn_cli.evaluation.evidence import Evidence, Inputs
from unlearn_cli.evaluation.holdout import class_matched_holdout
from unlearn_cli.evaluation.inputs import Opened
from unlearn_cli.evaluation.session import Session
from unlearn_cli.learning.weight_distances import Weights, compare_layers
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.stats.comparisons import compare, over_references
from unlearn_cli.stats.confusion import confusion
from unlearn_cli.stats.efficiency import TrainingCost
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Comparison, Confusion, Cost, Estimate, Layer
from unlearn_cli.storage import regular_files

Metrics = Sequence[tuple[Plugin, BaseModel]]
Measured = dict[str, dict[str, Estimate]]  # split -> metric -> estimate
MODEL = "model"  # the 'split' of metrics of the whole network
PER_RECORD = ("train",)  # splits that metrics beside a reference say nothing new of


class Subject(BaseModel):
    tensor_digest: str


class Spent(BaseModel):
    seconds: dict[str, float]


class Written(BaseModel):
    """What is read of a report that another run, perhaps of another version, wrote beside its checkpoint."""

    subject: Subject
    run: Spent
    cost: Cost = Cost()


def load_metrics(names: Iterable[str], assignments: Sequence[str] = (), *, allow_code: bool = False) -> Metrics:
    """Return metrics with their settings; an assignment reaches every metric that has the setting."""
    metrics = [plugin.load("metrics", name, allow_code=allow_code) for name in names]
    return [
        (metric, plugin.complete_settings(metric, None, [text for text in assignments if _reaches(text, metric)]))
        for metric in metrics
    ]


def _reaches(assignment: str, metric: Plugin) -> bool:
    return assignment.partition("=")[0].strip() in metric.settings.model_fields


def holdout(opened: Opened) -> np.ndarray | None:
    """Return the records of test that forget is compared with; None where there are none, or nothing is forgotten."""
    if not {"forget", "test"} <= opened.dataset.splits.keys():
        return None
    positions = class_matched_holdout(opened).positions
    return positions if len(positions) else None


def measure_all(evidence: Evidence, metrics: Metrics) -> dict[str, Measured]:
    """Compute these metrics of every checkpoint; each goes once over the data."""
    measured = {}
    for role in evidence.weights:
        with evidence.session.run.measure_time("evaluate"):
            console.say(f"evaluate: {role}")
            measured[role] = measure_role(evidence, metrics, role)
    return measured


def measured(
    session: Session, weights: dict[str, Checkpoint], before: dict[str, Outputs], names: Sequence[str]
) -> dict[str, Any]:
    """Return the fields of a report that measure these checkpoints; `before` is what the original was seen to say."""
    evidence = Evidence(session, weights, holdout=holdout(session.opened))
    evidence.remember("original", before)
    spent = session.run.cost.model_copy()
    metrics = load_metrics(names)
    found = measure_all(evidence, metrics)
    session.run.cost = spent  # that of unlearning, which is what is compared with the cost of retraining
    return {
        "metrics": found,
        "comparisons": comparisons(found, metrics),
        "confusions": confusions(evidence),
        "layers": layers(evidence),
        "over_forgetting": over_forgetting.detect(evidence),
    }


def predict_splits(session: Session, model: nn.Module, label: str) -> dict[str, Outputs]:
    """Run a network over all splits; `label` names it in the log."""
    with session.run.measure_time("evaluate"):
        console.say(f"evaluate: {label}")
        return session.all_outputs(model)


def measure_network(session: Session, model: nn.Module, label: str) -> Measured:
    """Run a network in memory over all splits, and compute the metrics of its task that need only its outputs."""
    evidence = Evidence(session, {})
    evidence.remember("subject", predict_splits(session, model, label))
    defaults = load_metrics(discovery.default_metrics(session.manifest.task))
    with session.run.measure_time("evaluate"):
        chosen = [(metric, settings) for metric, settings in defaults if metric.needs == ("outputs",)]
        return measure_role(evidence, chosen, "subject")


def measure_role(evidence: Evidence, chosen: Metrics, role: str) -> Measured:
    """Compute the metrics of one checkpoint that have a meaning for it."""
    found: Measured = {}
    outputs = evidence.outputs(role)
    for metric, settings in chosen:
        if metric.is_of_model:
            if _has_meaning(evidence, metric, role):
                found.setdefault(MODEL, {})[metric.name] = _whole(evidence, metric, settings, role)
            continue
        for split in (name for name in outputs if name != "holdout"):
            estimate = _on_split(evidence, metric, settings, role, split)
            if estimate is not None:
                found.setdefault(split, {})[metric.name] = estimate
    return found


def _has_meaning(evidence: Evidence, metric: Plugin, role: str) -> bool:
    """Say whether a checkpoint may be measured by it: the original not beside itself, a reference beside others."""
    needs = set(metric.needs)
    if role == "original":
        return not needs & {"original_weights", "cost", "original"}
    if role.startswith("reference"):
        beside_others = "reference_split_outputs" in needs
        return bool(evidence.references(but=role)) if beside_others else not needs & {"weights", "cost", "reference"}
    return True


def _on_split(evidence: Evidence, metric: Plugin, settings: BaseModel, role: str, split: str) -> Estimate | None:
    """Compute one metric on one split; beside references, over all of them but the checkpoint itself."""
    inputs: dict[str, Callable[[], Any]] = {"outputs": lambda: evidence.outputs(role)[split]}
    beside = "reference_outputs"
    if "random_outputs" in metric.needs:
        inputs["random_outputs"] = lambda: evidence.random_outputs(split)
        return metric.call(Inputs(inputs), settings, (Estimate,)) if "forget" in split else None
    if beside not in metric.needs:
        return metric.call(Inputs(inputs), settings, (Estimate,))
    others = evidence.references(but=role)
    if not others or split in PER_RECORD:
        return None
    return over_references(
        [
            metric.call(
                Inputs({**inputs, beside: lambda other=other: evidence.outputs(other)[split]}), settings, (Estimate,)
            )
            for other in others
        ]
    )


def _whole(evidence: Evidence, metric: Plugin, settings: BaseModel, role: str) -> Estimate:
    """Compute a metric of the whole network, over all references if it compares with them."""
    inputs = {**evidence.inputs(role).makers, **_weights(evidence, role)}
    if "reference" not in metric.sections:
        return metric.call(Inputs(inputs), settings, (Estimate,))
    found = []
    for other in evidence.references(but=role):
        beside: dict[str, Callable[[], Any]] = {
            "reference": lambda other=other: evidence.model(other),
            "reference_split_outputs": lambda other=other: evidence.outputs(other),
            "reference_cost": lambda other=other: cost_of(evidence.weights[other]),
        }
        found.append(metric.call(Inputs({**inputs, **beside}), settings, (Estimate,)))
    return over_references(found) if found else missing("there is no reference")


def _weights(evidence: Evidence, role: str) -> dict[str, Callable[[], Any]]:
    return {
        "weights": lambda: weights_of(evidence, role),
        "original_weights": lambda: weights_of(evidence, "original"),
        "cost": lambda: cost_of(evidence.weights[role]),
    }


def weights_of(evidence: Evidence, role: str) -> Weights:
    """Return parameters and buffers of a checkpoint as they lie in its file: no network is built for them."""
    tensors, names = evidence.weights[role].tensors, evidence.session.names
    parameters, buffers = ({name: tensors[name] for name in part if name in tensors} for part in names)
    return Weights(parameters, {name: tensor for name, tensor in buffers.items() if tensor.is_floating_point()})


def cost_of(weights: Checkpoint) -> TrainingCost:
    """Return what making a checkpoint cost, by the report beside it; nothing where that is another checkpoint's."""
    path = weights.path.parent / "report.json" if weights.path.is_file() else weights.path / "report.json"
    document = _written_beside(path)
    if document is None or document.subject.tensor_digest != weights.tensor_digest:
        return TrainingCost(None, None)
    seconds = document.run.seconds
    spent = seconds.get("unlearn", seconds.get("train"))
    return TrainingCost(spent, document.cost.samples_forward + document.cost.samples_backward)


def _written_beside(path: Path) -> Written | None:
    """Return what a report of ours says there; None where there is none, or a file of somebody else's."""
    if not path.exists():
        return None
    try:
        return Written.model_validate_json(regular_files.read_regular(path, regular_files.MOST_REPORT))
    except (ValidationError, UserError):
        return None


def comparisons(measured: dict[str, Measured], metrics: Metrics) -> list[Comparison]:
    """Compare every metric of the subject with the references: is it further off than they are from each other?"""
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


def confusions(evidence: Evidence) -> list[Confusion]:
    """Count where each checkpoint puts the forgotten records, and those of test of the forgotten kind."""
    names = evidence.session.opened.dataset.classes
    if names is None:
        return []
    return [
        confusion(evidence.outputs(role)[split], names, split, role)
        for split in ("forget", "test_forget")
        for role in evidence.weights
        if split in evidence.outputs(role) and len(evidence.outputs(role)[split])
    ]


def layers(evidence: Evidence) -> list[Layer]:
    """Return how far each tensor of the subject lies from the original's."""
    if "original" not in evidence.weights:
        return []
    return compare_layers(weights_of(evidence, "subject"), weights_of(evidence, "original"))
