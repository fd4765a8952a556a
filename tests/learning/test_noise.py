from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.tiny import same
from unlearn_cli.errors import UserError
from unlearn_cli.learning.noise import (
    CHUNK,
    Noise,
    compute_objective,
    learn_noise,
    load_noise,
    optimise_samples,
    save_noise,
)
from unlearn_cli.runtime.seeds import Random

SHAPE = (1, 6, 6)


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 5)
    )
    return layers.requires_grad_(False)


def learned(model: nn.Module, classes: list[int] = [3], **settings: object) -> Noise:
    return learn_noise(model, classes, SHAPE, Random(0, "noise"), size=16, **settings)  # type: ignore[arg-type]


def cross_entropy(model: nn.Module, noise: Noise) -> float:
    x, y = noise.labelled(torch.device("cpu"))
    return float(F.cross_entropy(model.eval()(x), y))


def test_the_network_is_the_same_bit_for_bit_afterwards() -> None:
    """The authors optimise in train mode, which overwrites the batch-norm statistics."""
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    learned(model, steps=20)
    assert same(before, dict(model.state_dict()))
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(("kind", "sign"), [("maximize", 1), ("minimize", -1)])
def test_noise_moves_the_error_the_way_its_kind_says(kind: str, sign: int) -> None:
    model = network()
    start, end = (learned(model, kind=kind, steps=steps, regularisation=1e-4) for steps in (0, 40))
    assert sign * (cross_entropy(model, end) - cross_entropy(model, start)) > 0.5
    assert end.curve[-1] < end.curve[0]


def test_no_steps_return_the_raw_draws() -> None:
    raw = learned(network(), steps=0)
    assert torch.equal(raw.samples.flatten(0, 1), Random(0, "noise").normal(16, *SHAPE))
    assert raw.curve == []


def test_each_class_gets_its_own_label_and_all_of_its_samples() -> None:
    """The authors label all classes 0 and use 3 of the samples: the number of channels."""
    noise = learned(network(), [3, 1], steps=1)
    x, y = noise.labelled(torch.device("cpu"))
    assert noise.samples.shape == (2, 16, *SHAPE)
    assert y.tolist() == [3] * 16 + [1] * 16
    assert torch.equal(x[16:], noise.samples[1])


def test_the_steps_do_not_grow_with_the_classes() -> None:
    assert len(learned(network(), [0, 1, 2, 3], steps=7).curve) == len(learned(network(), [0], steps=7).curve) == 7


def test_a_class_learned_beside_others_is_learned_as_if_alone() -> None:
    model, start, labels = network(), torch.randn(CHUNK + 10, *SHAPE), torch.arange(CHUNK + 10) % 5
    random = Random(0, "noise")
    settings = {"kind": "maximize", "steps": 5, "lr": 0.1, "regularisation": 0.1}
    together, _ = optimise_samples(model, start, labels, random, **settings)  # type: ignore[arg-type]
    alone, _ = optimise_samples(model, start[-10:], labels[-10:], random, **settings)  # type: ignore[arg-type]
    assert torch.allclose(together[-10:], alone, atol=1e-5)


def test_the_objective_equals_a_hand_computation() -> None:
    model, x, y = network().eval(), torch.randn(3, *SHAPE), torch.tensor([0, 1, 2])
    value, _ = compute_objective(model, x.requires_grad_(), torch.zeros_like(x), y, "maximize", 0.1)
    x = x.detach()
    log_probabilities = model(x).log_softmax(dim=1)
    by_hand = [
        float(log_probabilities[i, c]) + 0.1 * 3072 * float((x[i] ** 2).sum()) / 36 for i, c in enumerate(y.tolist())
    ]
    assert value.tolist() == pytest.approx(by_hand, rel=1e-5)


def test_the_pull_of_the_regularisation_does_not_depend_on_the_size_of_the_image() -> None:
    """A sum over pixels is 49 times larger at 224x224 than at 32x32 and drowns the error."""

    class Silent(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 2) + 0 * x.sum()

    values = []
    for size in (32, 224):
        x = torch.ones(1, 3, size, size, requires_grad=True)
        value, _ = compute_objective(
            Silent(), x, torch.zeros_like(x), torch.zeros(1, dtype=torch.long), "minimize", 0.1
        )
        values.append(float(value) - float(torch.log(torch.tensor(2.0))))
    assert values == pytest.approx([307.2, 307.2], rel=1e-4)


def test_of_all_states_a_sample_passes_through_the_best_is_kept() -> None:
    model = network()
    short, long = (learned(model, steps=steps, lr=1.0) for steps in (5, 30))

    def objectives(noise: Noise) -> torch.Tensor:
        x, y = noise.labelled(torch.device("cpu"))
        return compute_objective(model, x.requires_grad_(), torch.zeros_like(x), y, "maximize", 0.1)[0]

    assert (objectives(long) <= objectives(short) + 1e-6).all()


def test_a_single_step_moves_the_noise() -> None:
    raw, moved = (learned(network(), steps=steps, regularisation=0.1) for steps in (0, 1))
    assert not torch.equal(raw.samples, moved.samples)


def test_the_best_state_is_that_of_lowest_objective_among_the_start_and_all_steps() -> None:
    model, labels = network(), torch.arange(16) % 5
    x = (torch.arange(16)[:, None, None, None] / 4 * Random(0, "noise").normal(16, *SHAPE)).requires_grad_()
    optimizer = torch.optim.Adam([x], 1.0)  # far too high a rate: the objective rises and falls
    states, objectives = [], []
    for _ in range(7):
        objective = -F.cross_entropy(model.eval()(x), labels, reduction="none") + 0.1 * 3072 / 36 * x.square().sum(
            dim=(1, 2, 3)
        )
        states.append(x.detach().clone())
        objectives.append(objective.detach())
        optimizer.zero_grad()
        objective.sum().backward()
        optimizer.step()
    expected = torch.stack(states)[torch.stack(objectives).argmin(dim=0), torch.arange(16)]
    settings = {"kind": "maximize", "steps": 6, "lr": 1.0, "regularisation": 0.1}
    best, curve = optimise_samples(model, states[0], labels, Random(0, "t"), **settings)  # type: ignore[arg-type]
    torch.testing.assert_close(best, expected)
    assert curve == pytest.approx([float(values.mean()) for values in objectives[:-1]], rel=1e-5)
    assert len(torch.stack(objectives).argmin(dim=0).unique()) > 1


def test_noise_survives_its_file(tmp_path: Path) -> None:
    noise = learned(network(), [3, 1], steps=3)
    save_noise(tmp_path / "noise.safetensors", noise, {"unlearn_cli.version": "x"})
    again = load_noise(tmp_path / "noise.safetensors", SHAPE)
    assert torch.equal(again.samples, noise.samples)
    assert (again.classes, again.kind, again.curve) == ([3, 1], "maximize", noise.curve)
    with pytest.raises(UserError, match="learn new noise"):
        load_noise(tmp_path / "noise.safetensors", (1, 8, 8))
