import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.methods.observing import TrainingStep, watch_targets
from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.learning.training import predict_outputs
from unlearn_cli.methods import emmn as module
from unlearn_cli.methods.emmn import emmn, impair
from unlearn_cli.runtime.run import start
from unlearn_cli.runtime.seeds import Random

ENOUGH_IN_TWO_ROUNDS = 40  # steps per round
CENTRES = torch.tensor([[2.0, 0.0], [0.0, 2.0], [-2.0, -2.0], [2.0, 2.0]])


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4))


def records() -> tuple[Tensor, Tensor]:
    y = torch.arange(4).repeat_interleave(100)
    return CENTRES[y] + 0.4 * torch.randn(len(y), 2, generator=torch.Generator().manual_seed(0)), y


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    model, (x, y) = network(), records()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(100):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.state_dict()


def copied(weights: dict[str, Tensor]) -> nn.Module:
    model = network()
    model.load_state_dict(weights)
    return model


def forget(weights: dict[str, Tensor], classes: list[int], **settings: Any) -> nn.Module:
    model, original = network(), network()
    for made in (model, original):
        made.load_state_dict(weights)
    original.eval().requires_grad_(False)
    values: dict[str, Any] = {"impair_steps": 60, "impair_lr": 5e-3, **settings}
    model = emmn(model, original, classes, 4, (2,), Random(0, "t"), **values)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in original.state_dict().items())
    assert all(parameter.grad is None for parameter in original.parameters())
    return model


def accuracy(model: nn.Module, classes: list[int]) -> float:
    x, y = records()
    chosen = torch.isin(y, torch.tensor(classes))
    return float((predict_outputs(model, [x[chosen]]).argmax(dim=1) == y[chosen]).float().mean())


@pytest.mark.parametrize("classes", [[0], [2], [1, 3]])
def test_the_classes_are_forgotten_and_the_others_kept_without_any_record(
    weights: dict[str, Tensor], classes: list[int]
) -> None:
    model = forget(weights, classes)
    assert accuracy(model, classes) <= 0.1
    assert accuracy(model, [number for number in range(4) if number not in classes]) >= 0.9


def test_it_asks_for_no_data() -> None:
    needed = [name for name, value in inspect.signature(emmn).parameters.items() if value.default is inspect._empty]
    assert needed == ["model", "original", "forget_classes", "num_classes", "input_shape", "random"]


def test_corrected_targets_equal_a_hand_computation(weights: dict[str, Tensor]) -> None:
    original, likeness = copied(weights), torch.randn(4, 6, 2)
    x, targets = module.select_minimising(original, likeness, [0, 2], "corrected")
    probabilities = predict_outputs(original, [likeness.flatten(0, 1)]).softmax(dim=1) * torch.tensor([0.0, 1, 0, 1])
    assert torch.equal(x, likeness.flatten(0, 1))
    torch.testing.assert_close(targets, probabilities / probabilities.sum(dim=1, keepdim=True))


def watch(weights: dict[str, Tensor], classes: list[int], **settings: Any) -> tuple[list[TrainingStep], list[Tensor]]:
    """Return the training steps of `emmn`, and the inputs on which the network is tested after each round."""
    model, original, tested = copied(weights), copied(weights).eval().requires_grad_(False), []
    steps = watch_targets(model)
    model.register_forward_pre_hook(lambda module, inputs: None if module.training else tested.append(inputs[0]))
    values: dict[str, Any] = {"impair_steps": 60, "batch_size": 64, "rounds": 1, **settings}
    emmn(model, original, classes, 4, (2,), Random(0, "t"), **values)
    return steps, tested


def distinct(steps: list[TrainingStep]) -> tuple[Tensor, Tensor]:
    """Return each sample of the steps once (n, 2), with its target (n, 4)."""
    x, targets = torch.cat([step.x for step in steps]), torch.cat([step.targets for step in steps])
    samples, numbers = x.unique(dim=0, return_inverse=True)
    return samples, torch.stack([targets[numbers == number].mean(dim=0) for number in range(len(samples))])


def test_the_paper_s_noise_is_labelled_with_its_class_and_maximises_the_error_of_the_forgotten_alone(
    weights: dict[str, Tensor],
) -> None:
    """UNSIR's authors label the noise of every class 0."""
    settings: dict[str, Any] = {"targets": "labels", "noise_steps": 60, "noise_lr": 0.2, "smoothing": 0.0}
    x, targets = distinct(watch(weights, [1, 3], noise_size=8, maximizing_size=8, **settings)[0])
    labels = targets.argmax(dim=1)
    assert labels.bincount().tolist() == [8, 8, 8, 8]
    torch.testing.assert_close(targets, torch.eye(4)[labels], rtol=0, atol=1e-4)
    recognised = predict_outputs(copied(weights), [x]).argmax(dim=1) == labels
    assert torch.equal(recognised, (labels == 0) | (labels == 2))


def test_by_default_minimising_noise_of_every_class_is_joined_by_a_little_maximising_noise(
    weights: dict[str, Tensor],
) -> None:
    x, targets = distinct(watch(weights, [1, 3], noise_size=8, maximizing_size=2)[0])
    assert x.shape == (4 * 8 + 2 * 2, 2)
    maximising = targets[:, [1, 3]].sum(dim=1) > 0.5
    torch.testing.assert_close(targets[~maximising][:, [1, 3]], torch.zeros(32, 2), rtol=0, atol=1e-4)
    assert targets[maximising].round().sum(dim=0).tolist() == [0, 2, 0, 2]


def test_rounds_end_when_held_out_noise_is_not_recognised(
    weights: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    with start(device="cpu") as run:
        forget(weights, [0], impair_steps=ENOUGH_IN_TWO_ROUNDS)
    assert run.phases == ["noise", "noise", "impair", "impair"]
    assert run.notes == []
    forget(weights, [0], impair_steps=2, rounds=2)
    assert "may not have forgotten" in capsys.readouterr().err


def test_held_out_noise_is_not_trained_on(weights: dict[str, Tensor]) -> None:
    steps, tested = watch(weights, [2], noise_size=10, maximizing_size=3)
    x, _ = distinct(steps)
    assert x.shape == (43, 2)
    assert torch.cat(tested).shape == (module.HELD_OUT, 2)
    assert torch.cdist(x, torch.cat(tested)).min() > 0


@pytest.mark.parametrize("classes", [[0], [0, 1, 2]])
def test_the_steps_do_not_grow_with_the_classes(weights: dict[str, Tensor], classes: list[int]) -> None:
    with start(device="cpu") as run:
        forget(weights, classes, noise_steps=6, impair_steps=5, rounds=1)
    assert run.cost.optimizer_steps == 6 + 6 + 5  # minimising noise, maximising noise, impair


def test_frozen_batch_norm_keeps_the_statistics_of_data(weights: dict[str, Tensor]) -> None:
    kept, moved = (forget(weights, [0], batch_norm=mode, impair_steps=3) for mode in ("frozen", "batch"))
    assert torch.equal(kept.state_dict()["1.running_mean"], weights["1.running_mean"])
    assert not torch.equal(moved.state_dict()["1.running_mean"], weights["1.running_mean"])


def test_the_loss_of_one_hot_targets_is_the_cross_entropy() -> None:
    model, x, y = nn.Linear(2, 3), torch.randn(1, 2), torch.tensor([[0.0, 1.0, 0.0]])
    expected = -model(x).log_softmax(dim=1)[0, 1].item()
    with start(device="cpu") as run:
        impair(model, x, y, Random(0, "t"), 1, 4, 1e-3, "constant", "frozen")
    assert run.curves[0].values == [pytest.approx(expected, rel=1e-5)]


@pytest.mark.parametrize(("option", "setting", "expected"), [(16, None, 16), (16, 8, 8)])
def test_the_batch_size_is_that_of_the_run_unless_it_is_set(
    weights: dict[str, Tensor], option: int, setting: int | None, expected: int
) -> None:
    model, original, sizes = network(), network(), set[int]()
    for either in (model, original):
        either.load_state_dict(weights)
    model.register_forward_pre_hook(lambda module, inputs: sizes.add(len(inputs[0])) if module.training else None)
    with start(device="cpu", batch_size=option) as run:
        settings: dict[str, Any] = {"noise_steps": 1, "impair_steps": 2, "rounds": 1, "batch_size": setting}
        emmn(model, original.eval().requires_grad_(False), [0], 4, (2,), run.random, **settings)
    assert sizes == {expected}


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("emmn", ["noise_size=16", "noise_steps=10", "impair_steps=20"]),
        ("gkt", ["cycles=5", "generator_width=4", "batch_size=32", "student_steps_per_cycle=2"]),
    ],
)
def test_a_manifest_without_data_is_enough(original: Path, tmp_path: Path, method: str, settings: list[str]) -> None:
    start, end = MANIFEST.index("data:"), MANIFEST.index("forget:")
    manifest = write_manifest(
        tmp_path, MANIFEST[:start] + 'classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]\n' + MANIFEST[end:]
    )
    words = [word for setting in settings for word in ("--set", setting)]
    result = invoke("unlearn", original, "-m", manifest, "--method", method, "-o", tmp_path / "out", *words)
    assert result.exit_code == 0, result.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["metrics"] == {}
    assert {"forget", "retain", "train"}.isdisjoint(report["inputs"])
