"""What metrics and attacks are given: computed when one asks for it, and once a checkpoint."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import nn

from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.data.batches import Batches
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.predict import join
from unlearn_cli.evaluation.session import Session
from unlearn_cli.learning.shadows import Pool, ShadowRuns
from unlearn_cli.stats.outputs import Outputs

RANDOM_NETWORKS = 5
PARTS = ("forget", "retain", "test_forget", "test_retain", "test")


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
    """All checkpoints of a command by role (subject, original, reference, reference_2, ...), and what they put out.

    `caps` bounds how many records of a split are looked at, `holdout` names records of test.
    """

    def __init__(
        self,
        session: Session,
        weights: dict[str, Checkpoint],
        caps: dict[str, int] | None = None,
        holdout: np.ndarray | None = None,
        shadows: ShadowRuns | None = None,
    ) -> None:
        self.session, self.weights, self.caps, self.holdout = session, weights, caps or {}, holdout
        self.shadows = shadows
        self._outputs: dict[str, dict[str, Outputs]] = {}
        self._features: dict[str, dict[str, np.ndarray]] = {}
        self._random: dict[str, list[Outputs]] = {}

    def references(self, but: str = "") -> list[str]:
        """Return the roles of the references, without the one that is judged itself."""
        return [role for role in self.weights if role.startswith("reference") and role != but]

    def model(self, role: str) -> nn.Module:
        """Return the network of a role, frozen and in eval mode; a new copy each time, which may be copied itself."""
        return self.session.load(self.weights[role], whole=True)

    def batches(self, name: str) -> Batches:
        """Return the batches of a split; of at most as many records as `caps` allows, drawn with the seed."""
        found = self.session.batches(name)
        cap = self.caps.get(name, found.num_samples)
        if found.num_samples <= cap:
            return found
        order = np.random.default_rng(self.session.run.seed).permutation(found.num_samples)
        return found.take(np.sort(order[:cap]))

    def outputs(self, role: str) -> dict[str, Outputs]:
        """Return what a checkpoint says of every split; train, where it is looked at wholly, and the hold-out too."""
        if role not in self._outputs:
            self._outputs[role] = self._predict(role)
        return self._outputs[role]

    def remember(self, role: str, outputs: dict[str, Outputs]) -> None:
        """Take outputs of all splits that were computed before, instead of computing them again."""
        self._outputs[role] = self._with_holdout(outputs)

    def _with_holdout(self, found: dict[str, Outputs]) -> dict[str, Outputs]:
        return found if self.holdout is None else {**found, "holdout": found["test"].take(self.places(self.holdout))}

    def _predict(self, role: str) -> dict[str, Outputs]:
        """Go once over the data; with caps, as attacks do, the features are kept, too."""
        session, splits = self.session, self.session.opened.dataset.splits
        model = session.load(self.weights[role])
        with session.run.count_samples(model):
            if not self.caps:
                return self._with_holdout(session.all_outputs(model))
            parts = [name for name in PARTS if name in splits and not (name == "test" and "test_forget" in splits)]
            seen = {name: session.observe(model, self.batches(name)) for name in parts}
        found = {name: outputs for name, (outputs, _) in seen.items()}
        features = {name: kept for name, (_, kept) in seen.items() if kept is not None}
        if "test_forget" in found:
            found["test"] = join([found["test_forget"], found["test_retain"]])
            of_test = [features[name] for name in ("test_forget", "test_retain") if name in features]
            features |= {"test": np.concatenate(of_test)} if of_test else {}  # a part without records has none
        self._features[role] = features
        return self._with_holdout(found)

    def features(self, role: str) -> dict[str, np.ndarray]:
        """Return the penultimate features (n, width) of every split but train, in the order of `outputs`.

        Raises:
            UserError: the network has no linear layer.
        """
        self.outputs(role)
        found = self._features[role]
        if not found:
            raise UserError("the network has no linear layer: its penultimate features are not defined; name attacks")
        return found if self.holdout is None else {**found, "holdout": found["test"][self.places(self.holdout)]}

    def random_outputs(self, split: str) -> list[Outputs]:
        """Return what networks with new random weights say of a split: what ZRF compares with."""
        if split not in self._random:
            self._random[split] = [self._random_network_outputs(number, split) for number in range(RANDOM_NETWORKS)]
        return self._random[split]

    def _random_network_outputs(self, number: int, split: str) -> Outputs:
        """Return what one of them says; it is gone afterwards, so that memory holds one at a time."""
        network = self.session.fresh(f"random {number}").eval()
        with self.session.run.count_samples(network):
            return self.session.outputs(network, split)

    def places(self, positions: np.ndarray) -> np.ndarray:
        """Return where records of test, given by position, lie among its outputs, which join its two parts."""
        splits = self.session.opened.dataset.splits
        if "test_forget" not in splits:
            return positions
        rows = np.concatenate([splits["test_forget"].rows, splits["test_retain"].rows])
        order = np.argsort(rows)
        return order[np.searchsorted(rows, splits["test"].rows[positions], sorter=order)]

    def inputs(self, role: str) -> Inputs:
        """Return what attacks on this checkpoint may ask for."""
        session, dataset = self.session, self.session.opened.dataset
        others = self.references(but=role)
        makers: dict[str, Callable[[], Any]] = {
            "forget_outputs": lambda: self.outputs(role)["forget"],
            "holdout_outputs": lambda: self.outputs(role)["holdout"],
            "retain_outputs": lambda: self.outputs(role)["retain"],
            "original_forget_outputs": lambda: self.outputs("original")["forget"],
            "original_holdout_outputs": lambda: self.outputs("original")["holdout"],
            "reference_forget_outputs": lambda: [self.outputs(other)["forget"] for other in others],
            "reference_holdout_outputs": lambda: [self.outputs(other)["holdout"] for other in others],
            "split_outputs": lambda: {**self.outputs(role), "retain_sample": self.outputs(role)["retain"]},
            "split_features": lambda: self.features(role),
            "shadow_runs": lambda: self._shadows().of(role),
            "retained_shadow_runs": lambda: self._retained(role),
            "all_shadow_runs": self._shadows,
            "model": lambda: self.model(role),
            "original": lambda: self.model("original"),
            "references": lambda: [self.model(other) for other in others],
            "forget": lambda: session.batches("forget"),
            "retain": lambda: session.batches("retain"),
            "test": lambda: session.batches("test"),
            "holdout": lambda: session.batches("test").take(np.asarray(self.holdout)),
            "forget_classes": lambda: dataset.forget_classes,
            "class_names": lambda: dataset.classes,
            "num_classes": lambda: dataset.num_outputs,
            "input_shape": lambda: tuple(session.manifest.input.shape),
            "task_loss": session.task_loss,
            "random": lambda: session.run.random,
            "seed": lambda: session.run.seed,
        }
        return Inputs(makers)

    def _shadows(self) -> ShadowRuns:
        assert self.shadows is not None
        return self.shadows

    def _retained(self, role: str) -> Pool | None:
        found = self._shadows().retained
        return found.of(role) if found else None
