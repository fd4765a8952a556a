"""Training that follows the network: its rate, its average and its end, each against a second computation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.methods.test_blindspot import records
from unlearn_cli.learning.adaptive_training import (
    GoalTraining,
    WeightAverage,
    choose_lr,
    copy_first_layers,
    fit_epochs,
    measure_loss,
    shrink_batches,
)
from unlearn_cli.learning.training import lr_factor, regression_loss

MSE = regression_loss("mse")


def network(seed: int = 0, hidden: int = 8) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, 1))


def test_the_rate_is_a_tenth_of_the_median_size_of_the_weight_matrices() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3), nn.Linear(3, 1))
    for layer, value in zip(model, (0.5, -0.02, 3.0), strict=True):
        for parameter, number in zip(layer.parameters(), (value, 100.0), strict=True):
            nn.init.constant_(parameter, number)
    assert choose_lr(model) == pytest.approx(0.05)


def test_a_wide_network_gets_a_lower_rate() -> None:
    """The default weights of torch are uniform up to 1 / sqrt(inputs), so their root mean square is that / sqrt(3)."""
    wide = nn.Sequential(nn.Linear(900, 900), nn.Linear(900, 900), nn.Linear(900, 1))
    assert choose_lr(wide) == pytest.approx(0.1 / 30 / math.sqrt(3), rel=0.01)


def test_the_loss_is_measured_in_eval_mode_over_all_records() -> None:
    batches, model = records("retain", -1, 1), nn.Sequential(network(), nn.Dropout(0.9))
    x, y = (torch.cat(parts) for parts in zip(*batches.sequential(100), strict=True))
    expected = (model.eval()(x)[:, 0] - y).square().mean().item()
    assert measure_loss(model.train(), batches, MSE) == pytest.approx(expected, rel=1e-5)
    assert not model.training


def test_the_average_is_the_polynomial_one_and_exchanging_twice_restores_both() -> None:
    model = nn.Linear(1, 1, bias=False)
    average, values, expected = WeightAverage(model), np.random.default_rng(0).normal(size=12), 0.0
    for step, value in enumerate(values, start=1):
        nn.init.constant_(model.weight, value)
        average.update(model, step)
        weight = min(1, 5 / (step + 4))
        expected = (1 - weight) * expected + weight * value
    assert average.tensors[0].item() == pytest.approx(expected, rel=1e-5)
    average.exchange(model)
    assert (model.weight.item(), average.tensors[0].item()) == pytest.approx((expected, values[-1]), rel=1e-5)
    average.exchange(model)
    assert (model.weight.item(), average.tensors[0].item()) == pytest.approx((values[-1], expected), rel=1e-5)


def test_statistics_of_batch_norm_are_averaged_but_not_its_counter() -> None:
    model = nn.BatchNorm1d(3)
    assert model.num_batches_tracked is not None
    average = WeightAverage(model)
    assert len(average.tensors) == 4
    average.exchange(model)
    assert model.num_batches_tracked.dtype == torch.int64


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_it_ends_when_the_loss_has_reached_the_goal(share: float) -> None:
    batches, model = records("retain", -1, 1), network()
    goal = share * measure_loss(model, batches, MSE)
    epochs = GoalTraining(model, batches, MSE, 0.02, "train").run(goal)
    assert 1 <= epochs < 60
    assert measure_loss(model, batches, MSE) <= 1.1 * goal
    longer = GoalTraining(network(), batches, MSE, 0.02, "train").run(0.3 * goal)
    assert longer > epochs


def test_a_goal_that_cannot_be_reached_ends_after_the_largest_number_of_epochs() -> None:
    batches = records("retain", -1, 1, n=12)
    assert GoalTraining(network(), batches, MSE, 1e-6, "train").run(0.0) == 90
    assert GoalTraining(network(), batches, MSE, 1e-6, "train").run(0.0, most_epochs=4) == 6


def test_the_average_ends_the_training_as_soon_as_it_has_reached_the_goal() -> None:
    """The weights of the epoch before had not reached it, and the network has the average, as a test keeps it."""
    batches, model = records("retain", -1, 1), network()
    goal = 0.1 * measure_loss(model, batches, MSE)
    training = GoalTraining(model, batches, MSE, 0.02, "train")
    epochs = training.run_to_average(goal)
    assert 1 < epochs < 60 and measure_loss(model, batches, MSE) <= goal
    other = GoalTraining(network(), batches, MSE, 0.02, "train")
    assert other.run_to_average(0.0, most_epochs=epochs - 1) == epochs - 1
    assert measure_loss(other.model, batches, MSE) > goal
    assert GoalTraining(network(), batches, MSE, 1e-6, "train").run_to_average(0.0) == 60


def test_another_loss_can_be_minimised_than_the_one_with_the_goal() -> None:
    batches, first, second = records("retain", -1, 1), network(), network()
    seen: list[Tensor] = []

    def doubled(outputs: Tensor, x: Tensor, y: Tensor) -> Tensor:
        seen.append(x)
        return MSE(outputs, 2 * y)

    GoalTraining(first, batches, MSE, 0.02, "train", doubled).run_to_average(0.0, most_epochs=2)
    twice = batches.relabelled(2 * batches.targets)
    GoalTraining(second, twice, MSE, 0.02, "train").run_to_average(0.0, most_epochs=2)
    assert len(seen) == 2 * len(batches)
    for own, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(own, other)


def test_it_depends_on_the_seed_only() -> None:
    batches, first, second = records("retain", -1, 1), network(), network()
    epochs = [GoalTraining(model, batches, MSE, 0.02, "train").run(0.05) for model in (first, second)]
    assert epochs[0] == epochs[1]
    for own, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(own, other)


def with_norm(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    model[1](torch.randn(8, 4))  # statistics other than those of a new network
    return model


@pytest.mark.parametrize(("share", "first_new"), [(0.0, 0), (0.3, 0), (0.34, 3), (0.7, 5)])
def test_the_first_layers_are_copied_with_the_norm_that_follows_them(share: float, first_new: int) -> None:
    source, target, before = with_norm(0), with_norm(1), with_norm(1)
    copy_first_layers(source, target, share)
    for name, tensor in target.state_dict().items():
        origin = source if int(name.split(".")[0]) < first_new else before
        assert torch.equal(tensor, origin.state_dict()[name]), name


@pytest.mark.parametrize(("epochs", "size"), [(0.5, 32), (40.0, 36), (1000.0, 64)])
def test_batches_shrink_to_a_hundred_steps_but_not_below_32_records(epochs: float, size: int) -> None:
    batches = replace(records("retain", -1, 1), batch_size=64)
    shrunk = shrink_batches(batches, epochs)
    assert shrunk.batch_size == size
    assert shrunk.num_samples == batches.num_samples == 90


def test_half_an_epoch_can_be_the_last() -> None:
    batches, model, by_hand = records("retain", -1, 1, n=96), network(), network()
    fit_epochs(model, batches, MSE, 1.5, 0.01, "cosine")
    optimizer = torch.optim.Adam(by_hand.parameters(), 0.01)
    for step, (x, y) in enumerate(batches.steps(9).from_step("train", 0)):  # 6 steps per epoch
        optimizer.param_groups[0]["lr"] = 0.01 * lr_factor("cosine", step / 9)
        optimizer.zero_grad()
        (by_hand(x)[:, 0] - y).square().mean().backward()
        optimizer.step()
    for own, other in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(own, other)
