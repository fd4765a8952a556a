from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.methods.test_unsir import accuracy, blobs, network
from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.training import fit
from unlearn_cli.methods.neggrad import Objective, chance_loss, neggrad


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(fit(network(), blobs([0, 1, 2, 3]), F.cross_entropy, epochs=10, lr=1e-2).state_dict())


def copied(weights: dict[str, Tensor]) -> nn.Module:
    model = network()
    model.load_state_dict(weights)
    return model


def gradients(model: nn.Module, part: Batches) -> list[Tensor]:
    (x, y), *_ = part.sequential(1000)
    return list(torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters())))


def loss_on(model: nn.Module, part: Batches) -> float:
    model.eval()
    (x, y), *_ = part.sequential(1000)
    return F.cross_entropy(model(x), y).item()


def test_one_step_of_pure_ascent_adds_the_gradient_and_touches_no_retain_record(weights: dict[str, Tensor]) -> None:
    model, forget = copied(weights), blobs([0], n=40)
    expected = [
        parameter.detach() + 0.1 * gradient
        for parameter, gradient in zip(model.parameters(), gradients(model, forget), strict=True)
    ]
    untouchable: Batches = None  # type: ignore[assignment]
    neggrad(
        model,
        forget,
        untouchable,
        F.cross_entropy,
        retain_weight=0.0,
        forget_weight=1.0,
        steps=1,
        lr=0.1,
        optimizer="sgd",
        max_forget_loss=None,
    )
    for parameter, wanted in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), wanted)


def test_one_step_with_retain_adds_the_one_gradient_and_takes_off_the_other(weights: dict[str, Tensor]) -> None:
    model, forget, retain = copied(weights), blobs([0], n=20), blobs([1, 2], n=20)
    pairs = zip(model.parameters(), gradients(model, forget), gradients(model, retain), strict=True)
    expected = [parameter.detach() + 0.1 * (0.3 * up - 0.5 * down) for parameter, up, down in pairs]
    settings = {
        "retain_weight": 0.5,
        "forget_weight": 0.3,
        "max_forget_loss": None,
        "steps": 1,
        "lr": 0.1,
        "optimizer": "sgd",
        "forget_share": None,
    }
    neggrad(model, forget, retain, F.cross_entropy, **settings)  # type: ignore[arg-type]
    for parameter, wanted in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), wanted)


@pytest.mark.parametrize("retain_weight", [0.0, 1.0])
def test_the_loss_on_forget_rises(weights: dict[str, Tensor], retain_weight: float) -> None:
    """A gradient that is turned round before it is computed would let it fall (peers.md 4.3, 3)."""
    model, forget = copied(weights), blobs([0])
    before = loss_on(model, forget)
    neggrad(model, forget, blobs([1, 2, 3]), F.cross_entropy, retain_weight=retain_weight, steps=5)
    assert loss_on(model, forget) > before


def test_by_default_a_class_is_forgotten_and_the_others_are_kept(weights: dict[str, Tensor]) -> None:
    model = neggrad(copied(weights), blobs([0]), blobs([1, 2, 3]), F.cross_entropy)
    assert accuracy(model, [0]) <= 0.05
    assert accuracy(model, [1, 2, 3]) >= 0.95


def test_batches_without_a_forgotten_record_only_descend(weights: dict[str, Tensor]) -> None:
    model = neggrad(copied(weights), blobs([0], n=1), blobs([1, 2, 3]), F.cross_entropy, steps=10, forget_share=None)
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def test_it_works_on_numbers_too() -> None:
    forget, retain = (part.relabelled(part.targets) for part in (blobs([0], n=20), blobs([1], n=20)))
    model = nn.Linear(2, 1)
    neggrad(model, forget, retain, lambda outputs, y: F.mse_loss(outputs.squeeze(1), y.float()), steps=3)
    assert bool(model.weight.isfinite().all())


def test_the_ascent_ends_at_the_bound(weights: dict[str, Tensor]) -> None:
    def after(bound: float | None) -> float:
        model, forget = copied(weights), blobs([0])
        settings = {"retain_weight": 0.0, "forget_weight": 1.0, "steps": 100, "max_forget_loss": bound}
        neggrad(model, forget, blobs([1]), F.cross_entropy, **settings)  # type: ignore[arg-type]
        return loss_on(model, forget)

    assert 5 < after(5.0) < 20
    assert after(None) > 25


def test_records_are_forgotten_up_to_chance(weights: dict[str, Tensor]) -> None:
    assert chance_loss(blobs([0]), F.cross_entropy) == pytest.approx(float(np.log(4)))
    targets = torch.tensor([1.0, -2.0, 0.5])
    numbers = blobs([0], n=3)
    numbers = replace(numbers, targets=targets)
    expected = float((targets**2).mean())
    assert chance_loss(numbers, lambda outputs, y: F.mse_loss(outputs.squeeze(1), y)) == pytest.approx(expected)
    objective = Objective(F.cross_entropy, 2.0, 0.2, 1.5)
    assert float(objective(torch.tensor(1.0), torch.tensor(3.0))) == pytest.approx(2 * 3 - 0.2 * 1.0)
    assert float(objective(torch.tensor(9.0), torch.tensor(3.0))) == pytest.approx(2 * 3 - 0.2 * 1.5)
