from typing import Any

import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor, nn

from tests.methods.test_unsir import accuracy, blobs, copied, network
from tests.tiny import same
from unlearn_cli.learning.adaptive_training import MOST_EPOCHS, measure_loss
from unlearn_cli.learning.adaptive_training import choose_lr as choose_rate_of_weights
from unlearn_cli.learning.masking import MaskedDistillation
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import fit
from unlearn_cli.methods import distil as module
from unlearn_cli.methods.distil import DistilledLoss, bound_steps, choose_epochs, choose_lr, distil, find_lacking
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import start

RECIPE = Recipe(epochs=10, lr=1e-2, is_known=True)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(fit(network(), blobs([0, 1, 2, 3]), nn.functional.cross_entropy, epochs=10, lr=1e-2).state_dict())


def forget(weights: dict[str, Tensor], classes: list[int], recipe: Recipe = RECIPE, **settings: Any) -> nn.Module:
    retain = blobs([number for number in range(4) if number not in classes])
    original = copied(weights).requires_grad_(False).eval()
    torch.manual_seed(1)
    return distil(network(), original, retain, nn.functional.cross_entropy, recipe, **settings)


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


def test_half_of_the_epochs_have_twice_the_rate(weights: dict[str, Tensor]) -> None:
    with start(device="cpu") as run:
        forget(weights, [0])
        assert run.chosen_settings == {"epochs": 5, "lr": 2e-2}
        assert run.phases == ["distil"]
        assert run.cost.optimizer_steps == 5 * 10  # 600 records, 64 a batch
    assert choose_lr(RECIPE, 8) == pytest.approx(1.25e-2)
    assert choose_lr(RECIPE, 1) == pytest.approx(2e-2)
    assert choose_lr(RECIPE, 30) == pytest.approx(1e-2)


@pytest.mark.parametrize(("of_original", "epochs"), [(1, 1), (7, 4), (20, 10), (300, 150), (900, 150)])
def test_the_default_epochs_are_within_the_bounds_of_the_dry_run(of_original: int, epochs: int) -> None:
    assert choose_epochs(Recipe(epochs=of_original, is_known=True)) == epochs
    least, most = bound_steps({"epochs": None}, 12)["steps"]
    assert least <= 12 * epochs <= most
    assert bound_steps({"epochs": 3}, 12) == {}


def test_without_the_originals_outputs_it_is_the_training_of_the_recipe(
    weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The order of the records depends on the name of the phase.
    monkeypatch.setattr(module, "track", lambda batches, _, *rest: track(batches, "train", *rest))
    model = forget(weights, [0], epochs=3, lr=1e-2, distillation=0.0)
    torch.manual_seed(1)
    trained = fit(network(), blobs([1, 2, 3]), nn.functional.cross_entropy, epochs=3, lr=1e-2)
    assert same(model.state_dict(), trained.state_dict())


def test_without_a_recipe_the_training_ends_near_the_originals_loss(weights: dict[str, Tensor]) -> None:
    loss, retain = nn.functional.cross_entropy, blobs([1, 2, 3])
    with start(device="cpu") as run:
        model = forget(weights, [0], Recipe())
        assert measure_loss(model, retain, loss) <= max(0.01, 1.1 * measure_loss(copied(weights), retain, loss))
        assert run.chosen_settings["epochs"] < MOST_EPOCHS
        assert run.chosen_settings["lr"] == pytest.approx(choose_rate_of_weights(network()), rel=0.3)
        assert any("no recipe of the original is recorded" in line for line in run.notes)
        assert not any("set epochs and lr" in line for line in run.notes)
    assert accuracy(model, [0]) == 0
    assert accuracy(model, [1, 2, 3]) > 0.95


def test_a_loss_that_is_not_reached_is_noted(weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GOAL", 0.0)
    monkeypatch.setattr(module, "SMALLEST_GOAL", 0.0)
    with start(device="cpu") as run:
        forget(weights, [0], Recipe(), lr=1e-5)
        assert run.chosen_settings == {"epochs": MOST_EPOCHS, "lr": 1e-5}
        assert any(line.endswith("not 0; set epochs and lr") for line in run.notes)


def test_epochs_that_are_set_need_no_recipe(weights: dict[str, Tensor]) -> None:
    with start(device="cpu") as run:
        forget(weights, [0], Recipe(), epochs=1)
        assert run.chosen_settings["epochs"] == 1 and not run.notes
