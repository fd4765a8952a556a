"""Rank matching of residuals against SciPy and NumPy, and against records whose residuals are set by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import percentileofscore
from torch import Tensor

from unlearn_cli.learning.residual_ranks import (
    find_levels,
    interpolate_quantiles,
    rank_residuals,
)


def draws(n: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_targets_equal_a_second_implementation_with_scipy_and_numpy() -> None:
    labels, outputs = draws(30, 0), draws(30, 1)
    retain, never_seen = draws(101, 2, 0.5), draws(47, 3, 2.0)
    targets = rank_residuals(outputs, labels, retain).targets(never_seen)
    for label, output, target in zip(labels.numpy(), outputs.numpy(), targets.numpy(), strict=True):
        level = percentileofscore(np.abs(retain.numpy()), abs(output - label), kind="mean") / 100
        expected = np.quantile(np.abs(never_seen.numpy()), level, method="hazen")
        assert target == pytest.approx(label + np.sign(output - label) * expected, rel=1e-9)


def test_residuals_that_are_distributed_as_those_of_retain_become_distributed_as_never_seen_ones() -> None:
    labels = draws(400, 0)
    outputs, never_seen = labels + draws(400, 1, 0.1), draws(400, 2, 3.0)
    residuals = outputs - labels
    moved = rank_residuals(outputs, labels, residuals).targets(never_seen) - labels
    torch.testing.assert_close(moved.abs().sort().values, never_seen.abs().sort().values)
    assert torch.equal(moved.sign(), residuals.sign())
    assert torch.equal(moved.abs().argsort(), residuals.abs().argsort()), "the order of difficulty does not change"


def test_a_network_without_memory_keeps_its_outputs() -> None:
    """Where never-seen records have the residuals of retain, each forgotten record keeps its own."""
    labels, outputs = draws(50, 0), draws(50, 1)
    residuals = outputs - labels
    torch.testing.assert_close(rank_residuals(outputs, labels, residuals).targets(residuals), outputs)


def test_a_forgotten_group_that_is_harder_than_retain_stays_harder() -> None:
    labels, retain, never_seen = draws(200, 0), draws(200, 1), draws(200, 2, 1.5)
    easy, hard = (labels + draws(200, 3, scale) for scale in (1.0, 2.0))
    sizes = [(rank_residuals(out, labels, retain).targets(never_seen) - labels).abs().mean() for out in (easy, hard)]
    assert sizes[1] > 1.5 * sizes[0]


def test_a_residual_above_all_others_gets_the_largest_and_one_of_zero_the_smallest_on_the_upper_side() -> None:
    labels = torch.zeros(2)
    ranks = rank_residuals(torch.tensor([-9.0, 0.0]), labels, torch.tensor([1.0, -2.0, 3.0]))
    assert ranks.levels.tolist() == [1.0, 0.0]
    assert ranks.targets(torch.tensor([0.5, -4.0])).tolist() == [-4.0, 0.5]


def test_equal_residuals_count_one_half() -> None:
    assert find_levels(torch.tensor([1.0]), torch.tensor([0.0, 1.0, 1.0, 2.0])).tolist() == [0.5]


def test_one_never_seen_record_is_enough() -> None:
    assert interpolate_quantiles(torch.tensor([2.0]), torch.tensor([0.0, 0.5, 1.0])).tolist() == [2.0, 2.0, 2.0]
