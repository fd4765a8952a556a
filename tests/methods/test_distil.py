from typing import Any

import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor, nn

from tests.methods.test_unsir import accuracy, blobs, copied, network
from unlearn_cli.learning.adaptive_training import MOST_EPOCHS, choose_lr, measure_loss
from unlearn_cli.learning.masking import MaskedDistillation
from unlearn_cli.learning.training import fit
from unlearn_cli.methods.distil import DistilledLoss, bound_steps, distil, find_lacking
from unlearn_cli.runtime.run import start


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(fit(network(), blobs([0, 1, 2, 3]), nn.functional.cross_entropy, epochs=10, lr=1e-2).state_dict())


def forget(weights: dict[str, Tensor], classes: list[int], **settings: Any) -> nn.Module:
    retain = blobs([number for number in range(4) if number not in classes])
    original = copied(weights).requires_grad_(False).eval()
    torch.manual_seed(1)
    return distil(network(), original, retain, nn.functional.cross_entropy, **settings)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_loss_is_that_of_scipy_on_labels_and_on_the_original_without_lacking_classes(share: float) -> None:
    torch.manual_seed(0)
    x, outputs = torch.randn(40, 4) * 3, torch.randn(40, 4)
    labels = torch.arange(40) % 3
    divergence = MaskedDistillation(nn.Identity(), torch.arange(4) == 3, temperature=1.0)
    loss = DistilledLoss(nn.functional.cross_entropy, divergence, share)(outputs, x, labels)

    logs = log_softmax(outputs.double().numpy(), axis=1)
    targets = softmax(x[:, :3].double().numpy(), axis=1)
    divergence = (targets * (log_softmax(x[:, :3].double().numpy(), axis=1) - logs[:, :3])).sum(axis=1).mean()
    expected = (1 - share) * -logs[range(40), labels.numpy()].mean() + share * divergence
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_classes_that_retain_lacks_are_masked() -> None:
    assert find_lacking(blobs([1, 3])).tolist() == [True, False, True, False]
    assert not find_lacking(blobs([0, 1, 2, 3])).any()


@pytest.mark.parametrize("classes", [[0], [1, 3]])
def test_lost_classes_are_unknown_to_the_new_weights_and_the_others_are_learned(
    weights: dict[str, Tensor], classes: list[int]
) -> None:
    model = forget(weights, classes)
    assert accuracy(model, classes) == 0
    assert accuracy(model, [number for number in range(4) if number not in classes]) > 0.98


def test_the_training_ends_as_soon_as_the_average_has_the_originals_loss(weights: dict[str, Tensor]) -> None:
    loss, retain = nn.functional.cross_entropy, blobs([1, 2, 3])
    goal = max(0.01, 1.1 * measure_loss(copied(weights), retain, loss))
    with start(device="cpu") as run:
        model = forget(weights, [0])
        taken = run.chosen_settings["epochs"]
        assert measure_loss(model, retain, loss) <= goal and taken < MOST_EPOCHS
        assert run.chosen_settings["lr"] == pytest.approx(choose_lr(network()), rel=0.3)
        assert run.cost.optimizer_steps == taken * 10 and not run.notes  # 600 records, 64 a batch
    shorter = forget(weights, [0], epochs=int(taken) - 1)
    assert measure_loss(shorter, retain, loss) > goal


def test_a_goal_that_is_not_reached_is_noted(weights: dict[str, Tensor]) -> None:
    with start(device="cpu") as run:
        forget(weights, [0], lr=1e-5)
        assert run.chosen_settings == {"lr": 1e-5, "epochs": MOST_EPOCHS}
        assert any(line.endswith("was the goal; set epochs and lr") for line in run.notes)


def test_epochs_that_are_set_have_no_goal(weights: dict[str, Tensor]) -> None:
    with start(device="cpu") as run:
        forget(weights, [0], epochs=2)
        assert (run.cost.optimizer_steps, run.notes) == (2 * 10, [])


def test_the_default_epochs_are_within_the_bounds_of_the_dry_run() -> None:
    assert bound_steps({"epochs": None}, 12) == {"steps": (12, 12 * MOST_EPOCHS)}
    assert bound_steps({"epochs": 3}, 12) == {}


def test_it_is_the_average_of_adam_on_the_loss(weights: dict[str, Tensor]) -> None:
    """Two epochs by hand: the rate rises in the first, and the average weighs each step by 5 / (number + 4)."""
    model, retain = forget(weights, [0], epochs=2, lr=1e-2, distillation=0.0), blobs([1, 2, 3])
    torch.manual_seed(1)
    own = network()
    average = [parameter.detach().clone() for parameter in own.parameters()]
    optimizer, number = torch.optim.Adam(own.parameters()), 0
    for _ in range(2):
        for x, y in retain.epochs(1).from_step("distil", 0):  # without a run, phases have equal names and orders
            number += 1
            optimizer.param_groups[0]["lr"] = 1e-2 * min(1.0, number / len(retain))
            optimizer.zero_grad()
            nn.functional.cross_entropy(own(x), y).backward()
            optimizer.step()
            for mean, parameter in zip(average, own.parameters(), strict=True):
                mean.lerp_(parameter.detach(), min(1.0, 5 / (number + 4)))
    for ours, mean in zip(model.parameters(), average, strict=True):
        torch.testing.assert_close(ours, mean)
