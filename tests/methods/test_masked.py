import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import Tensor, nn

from tests.methods.test_unsir import accuracy, blobs, network
from tests.tiny import same
from unlearn_cli.data.augment import HorizontalFlip
from unlearn_cli.data.batches import UnlabelledBatches, without_labels
from unlearn_cli.learning.masking import (
    MaskedDistillation,
    can_store,
    distillation_loss,
    mask_classes,
    masked_softmax,
)
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import fit
from unlearn_cli.methods.masked import FORGET_SHARE, TEMPERATURE, choose_steps, masked
from unlearn_cli.runtime.run import start
from unlearn_cli.runtime.seeds import Random


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
    return call(model, original, classes, RECIPE, retain_inputs=retain, **settings)


def call(model: nn.Module, original: nn.Module, classes: list[int], recipe: Recipe, **settings: Any) -> nn.Module:
    return masked(model, original, inputs(classes), classes, (2,), recipe, Random(0, "t"), **settings)


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


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_loss_has_the_temperature_of_each_record(temperature: float) -> None:
    outputs, own = torch.randn(30, 4) * 3, torch.randn(30, 4)
    temperatures = torch.where(torch.arange(30) < 10, 1.0, temperature)
    targets = masked_softmax(outputs, mask_classes([2], 4, torch.device("cpu")), temperatures)
    column = temperatures.numpy()[:, None]
    logits = outputs.numpy() / column
    logits[:, 2] = -1e9
    expected = rel_entr(softmax(logits, axis=1), softmax(own.numpy() / column, axis=1)).sum(axis=1)
    loss = distillation_loss(own, targets, temperatures)
    assert float(loss) == pytest.approx((column[:, 0] ** 2 * expected).mean(), rel=1e-5)


def test_retained_records_of_other_methods_learn_the_masked_original_at_temperature_3() -> None:
    x, own = torch.randn(30, 4) * 3, torch.randn(30, 4)
    loss = MaskedDistillation(nn.Identity(), mask_classes([2], 4, torch.device("cpu")))(own, x, torch.zeros(30))
    logits = x.numpy() / 3
    logits[:, 2] = -1e9
    expected = 9 * rel_entr(softmax(logits, axis=1), softmax(own.numpy() / 3, axis=1)).sum(axis=1).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("epochs", "records", "is_known", "steps"),
    [
        (10, 54_000, True, 60),
        (15, 16_000, True, 37),  # 2 % of 1875 steps
        (10, 600, True, 60),  # a retraining costs little
        (15, 16_000, False, 60),
    ],
)
def test_a_short_training_gets_fewer_steps_if_they_then_cost_little_compared_with_it(
    epochs: int, records: int, is_known: bool, steps: int
) -> None:
    retain = replace(blobs([1, 2, 3], records // 3), batch_size=128)
    recipe = Recipe(epochs=epochs, is_known=is_known)
    assert choose_steps(recipe, retain) == pytest.approx(steps, abs=0.5)


def test_fewer_steps_have_a_rate_as_many_times_higher_but_chosen_steps_have_the_usual_one(
    weights: dict[str, Tensor],
) -> None:
    original = copied(weights).requires_grad_(False).eval()
    long = Recipe(epochs=220, lr=2e-3, is_known=True)
    affordable = choose_steps(long, blobs([1, 2, 3]))
    assert 36 <= affordable < 60
    for settings, lr in (({}, 1e-3 * 60 / affordable), ({"steps": 40}, 1e-3)):
        with start(device="cpu") as run:
            call(copied(weights), original, [0], long, retain_inputs=inputs([1, 2, 3]), **settings)
            assert run.chosen_settings["lr"] == pytest.approx(lr * 2 ** (len(run.phases) - 1))


def test_every_record_of_both_splits_gets_the_masked_originals_distribution(weights: dict[str, Tensor]) -> None:
    """The gradient of T^2 KL(q || softmax(f / T)) at the outputs f is T (softmax(f / T) - q)."""
    model, original = copied(weights), copied(weights).eval()
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def watch(module: nn.Module, args: tuple[Tensor, ...], outputs: Tensor) -> None:
        if outputs.requires_grad:
            x, f = args[0].detach().clone(), outputs.detach()
            outputs.register_hook(lambda gradient: seen.append((x, f, gradient * len(f))))

    model.register_forward_hook(watch)
    forget(weights, [0], model, steps=12, lr=1e-3, temperature=3.0)
    assert len(seen) == 12
    of_forget = set(map(tuple, next(blobs([0]).sequential(10_000))[0].tolist()))
    for x, f, gradient in seen:
        t = np.array([[1.0] if tuple(row) in of_forget else [3.0] for row in x.tolist()])
        assert {1.0, 3.0} == set(t.flatten())
        logits = original(x).detach().double().numpy() / t
        logits[:, 0] = -1e9
        expected = t * (softmax(f.double().numpy() / t, axis=1) - softmax(logits, axis=1))
        assert gradient.numpy() == pytest.approx(expected, abs=1e-4)


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
        call(model, original, [0], slow, retain_inputs=inputs([1, 2, 3]))
        assert run.phases[:2] == ["distil", "distil"]
        assert run.chosen_settings["lr"] == pytest.approx(1e-4 * 2 ** (len(run.phases) - 1))
        assert run.notes == ([] if accuracy(model, [0]) <= 0.02 else run.notes)
    with start(device="cpu") as run:
        call(copied(weights), original, [0], slow, retain_inputs=inputs([1, 2, 3]), lr=1e-6)
        assert run.phases == ["distil"]
        assert any("still recognised" in line for line in run.notes)


def test_no_label_is_read(weights: dict[str, Tensor]) -> None:
    model = forget(weights, [0])
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


@pytest.mark.parametrize("classes", [[0], [1, 3]])
def test_without_retain_the_classes_are_forgotten_and_the_earlier_layers_move(
    weights: dict[str, Tensor], classes: list[int]
) -> None:
    model, original = copied(weights), copied(weights).requires_grad_(False).eval()
    call(model, original, classes, RECIPE, keep="none")
    assert accuracy(model, classes) <= 0.01
    assert accuracy(model, [number for number in range(4) if number not in classes]) > 0.97
    names = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, weights[name])]
    assert set(names) == set(weights), "the last layer as by the method head, and the layers before it"


def test_without_retain_only_forgotten_records_enter_the_network(weights: dict[str, Tensor]) -> None:
    model, original = copied(weights), copied(weights).requires_grad_(False).eval()
    of_forget, seen = set(map(tuple, next(blobs([0]).sequential(10_000))[0].tolist())), set[tuple[float, ...]]()
    model.register_forward_pre_hook(lambda module, args: seen.update(map(tuple, args[0].tolist())))
    call(model, original, [0], RECIPE, keep="none", steps=3)
    assert seen and seen <= of_forget


@pytest.mark.parametrize("settings", [{}, {"temperature": 9.0}, {"forget_share": None}])
def test_settings_of_mixed_batches_that_have_no_effect_are_noted(
    settings: dict[str, Any], weights: dict[str, Tensor]
) -> None:
    defaults = {name: parameter.default for name, parameter in inspect.signature(masked).parameters.items()}
    assert (defaults["forget_share"], defaults["temperature"]) == (FORGET_SHARE, TEMPERATURE)
    with start(device="cpu") as run:
        call(copied(weights), copied(weights).eval(), [0], RECIPE, keep="none", steps=3, **settings)
        assert any("forget_share and temperature have no effect" in line for line in run.notes) is bool(settings)


def test_the_guard_returns_to_the_state_before_the_other_classes_lose_a_point(weights: dict[str, Tensor]) -> None:
    original, held_out = copied(weights).requires_grad_(False).eval(), blobs([0, 1, 2, 3], 100)
    with start(device="cpu") as run:
        model = call(copied(weights), original, [0], RECIPE, held_out=held_out, keep="held_out", lr=0.5)
        assert any(line.startswith("masked: stopped after") for line in run.notes)
    assert accuracy(model, [1, 2, 3]) >= accuracy(original, [1, 2, 3]) - 0.01
    with start(device="cpu") as run:
        unguarded = call(copied(weights), original, [0], RECIPE, keep="none", lr=0.5)
        assert run.notes == []
    assert accuracy(unguarded, [1, 2, 3]) < 0.9
    guarded, plain = (
        call(copied(weights), original, [0], RECIPE, held_out=given, keep=keep)
        for given, keep in ((held_out, "held_out"), (None, "none"))
    )
    assert same(guarded.state_dict(), plain.state_dict()), "a guard that is not broken changes nothing"
