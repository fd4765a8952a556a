"""Gaussian amnesiac against the normal distribution and hand computations; resuming is in test_contract."""

import copy
from typing import Any

import numpy as np
import torch
from scipy.stats import kstest, norm
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, Scaling, without_labels
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.mixed import mix
from unlearn_cli.data.records import ArrayInputs, from_arrays
from unlearn_cli.data.stores import open_store
from unlearn_cli.learning.training import LabelStatistics, label_statistics, regression_loss
from unlearn_cli.methods.gaussian_amnesiac import draw_labels, gaussian_amnesiac
from unlearn_cli.runtime.seeds import Random

STATISTICS = LabelStatistics(mean=0.4, std=1.3, low=-1.5, high=2.0)


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


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))


def forget(model: nn.Module, task_loss: Any = None, seed: int = 0, **settings: Any) -> nn.Module:
    """Forget labels above 1 of those from -1 to 2."""
    return gaussian_amnesiac(
        model, without_labels(records("forget", 1, 2)), records("retain", -1, 1), STATISTICS,
        task_loss or regression_loss("mse"), Random(seed, "test"), **settings,
    )  # fmt: skip


def test_labels_are_draws_from_the_normal_distribution_of_all_training_labels() -> None:
    drawn = draw_labels(5000, STATISTICS, Random(0, "test"), clip=False)
    assert drawn.shape == (5000,)
    assert kstest(drawn.numpy(), norm(0.4, 1.3).cdf).pvalue > 0.01
    assert kstest(drawn.numpy(), norm(0.4, 1.5).cdf).pvalue < 0.001
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.05
    assert drawn.min() < STATISTICS.low
    assert drawn.max() > STATISTICS.high


def test_clipped_labels_lie_in_the_range_of_the_training_labels_and_the_others_are_the_same() -> None:
    free, clipped = (draw_labels(2000, STATISTICS, Random(0, "test"), clip) for clip in (False, True))
    assert clipped.min() == STATISTICS.low
    assert clipped.max() == STATISTICS.high
    inside = (free > STATISTICS.low) & (free < STATISTICS.high)
    assert torch.equal(free[inside], clipped[inside])


def test_the_seed_decides_the_labels() -> None:
    first, again, other = (draw_labels(50, STATISTICS, Random(seed, "test"), False) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def pairs_seen(**settings: Any) -> list[tuple[Tensor, Tensor]]:
    """Return (first number of the sample, label) of each record of each step."""
    seen: list[tuple[Tensor, Tensor]] = []
    xs: list[Tensor] = []

    def loss(outputs: Tensor, y: Tensor) -> Tensor:
        assert outputs.shape == (len(y), 1)
        seen.append((xs[-1], y.clone()))
        return regression_loss("mse")(outputs, y)

    model = network()
    model.register_forward_hook(lambda module, inputs, output: xs.append(inputs[0][:, 0].clone()))
    forget(model, loss, **settings)
    return seen


def test_labels_are_drawn_once_and_retain_keeps_its_own() -> None:
    seen = pairs_seen(impair_epochs=3, repair_epochs=1, labels_of="train")
    x, y = (torch.cat(parts) for parts in zip(*seen[: -len(records("retain", -1, 1))], strict=True))
    assert torch.equal(x[x <= 1], y[x <= 1])
    told: dict[float, set[float]] = {}
    for number, label in zip(x[x > 1].tolist(), y[x > 1].tolist(), strict=True):
        told.setdefault(number, set()).add(label)
    assert len(told) == 90
    assert all(len(labels) == 1 for labels in told.values())
    drawn = draw_labels(90, STATISTICS, Random(0, "test"), clip=False)
    assert sorted(next(iter(labels)) for labels in told.values()) == sorted(drawn.tolist())


def test_the_repair_sees_retain_alone() -> None:
    seen = pairs_seen(impair_epochs=1, repair_epochs=2)
    repaired = seen[-2 * len(records("retain", -1, 1)) :]
    assert all(torch.equal(x, y) and x.max() <= 1 for x, y in repaired)


def test_as_in_the_paper_it_is_fine_tuning_on_retain_and_drawn_labels() -> None:
    model = forget(network(), impair_epochs=2, impair_lr=1e-2, schedule="constant", repair_epochs=0, labels_of="train")
    by_hand = network()
    optimizer = torch.optim.Adam(by_hand.parameters(), 1e-2)
    drawn = draw_labels(90, STATISTICS, Random(0, "test"), clip=False)
    relabelled = records("forget", 1, 2).relabelled(drawn)
    for x, y, _ in mix(relabelled, records("retain", -1, 1)).epochs(2).from_step("relabelled", 0):
        optimizer.zero_grad()
        (by_hand(x).squeeze(1) - y).square().mean().backward()
        optimizer.step()
    for own, other in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(own, other)


def test_labels_can_be_drawn_as_those_of_retain() -> None:
    of_retain = label_statistics(records("retain", -1, 1).targets)
    for labels_of, statistics in (("train", STATISTICS), ("retain", of_retain)):
        x, y = (torch.cat(parts) for parts in zip(*pairs_seen(labels_of=labels_of, repair_epochs=0), strict=True))
        expected = draw_labels(90, statistics, Random(0, "test"), clip=False)
        assert sorted(set(y[x > 1].tolist())) == sorted(set(expected.tolist()))


def test_a_true_label_of_a_forgotten_record_can_reach_nothing() -> None:
    """They are NaN, which would make every weight NaN."""
    assert all(parameter.isfinite().all() for parameter in forget(network()).parameters())


def test_what_it_learns_depends_on_the_seed_alone() -> None:
    weights = [copy.deepcopy(forget(network(), seed=seed).state_dict()) for seed in (0, 0, 1)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
