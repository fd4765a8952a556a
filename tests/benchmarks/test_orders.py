"""The correlations of orders, against hand computations, and the influence against retraining the last layer."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.methods.orders import correlate, leave_out, mix
from tests.methods.test_unsir import blobs
from unlearn_cli.learning.rank_matching import log_odds

LABELS = np.repeat([0, 1], [5, 10])


def test_correlations_are_averaged_over_the_classes_by_their_size() -> None:
    truth = np.arange(15.0)
    values = np.where(LABELS == 0, truth, -truth)
    assert correlate(values, truth, LABELS) == pytest.approx((5 - 10) / 15)


def test_orders_are_mixed_by_ranks_within_classes() -> None:
    values = {"a": np.exp(np.arange(15.0)), "b": -np.arange(15.0)}
    assert np.unique(mix(values, ("a", "b"), LABELS)).tolist() == [6.0, 11.0]
    assert correlate(mix(values, ("a",), LABELS), np.arange(15.0), LABELS) == pytest.approx(1)


def test_the_influence_is_that_of_a_training_without_the_record() -> None:
    """A logistic regression with a penalty, trained to its minimum with all records, and again without one of them."""
    forget, retain = blobs([0, 1], n=10), blobs([0, 1, 2, 3], n=30)
    x, y = (torch.cat(parts) for parts in zip(*[*forget.sequential(500), *retain.sequential(500)], strict=True))

    def train(rows: torch.Tensor) -> nn.Linear:
        model = nn.Linear(2, 4)
        model.load_state_dict({"weight": torch.zeros(4, 2), "bias": torch.zeros(4)})
        optimizer = torch.optim.LBFGS(
            model.parameters(), max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
        )

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            penalty = sum((parameter**2).sum() for parameter in model.parameters())
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows], reduction="sum") / len(x) + 5e-3 * penalty
            loss.backward()
            return loss

        optimizer.step(closure)
        return model

    model = train(torch.arange(len(x)))
    estimated = leave_out(model, forget, retain).numpy()
    own = log_odds(model(x[:20]), y[:20]).detach().numpy()
    left_out = [train(torch.arange(len(x)) != row)(x[row : row + 1]) for row in range(5)]
    exact = torch.cat([log_odds(outputs, y[row : row + 1]) for row, outputs in enumerate(left_out)]).detach().numpy()
    assert estimated[:5] - own[:5] == pytest.approx(exact - own[:5], rel=0.1, abs=1e-3)
