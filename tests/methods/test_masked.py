from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import Tensor, nn

from tests.methods.observing import watch_targets
from tests.methods.test_unsir import accuracy, blobs, network
from unlearn_cli.data.augment import HorizontalFlip
from unlearn_cli.data.batches import UnlabelledBatches, without_labels
from unlearn_cli.learning.masking import can_store, distillation_loss, mask_classes, masked_softmax
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import fit
from unlearn_cli.methods.masked import masked
from unlearn_cli.runtime.run import start


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(fit(network(), blobs([0, 1, 2, 3]), nn.functional.cross_entropy, epochs=10, lr=1e-2).state_dict())


RECIPE = Recipe(epochs=10, lr=1e-2, is_known=True)


def copied(weights: dict[str, Tensor]) -> nn.Module:
    model = network()
    model.load_state_dict(weights)
    return model


def inputs(classes: list[int], n: int = 200) -> UnlabelledBatches:
    return without_labels(blobs(classes, n))


def forget(
    weights: dict[str, Tensor], classes: list[int], model: nn.Module | None = None, **settings: Any
) -> nn.Module:
    model, original = model or copied(weights), copied(weights).requires_grad_(False).eval()
    retain = inputs([number for number in range(4) if number not in classes])
    return masked(model, original, inputs(classes), retain, classes, RECIPE, **settings)


def test_the_target_is_the_originals_softmax_with_the_lost_classes_taken_out() -> None:
    outputs = torch.randn(50, 4, dtype=torch.float64) * 3
    lost = mask_classes([1, 3], 4, torch.device("cpu"))
    targets = masked_softmax(outputs, lost)
    whole = softmax(outputs.numpy(), axis=1)
    expected = whole[:, [0, 2]] / whole[:, [0, 2]].sum(axis=1, keepdims=True)
    assert targets[:, [0, 2]].numpy() == pytest.approx(expected, abs=1e-6)
    assert (targets[:, [1, 3]] == 0).all()


def test_the_loss_is_the_divergence_of_scipy_and_zero_only_at_the_target() -> None:
    outputs, own = torch.randn(20, 4), torch.randn(20, 4)
    targets = masked_softmax(outputs, mask_classes([2], 4, torch.device("cpu")))
    expected = rel_entr(targets.numpy(), softmax(own.numpy(), axis=1)).sum(axis=1).mean()
    assert float(distillation_loss(own, targets)) == pytest.approx(expected, rel=1e-5)
    at_target = outputs.masked_fill(torch.tensor([False, False, True, False]), -1e9)
    assert float(distillation_loss(at_target, targets)) == pytest.approx(0.0, abs=1e-6)
    assert float(distillation_loss(own, targets)) > 0.1


def test_every_record_of_both_splits_gets_the_masked_originals_distribution(weights: dict[str, Tensor]) -> None:
    model, original = copied(weights), copied(weights).eval()
    steps = watch_targets(model)
    forget(weights, [0], model, steps=12, lr=1e-3)
    assert len(steps) == 12
    for step in steps:
        logits = original(step.x).detach().double().numpy()
        logits[:, 0] = -1e9
        assert step.targets.numpy() == pytest.approx(softmax(logits, axis=1), abs=1e-4)


def test_with_augmentation_the_targets_are_those_of_the_augmented_records(weights: dict[str, Tensor]) -> None:
    plain = inputs([1, 2, 3])
    augmented = replace(plain, batches=replace(plain.batches, augmentations=(HorizontalFlip(),)))
    assert can_store([plain], 10)
    assert not can_store([plain, augmented], 10)
    assert not can_store([plain], 1), "the steps read fewer records than there are"


@pytest.mark.parametrize("classes", [[0], [1, 3]])
def test_the_classes_are_forgotten_and_the_others_stay(weights: dict[str, Tensor], classes: list[int]) -> None:
    others = [number for number in range(4) if number not in classes]
    model = forget(weights, classes)
    assert accuracy(model, classes) <= 0.01
    assert accuracy(model, others) > 0.98


def test_with_one_class_left_it_is_predicted_for_every_record(weights: dict[str, Tensor]) -> None:
    model = forget(weights, [0, 1, 2]).eval()
    x = next(blobs([0, 1, 2, 3]).sequential(800))[0]
    assert (model(x).argmax(dim=1) == 3).float().mean() > 0.98


def test_rounds_raise_the_rate_until_the_class_is_not_recognised(weights: dict[str, Tensor]) -> None:
    slow = Recipe(lr=2e-4, is_known=True)
    model, original = copied(weights), copied(weights).requires_grad_(False).eval()
    with start(device="cpu") as run:
        masked(model, original, inputs([0]), inputs([1, 2, 3]), [0], slow)
        assert run.phases[:2] == ["distil", "distil"]
        assert run.chosen_settings["lr"] == pytest.approx(1e-4 * 2 ** (len(run.phases) - 1))
        assert run.notes == ([] if accuracy(model, [0]) <= 0.02 else run.notes)
    with start(device="cpu") as run:
        masked(copied(weights), original, inputs([0]), inputs([1, 2, 3]), [0], slow, lr=1e-6)
        assert run.phases == ["distil"]
        assert any("still recognised" in line for line in run.notes)


def test_no_label_is_read(weights: dict[str, Tensor]) -> None:
    model = forget(weights, [0])
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
