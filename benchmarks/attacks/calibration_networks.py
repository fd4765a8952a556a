"""The networks of the calibration as the verdict sees them: outputs and findings, computed once per network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.attacks.calibration_tasks import Task
from benchmarks.cache import CACHE, DATA
from unlearn_cli.attacks.population import population
from unlearn_cli.attacks.relative_distance import relative_distance
from unlearn_cli.attacks.retrain_contrast import retrain_contrast
from unlearn_cli.attacks.sanity import sanity
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.commands.manifest_inputs import open_manifest
from unlearn_cli.evaluation.attacking import AttackResults, run_one
from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
from unlearn_cli.evaluation.holdout import choose_holdout
from unlearn_cli.evaluation.mask import make_mask
from unlearn_cli.evaluation.planned_attacks import PlannedAttack
from unlearn_cli.evaluation.session import Session, start
from unlearn_cli.plugins import plugin
from unlearn_cli.plugins.names import read_manifest
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Finding
from unlearn_cli.verdict.tier_checks import Candidate

SEARCHED_IN_NETWORK = ("relearn", "linear_probe")  # attacks of a whole class that need the network itself
ByName = dict[str, Finding]


@dataclass(frozen=True)
class Network:
    """One network: its outputs on every split and on the hold-out, and its own findings."""

    outputs: dict[str, Outputs]
    findings: ByName = field(default_factory=dict)
    is_mask: bool = False


class Pool:
    """The networks of a task, each measured once."""

    def __init__(self, task: Task) -> None:
        path = CACHE / "calibration.yaml"
        CACHE.mkdir(parents=True, exist_ok=True)
        path.write_text(task.text().replace("DATA", str(DATA.resolve())), encoding="utf-8")
        self.task = task
        self.opened = open_manifest(read_manifest(path, path.parent), path, RunOptions(device="cpu", precision="fp32"))
        self.holdout = choose_holdout(self.opened).positions
        self._networks: dict[Path, Network] = {}

    @property
    def whole_classes(self) -> bool:
        return self.opened.dataset.forget_classes is not None

    @cached_property
    def original_weights(self) -> Checkpoint:
        return checkpoint.load(self.task.original() / "model.safetensors")

    @cached_property
    def original(self) -> Network:
        return self.load(self.task.original())

    def load(self, folder: Path) -> Network:
        if folder not in self._networks:
            self._networks[folder] = self.measure(checkpoint.load(folder / "model.safetensors"))
        return self._networks[folder]

    @contextmanager
    def open(self, weights: dict[str, Checkpoint]) -> Iterator[CheckpointOutputs]:
        with start(self.opened) as session:
            yield CheckpointOutputs(session, weights, {"retain": 2000}, self.holdout)

    def measure(self, weights: Checkpoint) -> Network:
        """Return outputs and findings; those of a whole class include relearning and a probe of the features."""
        with self.open({"subject": weights, "original": self.original_weights}) as checkpoints:
            outputs, results = checkpoints.outputs("subject"), AttackResults()
            for name in SEARCHED_IN_NETWORK if self.whole_classes else ():
                attack = plugin.load("attacks", name)
                planned = PlannedAttack(attack, plugin.complete_settings(attack), "standard")
                run_one(checkpoints, planned, "subject", results)
        findings = results.findings_of("subject") | {"sanity": describe("sanity", sanity(outputs))}
        return Network(outputs, findings)

    def make_destroyed(self, number: int) -> Network:
        """Return a network with random weights."""
        with start(self.opened) as session:
            return self.measure(_draw_weights(session, self.original_weights, number))

    def make_mask(self, references: list[Path], number: int) -> Network:
        """Return an original with an edited row, at the level of some references."""
        original = checkpoint.load(self.task.original(number) / "model.safetensors")
        named = {f"reference_{i}": checkpoint.load(folder / "model.safetensors") for i, folder in enumerate(references)}
        with self.open({"original": original, **named}) as checkpoints:
            edited = make_mask(checkpoints, self.opened.dataset.forget_classes or [])
        assert not isinstance(edited, str), edited
        return replace(self.measure(edited), is_mask=True)


def _draw_weights(session: Session, like: Checkpoint, number: int) -> Checkpoint:
    tensors = {
        name: tensor.detach().cpu() for name, tensor in session.fresh(f"destroyed {number}").state_dict().items()
    }
    return replace(like, tensors=tensors, metadata={})


def describe(name: str, findings: Findings) -> Finding:
    return Finding(name=name, role="subject", tier="", quantities=findings.quantities, informative=findings.informative)


def push_down(network: Network) -> Network:
    """Return a network whose forgotten records are pushed below never-seen ones."""
    forget = network.outputs["forget"]
    pushed = replace(forget, values=_add(forget.values, forget.labels, -3.0))
    return replace(network, outputs={**network.outputs, "forget": pushed})


def name_another_class(network: Network) -> Network:
    """Return a network that leaks the labels: every forgotten record is named as the class after its own."""
    return _edit_class(network, lambda values, labels: _add(values, (labels + 1) % values.shape[1], 12.0))


def _add(values: np.ndarray, columns: np.ndarray, amount: float) -> np.ndarray:
    edited = values.copy()
    edited[np.arange(len(values)), columns] += amount
    return edited


def _edit_class(network: Network, edit: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Network:
    """Edit the outputs on forget; of a whole class, those on its test records, too, since a network generalises."""
    lost = np.unique(network.outputs["forget"].labels)
    everything = len(lost) == network.outputs["forget"].values.shape[1]
    edited = dict(network.outputs)
    for split in ("forget",) if everything else ("forget", "holdout", "test", "test_forget"):
        outputs = edited[split]
        of_class = np.isin(outputs.labels, lost)
        values = np.where(of_class[:, None], edit(outputs.values, outputs.labels), outputs.values)
        edited[split] = replace(outputs, values=values)
    return replace(network, outputs=edited)


def make_candidate(
    network: Network, references: list[Network], original: Network, *, whole_classes: bool, with_original: bool
) -> Candidate:
    """Return what the verdict judges; without references, it is compared with the original."""
    outputs = network.outputs
    scores, findings = {"population": population(outputs["forget"], outputs["holdout"])}, dict(network.findings)
    if references:
        forget, holdout, test = ([one.outputs[name] for one in references] for name in ("forget", "holdout", "test"))
        contrast = retrain_contrast(outputs["forget"], outputs["holdout"], forget, holdout)
        assert contrast.scores is not None
        scores["retrain_contrast"] = contrast.scores
        if with_original:
            distance = relative_distance(outputs["forget"], outputs, original.outputs, forget, test, seed=0)
            findings |= {"relative_distance": describe("relative_distance", distance)}
    return Candidate(
        role="subject",
        outputs=outputs,
        comparators=[one.outputs for one in references] or [original.outputs],
        comparator_kind="reference" if references else "original",
        attack_results={},
        findings=findings,
        scores=scores,
        whole_classes=whole_classes,
        task="classification",
        comparator_findings=[one.findings for one in references],
    )
