"""What metrics and attacks are given: computed when one asks for it, and once a checkpoint."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import nn

from unlearn_cli.checkpoint import Checkpoint
from unlearn_cli.commands.session import Session
from unlearn_cli.predict import Outputs, penultimate

RANDOM_NETWORKS = 5
RETAIN_SAMPLE = 2000  # records of retain that attacks see: as many as they need, and no more than is quick


class Inputs(Mapping[str, Any]):
    """Inputs by name, each made when it is asked for: what a plug-in does not ask for is never computed."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self.makers = makers

    def __getitem__(self, name: str) -> Any:
        return self.makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)


class Evidence:
    """All checkpoints of a command by role (subject, original, reference, reference_2, ...), and what they put out."""

    def __init__(self, session: Session, weights: dict[str, Checkpoint], holdout: np.ndarray | None = None) -> None:
        self.session, self.weights, self.holdout = session, weights, holdout
        self._outputs: dict[str, dict[str, Outputs]] = {}
        self._features: dict[str, dict[str, np.ndarray]] = {}
        self._random: dict[str, list[Outputs]] = {}

    def references(self, but: str = "") -> list[str]:
        """Return the roles of the references, without the one that is judged itself."""
        return [role for role in self.weights if role.startswith("reference") and role != but]

    def model(self, role: str) -> nn.Module:
        """Return the network of a role, frozen and in eval mode; a new copy each time."""
        return self.session.load(self.weights[role])

    def outputs(self, role: str) -> dict[str, Outputs]:
        """Return what a checkpoint says of every split, and of the hold-out."""
        if role not in self._outputs:
            model = self.model(role)
            with self.session.run.counted(model):
                self._outputs[role] = self.session.all_outputs(model)
        found = self._outputs[role]
        return found if self.holdout is None else {**found, "holdout": found["test"].take(self._holdout_places())}

    def features(self, role: str) -> dict[str, np.ndarray]:
        """Return the penultimate features (n, width) of forget, a sample of retain, and test."""
        if role not in self._features:
            model = self.model(role)
            batches = {name: self.session.batches(name) for name in ("forget", "retain", "test")}
            batches["retain"] = batches["retain"].take(self._retain_places())
            with self.session.run.counted(model):
                self._features[role] = {name: penultimate(model, found) for name, found in batches.items()}
        return self._features[role]

    def random_outputs(self, split: str) -> list[Outputs]:
        """Return what networks with new random weights say of a split: what ZRF compares with."""
        if split not in self._random:
            networks = [self.session.fresh(f"random {i}").eval() for i in range(RANDOM_NETWORKS)]
            self._random[split] = [self.session.outputs(network, split) for network in networks]
        return self._random[split]

    def _retain_places(self) -> np.ndarray:
        random = np.random.default_rng(self.session.run.seed)
        return np.sort(random.permutation(len(self.session.opened.dataset.split("retain")))[:RETAIN_SAMPLE])

    def _holdout_places(self) -> np.ndarray:
        """Return where the records of the hold-out lie among the outputs of test (which join its two parts)."""
        splits = self.session.opened.dataset.splits
        assert self.holdout is not None
        if "test_forget" not in splits:
            return self.holdout
        rows = np.concatenate([splits["test_forget"].rows, splits["test_retain"].rows])
        place = {row: position for position, row in enumerate(rows.tolist())}
        return np.array([place[row] for row in splits["test"].rows[self.holdout].tolist()], dtype=np.int64)

    def inputs(self, role: str) -> Inputs:
        """Return what attacks on this checkpoint may ask for."""
        session, dataset = self.session, self.session.opened.dataset
        others = self.references(but=role)
        makers: dict[str, Callable[[], Any]] = {
            "forget_outputs": lambda: self.outputs(role)["forget"],
            "holdout_outputs": lambda: self.outputs(role)["holdout"],
            "retain_outputs": lambda: self.outputs(role)["retain"].take(self._retain_places()),
            "original_forget_outputs": lambda: self.outputs("original")["forget"],
            "original_holdout_outputs": lambda: self.outputs("original")["holdout"],
            "reference_forget_outputs": lambda: [self.outputs(other)["forget"] for other in others],
            "reference_holdout_outputs": lambda: [self.outputs(other)["holdout"] for other in others],
            "split_outputs": lambda: self.outputs(role),
            "split_features": lambda: self.features(role),
            "model": lambda: self.model(role),
            "original": lambda: self.model("original"),
            "references": lambda: [self.model(other) for other in others],
            "forget": lambda: session.batches("forget"),
            "retain": lambda: session.batches("retain"),
            "test": lambda: session.batches("test"),
            "holdout": lambda: session.batches("test").take(self._holdout_or_none()),
            "forget_classes": lambda: dataset.forget_classes,
            "class_names": lambda: dataset.classes,
            "num_classes": lambda: dataset.num_outputs,
            "input_shape": lambda: tuple(session.manifest.input.shape),
            "task_loss": session.task_loss,
            "random": lambda: session.run.random,
            "seed": lambda: session.run.seed,
        }
        return Inputs(makers)

    def _holdout_or_none(self) -> np.ndarray:
        assert self.holdout is not None
        return self.holdout
