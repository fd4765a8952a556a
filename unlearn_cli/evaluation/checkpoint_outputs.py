"""The outputs of all checkpoints of a command, computed on first use, once per checkpoint."""

import numpy as np
from torch import nn

from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.data.batches import Batches
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.predict import join
from unlearn_cli.evaluation.session import Session
from unlearn_cli.learning.shadows import ShadowRuns
from unlearn_cli.learning.weight_distances import Weights
from unlearn_cli.stats.outputs import Outputs

RANDOM_NETWORKS = 5
PARTS = ("forget", "retain", "test_forget", "test_retain", "test")


class CheckpointOutputs:
    """All checkpoints of a command by role (subject, original, reference, reference_2, ...), and their outputs.

    `caps` limits the number of records per split; `holdout` has the positions of the hold-out in test.
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
        """Return the roles of the references, except `but`."""
        return [role for role in self.weights if role.startswith("reference") and role != but]

    def model(self, role: str) -> nn.Module:
        """Return a new copy of the network of a role, frozen and in eval mode; it may be deep-copied."""
        return self.session.load(self.weights[role], whole=True)

    def batches(self, name: str) -> Batches:
        """Return the batches of a split, or of a seeded sample if `caps` limits it."""
        batches = self.session.batches(name)
        cap = self.caps.get(name, batches.num_samples)
        if batches.num_samples <= cap:
            return batches
        order = np.random.default_rng(self.session.run.seed).permutation(batches.num_samples)
        return batches.take(np.sort(order[:cap]))

    def outputs(self, role: str) -> dict[str, Outputs]:
        """Return the outputs on every split and on the hold-out; with `caps`, without train."""
        if role not in self._outputs:
            self._outputs[role] = self._predict(role)
        return self._outputs[role]

    def remember(self, role: str, outputs: dict[str, Outputs]) -> None:
        """Store outputs that were computed earlier, instead of computing them again."""
        self._outputs[role] = self._with_holdout(outputs)

    def _with_holdout(self, outputs: dict[str, Outputs]) -> dict[str, Outputs]:
        if self.holdout is None:
            return outputs
        return {**outputs, "holdout": outputs["test"].take(self.locate_in_test(self.holdout))}

    def _predict(self, role: str) -> dict[str, Outputs]:
        """Run the network over the splits once; with `caps`, as for attacks, also store the features."""
        session, splits = self.session, self.session.opened.dataset.splits
        model = session.load(self.weights[role])
        with session.run.count_samples(model=model):
            if not self.caps:
                return self._with_holdout(session.all_outputs(model))
            parts = [name for name in PARTS if name in splits and not (name == "test" and "test_forget" in splits)]
            observed = {name: session.observe(model, self.batches(name)) for name in parts}
        outputs = {name: of_split for name, (of_split, _) in observed.items()}
        features = {name: of_split for name, (_, of_split) in observed.items() if of_split is not None}
        if "test_forget" in outputs:
            outputs["test"] = join([outputs["test_forget"], outputs["test_retain"]])
            of_test = [features[name] for name in ("test_forget", "test_retain") if name in features]
            features |= {"test": np.concatenate(of_test)} if of_test else {}  # a part without records has no features
        self._features[role] = features
        return self._with_holdout(outputs)

    def features(self, role: str) -> dict[str, np.ndarray]:
        """Return the penultimate features (n, width) of every split except train, in the order of `outputs`.

        Raises:
            UserError: the network has no linear layer.
        """
        self.outputs(role)
        features = self._features[role]
        if not features:
            raise UserError(
                "the network has no linear layer, so its penultimate features are not defined; choose other attacks "
                "with --attack"
            )
        if self.holdout is None:
            return features
        return {**features, "holdout": features["test"][self.locate_in_test(self.holdout)]}

    def random_outputs(self, split: str) -> list[Outputs]:
        """Return the outputs of networks with new random weights on a split, for the metric zrf."""
        if split not in self._random:
            self._random[split] = [self._predict_random_network(number, split) for number in range(RANDOM_NETWORKS)]
        return self._random[split]

    def _predict_random_network(self, number: int, split: str) -> Outputs:
        """Return the outputs of one random network, which is freed afterwards: only one is in memory at a time."""
        network = self.session.fresh(f"random {number}").eval()
        with self.session.run.count_samples(network=network):
            return self.session.outputs(network, split)

    def locate_in_test(self, positions: np.ndarray) -> np.ndarray:
        """Return the indices of test records in the outputs of test, which are ordered by its two parts."""
        splits = self.session.opened.dataset.splits
        if "test_forget" not in splits:
            return positions
        rows = np.concatenate([splits["test_forget"].rows, splits["test_retain"].rows])
        order = np.argsort(rows)
        return order[np.searchsorted(rows, splits["test"].rows[positions], sorter=order)]

    def read_weights(self, role: str) -> Weights:
        """Return parameters and buffers of a checkpoint as stored in its file; no network is built."""
        tensors, names = self.weights[role].tensors, self.session.names
        parameters, buffers = ({name: tensors[name] for name in part if name in tensors} for part in names)
        return Weights(parameters, {name: tensor for name, tensor in buffers.items() if tensor.is_floating_point()})

    @property
    def shadow_runs(self) -> ShadowRuns:
        assert self.shadows is not None
        return self.shadows
