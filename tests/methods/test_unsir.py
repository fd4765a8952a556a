import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.methods.observing import watch_starts, watch_targets
from unlearn_cli.data.batches import Batches, Scaling
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.records import ArrayInputs, from_arrays
from unlearn_cli.data.stores import open_store
from unlearn_cli.learning.noise import Noise
from unlearn_cli.learning.proxies import still_recognised
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import fit
from unlearn_cli.methods import unsir as module
from unlearn_cli.methods.unsir import unsir
from unlearn_cli.runtime.run import start
from unlearn_cli.runtime.seeds import Random

CENTRES = np.array([[4.0, 0.0], [0.0, 4.0], [-4.0, -4.0], [4.0, 4.0]])


def blobs(classes: list[int], n: int = 200) -> Batches:
    """Records of two numbers around a centre a class."""
    random = np.random.default_rng(0)
    labels = np.repeat(classes, n)
    inputs = ArrayInputs((CENTRES[labels] + random.normal(size=(len(labels), 2))).astype(np.float32), (2,))
    split = Split("retain", from_arrays("train", inputs, labels), np.arange(len(labels)), labels)
    store = open_store(inputs, (2,), torch.device("cpu"), 2**20)
    scaling = Scaling(1.0, torch.tensor(0.0), torch.tensor(1.0))
    return Batches(split, store, scaling, torch.from_numpy(labels), (2,), 4, 64, 0)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))


RECIPE = Recipe(lr=0.006, is_known=True)  # the first round has half of it


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(fit(network(), blobs([0, 1, 2, 3]), nn.functional.cross_entropy, epochs=10, lr=1e-2).state_dict())


def forget(weights: dict[str, Tensor], classes: list[int], recipe: Recipe = RECIPE, **settings: Any) -> nn.Module:
    model, original = network(), network()
    for made in (model, original):
        made.load_state_dict(weights)
    retain = blobs([number for number in range(4) if number not in classes])
    return unsir(
        model, original.requires_grad_(False).eval(), retain, classes, (2,), Random(0, "test"), recipe, **settings
    )


def copied(weights: dict[str, Tensor]) -> nn.Module:
    model = network()
    model.load_state_dict(weights)
    return model


def accuracy(model: nn.Module, classes: list[int]) -> float:
    model.eval()
    hits = [model(x).argmax(dim=1) == y for x, y in blobs(classes).sequential(100)]
    return float(torch.cat(hits).float().mean())


@pytest.mark.parametrize("classes", [[0], [3], [1, 2]])
def test_the_class_is_forgotten_and_the_others_are_kept_though_no_record_of_it_was_given(
    weights: dict[str, Tensor], classes: list[int]
) -> None:
    model = forget(weights, classes, regularisation=0.001)
    assert accuracy(model, classes) <= 0.02
    assert accuracy(model, [number for number in range(4) if number not in classes]) >= 0.95


def test_a_learning_rate_that_is_given_is_used_once(weights: dict[str, Tensor]) -> None:
    with start(device="cpu") as run:
        forget(weights, [0], impair_lr=1e-2, impair_steps=5, repair_steps=3)
    assert run.phases == ["noise", "impair", "repair"]
    assert run.cost.optimizer_steps == 25 + 5 + 3


def test_rounds_with_higher_and_higher_rates_go_on_from_each_other_until_one_forgets(
    weights: dict[str, Tensor],
) -> None:
    lr = 0.003 * 1.5**5
    with start(device="cpu") as run:
        model = forget(weights, [0], impair_steps=5)
        assert run.phases == ["noise", "proxies", *["impair", "repair"] * 6, "repair"]
        assert run.chosen_settings == {"impair_lr": round(lr, 6), "repair_lr": round(lr / 2, 6)}
        assert run.notes == []
        once = forget(weights, [0], impair_steps=5, impair_lr=lr)
    # Six rounds lead further away from the original than the last one's rate alone does.
    assert distance(model, weights) > distance(once, weights)


def distance(model: nn.Module, weights: dict[str, Tensor]) -> float:
    return float(sum((tensor - weights[name]).square().sum() for name, tensor in model.state_dict().items()))


def test_a_round_that_destroys_the_network_is_undone_and_the_next_has_a_third_of_its_rate(
    weights: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    model, original = copied(weights), copied(weights)
    with start(device="cpu") as run:
        starts = watch_starts(model, run.phases, "impair")
        settings: dict[str, Any] = {"max_relative_accuracy_drop": 0.02, "retain_targets": "labels"}
        unsir(
            model,
            original.requires_grad_(False).eval(),
            blobs([1, 2, 3]),
            [0],
            (2,),
            Random(0, "test"),
            replace(RECIPE, lr=6.0),  # far too high for this network
            **settings,
        )
    undone = capsys.readouterr().err.count("accuracy on the retain subset; it was undone")
    assert undone >= 1
    assert run.phases.count("impair") == len(starts) == undone + 1
    last = 3.0 / 3**undone
    assert run.chosen_settings == {"impair_lr": round(last, 6), "repair_lr": round(last / 2, 6)}
    assert all(torch.equal(state[name], tensor) for state in starts for name, tensor in weights.items())


def test_a_class_that_stays_is_told(weights: dict[str, Tensor], capsys: pytest.CaptureFixture[str]) -> None:
    forget(weights, [0], impair_steps=2, repair_steps=4)
    assert "may not have forgotten" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("constants", "max_drop", "undone", "lr"),
    [
        ({}, 0.5, 0, 0.003 * 1.5**5),  # no round is enough: the rate of the last one
        ({"MAX_ROUNDS": 2, "HIGHER": 1e5}, 0.5, 1, 0.003),  # the last one is undone: the rate of the one before
        ({"lr": 2e9}, 0.02, 6, 1e9 / 3**5),  # all are undone: the rate of the last one
    ],
)
def test_the_last_repair_has_the_rate_of_the_round_whose_weights_it_repairs(
    weights: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    constants: dict[str, float],
    max_drop: float,
    undone: int,
    lr: float,
) -> None:
    rates: list[float] = []

    class Adam(torch.optim.Adam):
        def __init__(self, parameters: Any, lr: float, **settings: Any) -> None:
            super().__init__(parameters, lr, **settings)
            rates.append(lr)

    monkeypatch.setattr(torch.optim, "Adam", Adam)
    recipe = replace(RECIPE, lr=constants.pop("lr", RECIPE.lr))
    for name, value in constants.items():
        monkeypatch.setattr(module, name, value)
    with start(device="cpu") as run:
        settings = {"max_relative_accuracy_drop": max_drop}
        forget(weights, [0], recipe, impair_steps=1, repair_steps=2, noise_steps=0, **settings)
    assert sum("undone" in text for text in run.notes) == undone
    assert rates[-1] == pytest.approx(lr / 2)


def test_no_round_holds_the_optimizer_of_the_one_before(
    weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizers: list[weakref.ref[torch.optim.Optimizer]] = []

    class Adam(torch.optim.Adam):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            assert not [reference for reference in optimizers if reference() is not None]
            super().__init__(*arguments, **settings)
            optimizers.append(weakref.ref(self))

    monkeypatch.setattr(torch.optim, "Adam", Adam)
    for lr in (0.006, 6.0):  # no round is enough; the first two are undone
        forget(
            weights,
            [0],
            replace(RECIPE, lr=lr),
            impair_steps=3,
            repair_steps=2,
            noise_steps=0,
            max_relative_accuracy_drop=0.02,
        )
    assert len(optimizers) > 8


def test_a_batch_of_the_impair_step_holds_retain_records_and_noise_with_its_own_label(
    weights: dict[str, Tensor],
) -> None:
    """Every noise sample can be drawn, and each carries the number of its class."""
    noise = Noise(torch.stack([torch.full((8, 2), 10.0), torch.full((8, 2), 20.0)]), [2, 1], "maximize", [], {})
    model, original = copied(weights), copied(weights).requires_grad_(False).eval()
    steps = watch_targets(model)
    settings: dict[str, Any] = {"noise": noise, "noise_ratio": 0.5, "impair_steps": 4, "impair_lr": 1e-3}
    unsir(model, original, blobs([0, 3]), [2, 1], (2,), Random(0, "t"), RECIPE, repair_steps=0, **settings)
    assert len(steps) == 4
    for step in steps:
        records = len(step.x) - len(step.x) // 3
        noise_labels, noise_samples = step.labels[records:], step.x[records:]
        assert set(step.labels[:records].tolist()) == {0, 3}
        assert torch.equal(noise_labels == 2, (noise_samples == 10).all(dim=1))
        assert set(noise_labels.tolist()) == {1, 2}


def test_retain_records_learn_the_original_without_the_class_and_their_labels_are_not_read(
    weights: dict[str, Tensor],
) -> None:
    noise = Noise(torch.full((1, 8, 2), 10.0), [2], "maximize", [], {})
    retain = blobs([0, 1, 3])
    shuffled = retain.relabelled(retain.targets.flip(0))

    def run(records: Batches, retain_targets: str) -> Tensor:
        model, original = copied(weights), copied(weights).requires_grad_(False).eval()
        settings: dict[str, Any] = {"noise": noise, "impair_steps": 2, "repair_steps": 2, "impair_lr": 1e-3}
        settings["retain_targets"] = retain_targets
        unsir(model, original, records, [2], (2,), Random(0, "t"), RECIPE, **settings)
        return nn.utils.parameters_to_vector(model.parameters())

    assert torch.equal(run(retain, "original"), run(shuffled, "original"))
    assert not torch.equal(run(retain, "labels"), run(shuffled, "labels"))


@pytest.mark.parametrize("ratio", [0.1, 1.0])
def test_the_loss_of_an_impair_step_is_the_mean_over_all_records_of_the_batch(
    weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, ratio: float
) -> None:
    losses: list[Tensor] = []
    monkeypatch.setattr(module, "take_step", lambda optimizer, loss: losses.append(loss.detach()))
    model, retain = copied(weights), blobs([0, 1])
    noise = torch.full((4, 2), 10.0), torch.full((4,), 2)
    module.impair(model, retain, module.label_loss, noise, Random(0, "t"), 1, ratio, 1e-3, "frozen")
    x, y = next(iter(retain.steps(1).from_step("impair", 0)))
    count = round(ratio * len(x))
    outputs = model(torch.cat([x, noise[0][:1].expand(count, 2)]))
    expected = nn.functional.cross_entropy(outputs, torch.cat([y, noise[1][:1].expand(count)]))
    torch.testing.assert_close(losses, [expected.detach()])


def test_frozen_batch_norm_keeps_its_statistics_and_batch_mode_moves_them() -> None:
    def statistics(mode: str) -> Tensor:
        model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        module.repair(model, blobs([0, 1]), module.label_loss, optimizer, 0, 3, 3, "linear", mode)  # type: ignore[arg-type]
        return model.state_dict()["1.running_mean"]

    assert torch.equal(statistics("frozen"), torch.zeros(4))
    assert not torch.equal(statistics("batch"), torch.zeros(4))


def test_the_learning_rate_of_the_repair_falls_to_zero_across_its_parts() -> None:
    model = nn.Linear(2, 4)
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    rates: list[float] = []
    optimizer.register_step_pre_hook(lambda stepper, *_: rates.append(stepper.param_groups[0]["lr"]))
    module.repair(model, blobs([0, 1]), module.label_loss, optimizer, 0, 2, 5, "linear", "batch")
    module.repair(model, blobs([0, 1]), module.label_loss, optimizer, 2, 5, 5, "linear", "batch")
    assert rates == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    module.repair(model, blobs([0, 1]), module.label_loss, optimizer, 2, 5, 5, "constant", "batch")
    assert rates[5:] == [1.0] * 3


def test_proxies_are_retain_records_that_the_original_takes_for_the_class(weights: dict[str, Tensor]) -> None:
    original = network()
    original.load_state_dict(weights)
    original.requires_grad_(False)
    proxies, labels = module.make_proxies(original, blobs([0, 1]), [2, 3], Random(0, "t"))
    assert set(labels.tolist()) <= {2, 3}
    assert torch.equal(original(proxies).argmax(dim=1), labels)
    assert still_recognised(original, proxies, labels, [2, 3], 0.3) == 1.0


def test_a_class_without_proxies_does_not_count_as_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    def constant(x: Tensor) -> Tensor:
        return torch.tensor([9.0, 0.0, 0.0, 0.0]) + 0 * x.sum(dim=1, keepdim=True)

    model = nn.Module()
    model.forward = constant
    proxies, labels = module.make_proxies(model, blobs([0, 1]), [2], Random(0, "t"))
    assert len(labels) == 0
    assert "its forgetting cannot be checked" in capsys.readouterr().err
    assert still_recognised(model, proxies, labels, [2], 0.3) == 1.0
    assert still_recognised(model, proxies, torch.tensor([], dtype=torch.long), [0, 2], 0.3) == 1.0


def test_many_classes_share_noise_and_proxies() -> None:
    sizes = {
        count: (module.size_per_class(32, count), module.size_per_class(64, count)) for count in (1, 2, 4, 8, 20, 1000)
    }
    assert sizes == {1: (32, 64), 2: (32, 64), 4: (32, 32), 8: (16, 16), 20: (8, 8), 1000: (8, 8)}
