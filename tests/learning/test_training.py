import pytest
import torch
from torch import nn

from unlearn_cli.learning.training import lr_factor, make_optimizer, regression_loss, set_training_mode


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
