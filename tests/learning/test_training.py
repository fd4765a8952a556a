import pytest
import torch
from torch import nn

from tests.methods.test_unsir import blobs
from unlearn_cli.errors import UserError
from unlearn_cli.learning.training import (
    explain_single_values,
    fit,
    lr_factor,
    make_optimizer,
    regression_loss,
    set_training_mode,
)
from unlearn_cli.methods.neggrad import neggrad


def test_schedules_begin_and_end_where_they_should() -> None:
    assert lr_factor("constant", 0.9) == 1
    assert lr_factor("cosine", 0.0) == 1
    assert lr_factor("cosine", 0.5) == pytest.approx(0.5)
    assert lr_factor("one_cycle", 0.0) == pytest.approx(0.04)
    assert lr_factor("one_cycle", 0.3) == pytest.approx(1)
    assert lr_factor("one_cycle", 1.0) == pytest.approx(0)


def test_adam_without_weight_decay_is_plain_adam() -> None:
    def trained(build: object) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = build(model)  # type: ignore[operator]
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
        return model.weight.detach()

    ours = trained(lambda model: make_optimizer(model, "adam", 0.1, 0.0, 0.9))
    assert torch.allclose(ours, trained(lambda model: torch.optim.Adam(model.parameters(), 0.1)))


@pytest.mark.parametrize(("name", "expected"), [("mse", (1 + 9) / 2), ("l1", (1 + 3) / 2)])
def test_regression_losses_equal_a_hand_computation(name: str, expected: float) -> None:
    loss = regression_loss(name)(torch.tensor([[1.0], [2.0]]), torch.tensor([2.0, 5.0]))  # type: ignore[arg-type]
    assert float(loss) == expected


def test_frozen_batch_norm_stays_in_eval_mode_while_dropout_works() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).eval()
    set_training_mode(model, "frozen")
    assert [module.training for module in model] == [True, False, True]
    set_training_mode(model, "batch")
    assert [module.training for module in model] == [True, True, True]


def test_batch_norm_of_a_batch_of_one_record_is_explained_with_the_remedy() -> None:
    model, record = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4)), blobs([0], n=1)
    loss = nn.functional.cross_entropy
    for call in (
        lambda: fit(model, record, loss, epochs=1),
        lambda: neggrad(model, record, record, loss, retain_weight=0.0, steps=1, batch_norm="batch"),
    ):
        with (
            pytest.raises(UserError, match="a batch has one record, of which batch norm cannot compute statistics"),
            explain_single_values(),
        ):
            call()


def test_other_errors_of_a_training_are_not_translated() -> None:
    with pytest.raises(ValueError, match="of my own"), explain_single_values():
        raise ValueError("of my own")
