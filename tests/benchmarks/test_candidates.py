"""The candidates of the benchmark of methods: formulas that are easy to get wrong."""

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.methods.candidates.dampen import dampen
from benchmarks.methods.candidates.mask import mask_row
from benchmarks.methods.candidates.project import remove, residual_directions, separability
from benchmarks.methods.candidates.saliency import only_salient


def test_dampened_weights_are_scaled_where_forget_matters_more() -> None:
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
    of_forget, of_train = torch.tensor([[4.0, 30.0, 0.0]]), torch.tensor([[1.0, 1.0, 1.0]])
    dampen(layer, {"weight": of_forget}, {"weight": of_train}, alpha=10)
    torch.testing.assert_close(layer.weight.detach(), torch.tensor([[1.0, 2 / 30, 3.0]]))


def test_a_removed_direction_has_no_effect_and_others_keep_theirs() -> None:
    torch.manual_seed(0)
    lost, others, layer = torch.randn(1, 8), torch.randn(3, 8), nn.Linear(8, 2, bias=False)
    before = layer(others).detach()
    (direction,) = residual_directions(lost, others)
    remove(layer, torch.outer(direction, direction))
    torch.testing.assert_close(layer(others).detach(), before)
    torch.testing.assert_close(layer(direction).detach(), torch.zeros(2), atol=1e-6, rtol=0)


def test_separability_is_one_for_separated_values() -> None:
    assert separability(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])) == 1
    assert separability(torch.tensor([0.0, 3.0]), torch.tensor([1.0, 2.0])) == 0


def test_masked_class_is_never_predicted() -> None:
    model = mask_row(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), [1])
    assert not (model(torch.randn(100, 4)).argmax(dim=1) == 1).any()


def test_weights_that_are_not_salient_stay(monkeypatch) -> None:
    model = nn.Linear(4, 2, bias=False)
    mask = torch.zeros(2, 4, dtype=torch.bool)
    mask[0] = True
    monkeypatch.setattr("benchmarks.methods.candidates.saliency.find_salient", lambda *_: [mask])
    before, optimizer = model.weight.detach().clone(), torch.optim.Adam(model.parameters(), 0.1)
    with only_salient(model, None, 0.5):  # pyright: ignore[reportArgumentType]
        F.cross_entropy(model(torch.randn(8, 4)), torch.zeros(8, dtype=torch.long)).backward()
        optimizer.step()
    assert torch.equal(model.weight[1], before[1]) and not torch.equal(model.weight[0], before[0])
