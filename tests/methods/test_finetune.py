"""Fine-tuning: a step by hand, and as many steps as were asked for."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.methods.test_unsir import blobs, network
from unlearn_cli.methods.finetune import finetune
from unlearn_cli.runtime.run import start


def test_one_step_of_sgd_subtracts_the_gradient() -> None:
    torch.manual_seed(0)
    model, retain = network(), blobs([0, 1], n=20)  # one batch of 40
    (x, y), *_ = retain.sequential(1000)
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    expected = [weight - 0.1 * g for weight, g in zip(copy.deepcopy(model).parameters(), gradients, strict=True)]
    finetune(model, retain, F.cross_entropy, steps=1, optimizer="sgd", lr=0.1)
    for found, wanted in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "count"), [({"steps": 10}, 10), ({"epochs": 3}, 21), ({"epochs": 9, "steps": 2}, 2)]
)
def test_it_takes_the_steps_or_the_epochs_asked_for(settings: dict[str, Any], count: int) -> None:
    with start(device="cpu") as run:
        finetune(network(), blobs([0, 1]), F.cross_entropy, **settings)  # 400 records, 64 a batch: 7 batches
    assert run.cost.optimizer_steps == count
