import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, Scaling
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.records import ArrayInputs, from_arrays
from unlearn_cli.data.stores import open_store
from unlearn_cli.learning.noise import Noise
from unlearn_cli.learning.proxies import still_recognised
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


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(fit(network(), blobs([0, 1, 2, 3]), nn.functional.cross_entropy, epochs=10, lr=1e-2).state_dict())


def forget(weights: dict[str, Tensor], classes: list[int], **settings: Any) -> nn.Module:
    model, original = network(), network()
    for made in (model, original):
        made.load_state_dict(weights)
    retain = blobs([number for number in range(4) if number not in classes])
    return unsir(model, original.requires_grad_(False).eval(), retain, classes, (2,), Random(0, "test"), **settings)


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
    assert run.phases == ["noise", "impair", "repair", "repair"]  # the part by which a round is judged, and the rest
    assert run.cost.optimizer_steps == 25 + 5 + 3


def test_rounds_with_higher_and_higher_rates_go_on_from_each_other_until_one_forgets(
    weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter([0.9, 0.3, 0.01])
    monkeypatch.setattr(module, "still_recognised", lambda *_: next(shares))
    with start(device="cpu") as run:
        model = forget(weights, [0])
        assert run.phases == ["noise", "proxies", *["impair", "repair"] * 3, "repair"]
        assert run.chosen_settings == {"impair_lr": 0.00675}  # 0.003 x 1.5 x 1.5
        once = forget(weights, [0], impair_lr=0.00675)
    # Three rounds lead further away from the original than the last one's rate alone does.
    assert distance(model, weights) > distance(once, weights)


def distance(model: nn.Module, weights: dict[str, Tensor]) -> float:
    return float(sum((tensor - weights[name]).square().sum() for name, tensor in model.state_dict().items()))


def test_a_round_that_destroys_the_network_is_undone_and_the_next_has_a_third_of_its_rate(
    weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "still_recognised", lambda *_: 0.0)
    accuracies = iter([0.99, 0.4, 0.9])  # of the original, of the first round, and of the second
    begun: list[dict[str, Tensor]] = []
    real = module.impair

    def impair(model: nn.Module, *others: Any) -> None:
        begun.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        real(model, *others)

    monkeypatch.setattr(module, "impair", impair)
    monkeypatch.setattr(module, "retain_accuracy", lambda *_: next(accuracies))
    with start(device="cpu") as run:
        forget(weights, [0])
    assert run.chosen_settings == {"impair_lr": 0.001}
    assert all(torch.equal(state[name], tensor) for state in begun for name, tensor in weights.items())
    assert "left 40% accuracy on the retain subset; it was undone" in capsys.readouterr().err


def test_a_class_that_stays_is_told(
    weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "still_recognised", lambda *_: 0.5)
    forget(weights, [0], impair_steps=2, repair_steps=4)
    assert "may not have forgotten" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("accuracies", "lr"),
    [
        ([1.0] * 7, 0.003 * 1.5**5),  # no round is enough: the rate of the last one
        ([1.0, *[1.0] * 5, 0.0], 0.003 * 1.5**4),  # the last one is undone: the rate of the one before
        ([1.0, *[0.0] * 6], 0.003 / 3**5),  # all are undone: the rate of the last one
    ],
)
def test_the_last_repair_has_the_rate_of_the_round_whose_weights_it_repairs(
    weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, accuracies: list[float], lr: float
) -> None:
    rates: list[float] = []

    class Adam(torch.optim.Adam):
        def __init__(self, parameters: Any, lr: float, **settings: Any) -> None:
            super().__init__(parameters, lr, **settings)
            rates.append(lr)

    monkeypatch.setattr(torch.optim, "Adam", Adam)
    monkeypatch.setattr(module, "still_recognised", lambda *_: 1.0)
    left = iter(accuracies)
    monkeypatch.setattr(module, "retain_accuracy", lambda *_: next(left))
    forget(weights, [0], impair_steps=1, repair_steps=2, noise_steps=0)
    assert rates[-1] == pytest.approx(lr / 2)


def test_no_round_holds_the_optimizer_of_the_one_before(
    weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[torch.optim.Optimizer]] = []

    class Adam(torch.optim.Adam):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            assert not [one for one in made if one() is not None]
            super().__init__(*arguments, **settings)
            made.append(weakref.ref(self))

    monkeypatch.setattr(torch.optim, "Adam", Adam)
    monkeypatch.setattr(module, "still_recognised", lambda *_: 1.0)
    for accuracies in ([1.0] * 7, [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]):  # no round is enough; the third destroys
        monkeypatch.setattr(module, "retain_accuracy", lambda *_, left=iter(accuracies): next(left))
        forget(weights, [0], impair_steps=1, repair_steps=2, noise_steps=0)
    assert len(made) > 8


def test_a_batch_of_the_impair_step_holds_retain_records_and_noise_with_its_own_label(
    weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every noise sample can be drawn, and each carries the number of its class (methods.md 1.6, U1 and U2)."""
    seen: list[Any] = []
    real = nn.functional.cross_entropy
    noise = Noise(torch.stack([torch.full((8, 2), 10.0), torch.full((8, 2), 20.0)]), [2, 1], "maximize", [], {})
    model = network()
    model.load_state_dict(weights)
    model.register_forward_hook(lambda _, inputs, outputs: seen.append((inputs[0].detach(), outputs)))
    labels: list[Tensor] = []
    monkeypatch.setattr(module.F, "cross_entropy", lambda outputs, y: labels.append(y) or real(outputs, y))
    x_noise, y_noise = noise.labelled(torch.device("cpu"))
    module.impair(model, blobs([0, 3]), x_noise, y_noise, Random(0, "t"), 4, 0.5, 1e-3, "batch")
    for (x, _), y in zip(seen, labels, strict=True):
        records = len(x) - len(x) // 3
        assert set(y[:records].tolist()) == {0, 3}
        assert torch.equal(y[records:] == 2, (x[records:] == 10).all(dim=1))
        assert set(y[records:].tolist()) == {1, 2}


def test_frozen_batch_norm_keeps_its_statistics_and_batch_mode_moves_them() -> None:
    def statistics(mode: str) -> Tensor:
        model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        module.repair(model, blobs([0, 1]), optimizer, 0, 3, 3, mode)  # type: ignore[arg-type]
        return model.state_dict()["1.running_mean"]

    assert torch.equal(statistics("frozen"), torch.zeros(4))
    assert not torch.equal(statistics("batch"), torch.zeros(4))


def test_the_learning_rate_of_the_repair_falls_to_zero_across_its_parts() -> None:
    model = nn.Linear(2, 4)
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    rates: list[float] = []
    optimizer.register_step_pre_hook(lambda stepper, *_: rates.append(stepper.param_groups[0]["lr"]))
    module.repair(model, blobs([0, 1]), optimizer, 0, 2, 5, "batch")
    module.repair(model, blobs([0, 1]), optimizer, 2, 5, 5, "batch")
    assert rates == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


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
    assert "nothing shows when it is forgotten" in capsys.readouterr().err
    assert still_recognised(model, proxies, labels, [2], 0.3) == 1.0
    assert still_recognised(model, proxies, torch.tensor([], dtype=torch.long), [0, 2], 0.3) == 1.0


def test_many_classes_share_noise_and_proxies() -> None:
    sizes = {
        count: (module.size_per_class(32, count), module.size_per_class(64, count)) for count in (1, 2, 4, 8, 20, 1000)
    }
    assert sizes == {1: (32, 64), 2: (32, 64), 4: (32, 32), 8: (16, 16), 20: (8, 8), 1000: (8, 8)}
