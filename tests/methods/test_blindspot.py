"""Blindspot against hand computations; that it runs, resumes and fits manifests is in test_contract."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tiny import same
from unlearn_cli.data.batches import Batches, Scaling, without_labels
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.records import ArrayInputs, from_arrays
from unlearn_cli.data.stores import open_store
from unlearn_cli.errors import UserError
from unlearn_cli.learning.adaptive_training import choose_lr, measure_loss
from unlearn_cli.learning.attention import Recording, attention_loss, record
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import fit, lr_factor, regression_loss
from unlearn_cli.methods import blindspot as module
from unlearn_cli.methods.blindspot import batch_loss, blindspot, bound_steps
from unlearn_cli.models.lstm_pair import lstm_pair

LOSSES = {"mse": torch.square, "l1": torch.abs}


def records(name: str, low: float, high: float, n: int = 90) -> Batches:
    """Records of two numbers, of which the label is the first, from a range of it."""
    random = np.random.default_rng(int(100 * high))
    x = random.normal(size=(n, 2)).astype(np.float32)
    x[:, 0] = random.uniform(low, high, n)
    labels = x[:, 0].astype(np.float64)
    inputs = ArrayInputs(x, (2,))
    split = Split(name, from_arrays("train", inputs, labels), np.arange(n), labels)
    store = open_store(inputs, (2,), torch.device("cpu"), 2**20)
    scaling = Scaling(1.0, torch.tensor(0.0), torch.tensor(1.0))
    return Batches(split, store, scaling, torch.from_numpy(labels).float(), (2,), 1, 16, 0)


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 1))


def loss_of(
    student: nn.Module, blind: nn.Module, x: Tensor, y: Tensor, is_forget: Tensor,
    *, loss: Any = "mse", weight: float = 0.0, layers: tuple[str, ...] = ("1", "3"),
) -> Tensor:  # fmt: skip
    used = layers if weight else ()
    with record(student, used) as own, record(blind, used) as other:
        return batch_loss(student(x), y, blind, x, is_forget, own.take(), other, regression_loss(loss), weight)


def mixed(n: int = 12, forgotten: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(3)
    is_forget = torch.arange(n) < forgotten
    return torch.randn(n, 2), torch.randn(n).masked_fill(is_forget, torch.nan), is_forget


@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_without_attention_the_loss_is_the_mean_over_the_samples_of_the_batch(loss: str) -> None:
    student, blind, (x, y, is_forget) = network(0), network(1), mixed()
    targets = torch.where(is_forget, blind(x)[:, 0], y)
    expected = LOSSES[loss](student(x)[:, 0] - targets).mean()
    torch.testing.assert_close(loss_of(student, blind, x, y, is_forget, loss=loss), expected)


def test_attention_counts_over_forgotten_records_alone_and_with_their_share() -> None:
    student, blind, (x, y, is_forget) = network(0), network(1), mixed()
    plain, whole = (loss_of(student, blind, x, y, is_forget, weight=weight) for weight in (0.0, 7.0))
    maps = [(net[:2](x[:5]), net[:4](x[:5])) for net in (student, blind) if isinstance(net, nn.Sequential)]
    attention = sum(((normal(own) - normal(other)) ** 2).mean() for own, other in zip(*maps, strict=True))
    torch.testing.assert_close(whole - plain, torch.as_tensor(7.0 * attention * 5 / 12))
    assert whole > plain, "R1: attention of 2-D activations is not identically 0"


def normal(activation: Tensor) -> Tensor:
    squares = activation**2
    return squares / squares.norm(dim=1, keepdim=True).clamp(min=1e-12)


@pytest.mark.parametrize("weight", [0.0, 50.0])
def test_the_order_of_the_samples_leaves_the_loss_unchanged(weight: float) -> None:
    student, blind, (x, y, is_forget) = network(0), network(1), mixed()
    order = torch.randperm(len(x))
    expected = loss_of(student, blind, x, y, is_forget, weight=weight)
    torch.testing.assert_close(loss_of(student, blind, x[order], y[order], is_forget[order], weight=weight), expected)


def test_a_student_that_is_the_blindspot_model_has_no_loss_on_forgotten_records() -> None:
    student = network(0)
    x, y, _ = mixed(forgotten=12)
    is_forget = torch.ones(12, dtype=torch.bool)
    assert loss_of(student, copy.deepcopy(student), x, y, is_forget, weight=50.0) == 0


def test_a_batch_of_one_part_has_the_loss_of_that_part() -> None:
    student, blind, (x, y, _) = network(0), network(1), mixed(forgotten=0)
    everything, nothing = torch.ones(12, dtype=torch.bool), torch.zeros(12, dtype=torch.bool)
    alone = loss_of(student, blind, x, y, nothing, weight=50.0)
    torch.testing.assert_close(alone, (student(x)[:, 0] - y).square().mean())
    forgotten = loss_of(student, blind, x, torch.full_like(y, torch.nan), everything, weight=50.0)
    assert forgotten.isfinite()
    forgotten.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in student.parameters())


def test_one_forgotten_and_one_retained_record_are_compared_each_with_its_own() -> None:
    """R4: outputs (1, 1) against labels (1,), and (B, 1) against (B,), must not broadcast."""
    student, blind, (x, y, _) = network(0), network(1), mixed(n=2, forgotten=1)
    expected = ((student(x[:1]) - blind(x[:1])).item() ** 2 + (student(x[1:]).item() - y[1].item()) ** 2) / 2
    assert loss_of(student, blind, x, y, torch.tensor([True, False])).item() == pytest.approx(expected, rel=1e-5)


def test_a_layer_without_one_row_a_sample_is_refused() -> None:
    x, y, is_forget = mixed()
    with pytest.raises(UserError, match="returns 24 rows for 12 samples; name layers"):
        batch_loss(
            network(0)(x), y, network(1), x, is_forget, [torch.zeros(24, 3)], Recording(), regression_loss("mse"), 1.0
        )


def test_with_no_attention_and_no_forgotten_records_it_is_ordinary_training() -> None:
    retain, student = records("retain", -1, 1), network(0)
    by_hand = copy.deepcopy(student)
    forget = without_labels(records("forget", 1, 2).take(np.arange(0)))
    x_y = [(x, y) for x, y, _ in module.mix(forget, retain).epochs(2).from_step("unlearn", 0)]
    blindspot(
        student, network(1), forget, retain, regression_loss("mse"), (2,), Recipe(), blindspot_epochs=1,
        student_epochs=2, student_lr=1e-2,
        attention_weight=0.0, schedule="constant", forget_share=None,
    )  # fmt: skip
    optimizer = torch.optim.Adam(by_hand.parameters(), 1e-2)
    for x, y in x_y:
        optimizer.zero_grad()
        (by_hand(x).squeeze(1) - y).square().mean().backward()
        optimizer.step()
    for own, other in zip(student.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(own, other)


class Seen(nn.Module):
    """A network that remembers the first numbers of the samples which it was trained on, and of the others."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.net, self.trained_on, self.asked = network(seed), list[Tensor](), list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        (self.trained_on if self.training else self.asked).append(x[:, 0].clone())
        return self.net(x)


@pytest.fixture(scope="module")
def run() -> tuple[nn.Module, Seen, nn.Module]:
    """The student before, the blindspot model and the student after; forgotten are labels above 1."""
    retain, forget = records("retain", -1, 1), records("forget", 1, 2)
    student, fresh = Seen(0), Seen(1)
    optimizer = torch.optim.Adam(student.parameters(), 1e-2)
    for x, y in [*retain.epochs(30), *forget.epochs(30)]:
        optimizer.zero_grad()
        (student(x).squeeze(1) - y).square().mean().backward()
        optimizer.step()
    before = copy.deepcopy(student)
    blindspot(
        student, fresh, without_labels(forget), retain, regression_loss("mse"), (2,), Recipe(), blindspot_epochs=30,
        blindspot_lr=1e-2, student_epochs=30, student_lr=1e-2, attention_weight=1.0,
    )  # fmt: skip
    return before, fresh, student


def test_the_blindspot_model_is_trained_on_retain_and_asked_of_forget_alone(
    run: tuple[nn.Module, Seen, nn.Module],
) -> None:
    _, fresh, _ = run
    assert torch.cat(fresh.trained_on).max() <= 1
    assert torch.cat(fresh.asked).min() >= 1


def test_the_blindspot_model_is_frozen_while_the_student_learns() -> None:
    retain, forget, fresh, student = records("retain", -1, 1), records("forget", 1, 2), network(1), network(0)
    states: list[dict[str, Tensor]] = []

    def at_each_step(*_: object) -> None:
        if not student.training:
            return  # its loss before the first step, the goal of the blindspot model
        assert not fresh.training
        assert not any(parameter.requires_grad for parameter in fresh.parameters())
        states.append({name: tensor.clone() for name, tensor in fresh.state_dict().items()})

    student.register_forward_pre_hook(at_each_step)
    settings: dict[str, Any] = {"student_epochs": 2, "attention_weight": 0.0}  # no pass that looks for layers
    blindspot(student, fresh, without_labels(forget), retain, regression_loss("mse"), (2,), Recipe(), **settings)
    assert len(states) > 2
    assert all(torch.equal(states[0][name], tensor) for name, tensor in fresh.state_dict().items())


def test_no_label_of_a_forgotten_record_can_reach_the_loss(run: tuple[nn.Module, Seen, nn.Module]) -> None:
    """They are NaN in the batches, which would make every weight NaN."""
    _, _, student = run
    assert all(parameter.isfinite().all() for parameter in student.parameters())


def test_the_student_says_of_forgotten_records_what_the_blindspot_model_says(
    run: tuple[nn.Module, Seen, nn.Module],
) -> None:
    before, fresh, student = (net.eval() for net in run)
    x = torch.cat([x for x, _ in records("forget", 1, 2).sequential(100)])
    assert (student(x) - fresh(x)).abs().mean() < 0.5 * (before(x) - fresh(x)).abs().mean()


def test_sequences_are_compared_too_one_row_a_sample() -> None:
    torch.manual_seed(0)
    student, blind = (lstm_pair(1, (2, 6), buckets=40, hidden=4).eval() for _ in range(2))
    x = torch.randint(1, 40, (5, 2, 6)).float()
    is_forget = torch.arange(5) < 2
    y = torch.randn(5)
    layers = ("lstm", "fc1", "fc2")
    plain, whole = (loss_of(student, blind, x, y, is_forget, weight=weight, layers=layers) for weight in (0.0, 10.0))
    with record(student, layers) as own, record(blind, layers) as other:
        student(x[:2])
        blind(x[:2])
        expected = attention_loss(own.take(), other.take()) * 10 * 2 / 5
    torch.testing.assert_close(whole - plain, expected)
    assert expected > 0


def test_by_default_the_blindspot_model_fits_retain_about_as_well_as_the_original() -> None:
    retain, forget, student, fresh = records("retain", -1, 1), records("forget", 1, 2), network(0), network(1)
    loss = regression_loss("mse")
    optimizer = torch.optim.Adam(student.parameters(), 1e-2)
    for x, y in [*forget.epochs(10), *retain.epochs(40)]:
        optimizer.zero_grad()
        loss(student(x), y).backward()
        optimizer.step()
    original = measure_loss(student, retain, loss)
    assert measure_loss(fresh, retain, loss) > 3 * original
    blindspot(student, fresh, without_labels(forget), retain, loss, (2,), Recipe())
    assert measure_loss(fresh, retain, loss) <= 1.3 * original  # 1.2 before the falling rate
    assert measure_loss(student, retain, loss) <= 1.5 * original


def test_by_default_the_rates_follow_the_weights_and_forgotten_records_are_repeated() -> None:
    retain, forget = records("retain", -1, 1), without_labels(records("forget", 1, 2, n=9))
    student, fresh = network(0), network(1)
    by_hand, teacher, lr = copy.deepcopy(student), copy.deepcopy(fresh), choose_lr(fresh)
    teacher[0].load_state_dict(student[0].state_dict())  # the first of three layers
    loss = regression_loss("mse")
    blindspot(student, fresh, forget, retain, loss, (2,), Recipe(), blindspot_epochs=2, attention_weight=0.0)
    fit(teacher, retain, loss, epochs=2, lr=lr, schedule="cosine")
    teacher.eval()
    optimizer = torch.optim.Adam(by_hand.parameters(), lr / 2)
    batches, shares = module.mix(forget, retain, 0.3), []
    for step, (x, y, is_forget) in enumerate(batches.epochs(2).from_step("unlearn", 0)):
        optimizer.param_groups[0]["lr"] = lr / 2 * lr_factor("cosine", step / (2 * len(batches)))
        optimizer.zero_grad()
        targets = torch.where(is_forget, teacher(x).detach()[:, 0], y)
        loss(by_hand(x), targets).backward()
        optimizer.step()
        shares.append(is_forget.float().mean().item())
    assert np.mean(shares) == pytest.approx(0.3, abs=0.03)
    for own, other in zip(student.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(own, other)


@pytest.mark.parametrize(("epochs", "largest"), [(20, 32), (100, 78)])
def test_a_known_recipe_gives_the_epochs_and_small_data_smaller_batches(epochs: int, largest: int) -> None:
    """15 % and 10 % of the original's epochs; with batches of 128, both are fewer than 100 steps."""
    retain, forget = records("retain", -1, 1, n=540), without_labels(records("forget", 1, 2, n=40))
    retain = replace(retain, batch_size=128)
    student, fresh = Seen(0), Seen(1)
    nn.init.constant_(
        student.net[4].requires_grad_(False).get_parameter("bias"), 3.0
    )  # predicts retain worse than any blindspot model
    recipe = Recipe(epochs=epochs, is_known=True)
    blindspot(student, fresh, forget, retain, regression_loss("mse"), (2,), recipe, attention_weight=0.0)
    assert sum(map(len, fresh.trained_on)) == pytest.approx(0.15 * epochs * 540, rel=0.02)
    assert sum(map(len, student.trained_on)) == pytest.approx(0.1 * epochs * (540 + 6 * 40), rel=0.02)
    assert max(map(len, fresh.trained_on)) == largest


def test_a_blindspot_model_that_is_too_short_is_trained_until_its_loss_is_near_the_originals() -> None:
    retain, forget, student, fresh = records("retain", -1, 1), records("forget", 1, 2), network(0), Seen(1)
    loss = regression_loss("mse")
    fit(student, retain, loss, epochs=60, lr=0.02)
    original = measure_loss(student, retain, loss)
    recipe = Recipe(epochs=40, is_known=True)  # of which 15 % are 6 epochs
    blindspot(student, fresh, without_labels(forget), retain, loss, (2,), recipe, kept_share=0, attention_weight=0.0)
    assert sum(map(len, fresh.trained_on)) > 10 * 90
    assert measure_loss(fresh, retain, loss) <= 2 * original


@pytest.mark.parametrize("recipe", [Recipe(epochs=2, is_known=True), Recipe()], ids=["too few epochs", "unknown"])
def test_a_long_training_starts_from_new_weights(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    retain, forget, original, fresh = records("retain", -1, 1), records("forget", 1, 2), network(0), network(1)
    loss, starts = regression_loss("mse"), list[dict[str, Tensor]]()
    fit(original, retain, loss, epochs=60, lr=0.02)

    class Watched(module.GoalTraining):
        def run(self, goal: float, most_epochs: int = 60) -> float:
            starts.append(copy.deepcopy(self.model.state_dict()))
            return super().run(goal, most_epochs)

    monkeypatch.setattr(module, "GoalTraining", Watched)
    blindspot(original, fresh, without_labels(forget), retain, loss, (2,), recipe, attention_weight=0.0)
    assert [same(start, network(1).state_dict()) for start in starts] == [True]


def test_given_epochs_keep_the_batch_size_of_the_run() -> None:
    retain, forget = replace(records("retain", -1, 1, n=540), batch_size=128), without_labels(records("forget", 1, 2))
    student, fresh = Seen(0), Seen(1)
    settings: dict[str, Any] = {"blindspot_epochs": 1, "student_epochs": 1, "attention_weight": 0.0}
    recipe = Recipe(epochs=20, is_known=True)
    blindspot(student, fresh, forget, retain, regression_loss("mse"), (2,), recipe, **settings)
    assert [len(fresh.trained_on), len(student.trained_on)] == [5, 7]


def test_an_estimate_bounds_the_phases_that_the_method_chooses() -> None:
    chosen = {"blindspot_epochs": None, "student_epochs": None}
    assert bound_steps(chosen, 10) == {"blindspot_steps": (2, 1500), "student_steps": (1, 1500)}
    assert bound_steps(chosen, 1) == {"blindspot_steps": (1, 150), "student_steps": (1, 150)}
    assert bound_steps({**chosen, "blindspot_epochs": 300}, 10) == {"student_steps": (1, 3000)}
    assert bound_steps({"blindspot_epochs": 3, "student_epochs": 2}, 10) == {}
