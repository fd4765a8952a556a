"""Linear probe, class geometry, label inference and inversion on made-up networks whose answer is known."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.methods.test_unsir import blobs
from unlearn_cli.attacks.class_geometry import class_geometry
from unlearn_cli.attacks.inversion import distance_rank, inversion, invert
from unlearn_cli.attacks.label_inference import label_inference
from unlearn_cli.attacks.linear_probe import linear_probe
from unlearn_cli.runtime.seeds import Random
from unlearn_cli.stats.outputs import Outputs

RANDOM = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2, 3], 50)


def features(knows: bool) -> dict[str, np.ndarray]:
    """Four classes as clouds in eight dimensions; where class 0 is not known, it lies where the others do."""
    centres = 6 * np.eye(4, 8)
    if not knows:
        centres[0] = centres[1:].mean(axis=0)

    def cloud(labels: np.ndarray) -> np.ndarray:
        noise = RANDOM.normal(size=(len(labels), 8)) * (1 if knows else 6)
        return centres[labels] + noise

    return {"forget": cloud(np.zeros(100, int)), "retain": cloud(RANDOM.integers(1, 4, 300)), "test": cloud(LABELS)}


def silenced() -> dict[str, Outputs]:
    """A head that never names class 0."""
    values = RANDOM.normal(size=(200, 4))
    values[:, 0] = -100
    return {"test": Outputs(values, LABELS, "classification")}


def test_a_probe_finds_the_class_that_the_head_has_silenced() -> None:
    found = linear_probe(features(True), silenced(), [0], 0).quantities
    assert found["recall_of_the_head"].value == 0
    assert (found["recall_forgotten"].value or 0) > 0.95
    assert (found["false_alarms"].high or 1) < 0.05
    assert found["recall_forgotten"].n == 50


def test_a_probe_finds_nothing_where_nothing_is() -> None:
    found = linear_probe(features(False), silenced(), [0], 0).quantities
    assert found["auc"].value == pytest.approx(0.5, abs=0.2)
    few = {name: part[:5] for name, part in features(True).items()} | {"test": features(True)["test"]}
    assert linear_probe(few, silenced(), [0], 0).quantities["recall_forgotten"].reason


@pytest.mark.parametrize("exposed", [True, False])
def test_geometry_sees_a_class_that_all_goes_to_one_neighbour_unevenly(exposed: bool) -> None:
    values = RANDOM.normal(size=(400, 4))
    labels = np.repeat([0, 1, 2, 3], 100)
    values[np.arange(400), labels] += 4 * (labels > 0)
    if exposed:
        values[labels == 0] = 0.1 * RANDOM.normal(size=(100, 4)) + [0, 0.5, 0, 0]  # as even as no retained class is
    else:
        values[np.arange(100), RANDOM.integers(1, 4, 100)] += 4  # scattered like the others
    found = class_geometry({"test": Outputs(values, labels, "classification")}, [0], 0).quantities
    if exposed:
        assert (found["auc"].value or 0) > 0.95
        assert (found["auc_entropy"].value or 0) > 0.95
        assert (found["nearest_class_share"].value or 0) > 0.9
    else:
        assert found["auc"].value == pytest.approx(0.5, abs=0.15)
    shifted = values.copy()
    shifted[:, 0] -= 50  # the silenced output itself is not looked at
    again = class_geometry({"test": Outputs(shifted, labels, "classification")}, [0], 0).quantities
    assert again["auc"].value == pytest.approx(found["auc"].value)


def linear_network(kill: int | None = None) -> nn.Sequential:
    """Logits 3 x: class c is whatever points along axis c."""
    layer = nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight.copy_(3 * torch.eye(4))
        layer.bias.zero_()
        if kill is not None:
            layer.bias[kill] = -100
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


@pytest.mark.parametrize("forgotten", [0, 2])
def test_the_class_whose_output_was_destroyed_is_inferred(forgotten: int) -> None:
    found = label_inference(
        linear_network(forgotten), linear_network(), [forgotten], 4, (4,), Random(0, "test"), probes=4, steps=30
    ).quantities
    assert found["rank"].value == 1
    assert (found["fall_forgotten"].value or 0) > 0.8
    assert found["fall_others"].value == pytest.approx(0, abs=0.1)


def test_a_network_that_was_left_alone_shows_no_fall() -> None:
    found = label_inference(linear_network(), linear_network(), [1], 4, (4,), Random(0, "t"), probes=2, steps=5)
    assert found.quantities["fall_forgotten"].value == 0


def test_inversion_of_a_linear_network_goes_along_its_axis_and_stops() -> None:
    low, high = torch.full((4,), -1.0), torch.full((4,), 1.0)
    calls = []
    network = linear_network()
    network.register_forward_hook(lambda *_: calls.append(1))
    picture = invert(network, 2, low, high, steps=500, lr=0.1, patience=50, stop=0.9)
    assert int(picture.argmax()) == 2
    assert float((network(picture[None]).softmax(1))[0, 2]) >= 0.9
    assert len(calls) < 100  # it stops when it is there
    assert bool((picture >= low).all() and (picture <= high).all())
    bounded = invert(network, 2, low, high, steps=500, lr=0.1, patience=50, stop=1.0)
    assert float(bounded[2]) == pytest.approx(1, abs=1e-3)  # the corner of the box
    assert float(bounded[[0, 1, 3]].max()) == pytest.approx(-1, abs=0.05)


def test_the_input_after_the_last_step_counts() -> None:
    low, high = -torch.ones(4), torch.ones(4)
    picture = invert(linear_network(), 2, low, high, steps=1, lr=0.1, patience=50, stop=1.0)
    assert float(picture.norm()) == pytest.approx(0.1, rel=1e-4)


def test_a_destroyed_class_cannot_be_drawn_out_though_the_original_would_give_it() -> None:
    forget, test = blobs([0]), blobs([0, 1, 2, 3])
    width = forget.shape[0]

    class Net(nn.Module):
        def __init__(self, kill: bool) -> None:
            super().__init__()
            self.head = nn.Linear(width, 4)
            x, y = (torch.cat(part) for part in zip(*test.sequential(100), strict=True))
            centres = torch.stack([x[y == label].mean(0) for label in range(4)])
            with torch.no_grad():
                self.head.weight.copy_(centres)
                self.head.bias.copy_(-0.5 * centres.square().sum(1))
                if kill:
                    self.head.weight[0], self.head.bias[0] = 0, -100

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x)

    whole, dead = (Net(kill).requires_grad_(False) for kill in (False, True))
    known, gone = (inversion(net, whole, forget, test, [0], steps=200).quantities for net in (whole, dead))
    assert (known["confidence"].value or 0) > 0.9
    assert (known["attack_accuracy"].value or 0) > 0.9
    assert (gone["confidence"].value or 1) < 0.01


def test_ranks_count_who_is_nearer() -> None:
    means = {0: torch.zeros(2), 1: torch.ones(2), 2: torch.full((2,), 5.0)}
    assert distance_rank(torch.full((2,), 0.9), means, 1) == 1
    assert distance_rank(torch.full((2,), 0.9), means, 2) == 3
