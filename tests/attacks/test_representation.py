"""Features of a forgotten class, on small networks."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.methods.test_unsir import blobs, network
from unlearn_cli.attacks.representation import compute_grams, representation
from unlearn_cli.learning.training import fit
from unlearn_cli.stats.hsic import compute_cka


def train(classes: list[int], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return fit(network(), blobs(classes, 60), nn.functional.cross_entropy, epochs=15, lr=1e-2).eval()


REFERENCES = [train([1, 2, 3], seed) for seed in range(3)]
TEST = blobs([0, 1, 2, 3], 40)


def test_a_reference_that_is_compared_with_itself_and_others_is_nearer_than_the_floor() -> None:
    findings = representation(REFERENCES[0], REFERENCES, TEST, [0], 0)
    distance, floor = findings.quantities["distance"].value, findings.quantities["floor"].value
    assert distance is not None and floor is not None and distance < floor
    assert findings.curves[0].values[-1] == findings.quantities["contrast"].value


def test_the_distance_is_that_of_the_layer_before_the_last_one_averaged_over_the_references() -> None:
    model = train([0, 1, 2, 3], 11)
    lost = TEST.take(np.flatnonzero(TEST.split.labels == 0))

    def features(of: nn.Module) -> np.ndarray:
        layers = [module for module in of.modules() if isinstance(module, nn.Linear)]
        store: list[torch.Tensor] = []

        def keep(_: nn.Module, __: Any, output: Any) -> None:
            store.append(output)

        handle = layers[-2].register_forward_hook(keep)
        with torch.no_grad():
            of(torch.cat([x for x, _ in lost.sequential(512)]))
        handle.remove()
        centred = store[0] - store[0].mean(dim=0)
        return (centred @ centred.T).double().numpy()

    expected = np.mean([1 - compute_cka(features(model), features(reference)) for reference in REFERENCES])
    distance = representation(model, REFERENCES, TEST, [0], 0).quantities["distance"]
    assert distance.value == pytest.approx(expected, rel=1e-3)
    assert len(compute_grams(model, lost, 8)) == len([m for m in model.modules() if isinstance(m, nn.Linear)]) - 1


def test_one_reference_has_no_floor() -> None:
    contrast = representation(REFERENCES[0], REFERENCES[1:2], TEST, [0], 0).quantities["contrast"]
    assert contrast.value is None
    assert contrast.reason
