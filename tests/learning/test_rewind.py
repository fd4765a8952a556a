from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.methods.multilabel_records import draw_points, label_batches
from tests.methods.test_unsir import blobs
from unlearn_cli.learning.rewind import (
    OBSERVATIONS,
    NoRewind,
    Rewind,
    are_all_lost,
    make_rewind,
    measure_gap,
    measure_values,
)


class Scripted(nn.Module):
    """A network that is right about a share of the records of class 0, and about all others."""

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        of_class = torch.arange(len(x)) < self.share * len(x)
        return torch.stack([of_class.float(), 0.5 * torch.ones(len(x))], dim=1)


def shares(model: Scripted, values: list[float]) -> Iterator[int]:
    for step, value in enumerate(values, start=1):
        with torch.no_grad():
            model.share.fill_(value)
        yield step


def test_the_state_with_the_smallest_gap_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    model, forget = Scripted(), blobs([0], n=100)
    rewinder = Rewind(model, forget, blobs([0], n=100), 6)
    monkeypatch.setattr(
        "unlearn_cli.learning.rewind.measure_gap", lambda network, *_: (float(network.share.detach()) - 0.62, 0.0)
    )
    for step in shares(model, [0.9, 0.7, 0.5, 0.3, 0.1]):
        rewinder.observe(step)
    rewinder.restore(6)
    assert float(model.share.detach()) == pytest.approx(0.7)
    assert int(rewinder.step) == 2


def test_of_equal_gaps_the_latest_state_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted()
    rewinder = Rewind(model, blobs([0]), blobs([0]), 3)
    monkeypatch.setattr("unlearn_cli.learning.rewind.measure_gap", lambda *_: (0.1, 0.0))
    for step in shares(model, [0.9, 0.5]):
        rewinder.observe(step)
    rewinder.restore(2)
    assert float(model.share.detach()) == pytest.approx(0.5)


def test_gaps_within_their_standard_error_count_as_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted()
    rewinder = Rewind(model, blobs([0]), blobs([0]), 4)
    gaps = {0.9: 0.3, 0.7: 0.0, 0.5: -0.04, 0.1: 0.06}
    monkeypatch.setattr(
        "unlearn_cli.learning.rewind.measure_gap",
        lambda network, *_: (gaps[round(float(network.share.detach()), 1)], 0.05),
    )
    for step in shares(model, list(gaps)):
        rewinder.observe(step)
    rewinder.restore(4)
    assert float(model.share.detach()) == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_state_with_outputs_that_are_not_finite_is_never_taken(bad: float) -> None:
    """Of a classifier, argmax gives NaN a class, which may be the right one."""
    regression = replace(blobs([0], n=40), targets=torch.linspace(-1, 1, 40))
    for model, records in ((nn.Linear(2, 4), blobs([0], n=40)), (nn.Linear(2, 1), regression)):
        rewinder = Rewind(model, records, records, 3)
        finite = model.weight.detach().clone()
        rewinder.observe(1)
        with torch.no_grad():
            model.weight[0] = bad
        assert measure_values(model, records).isnan().any()
        rewinder.observe(2)
        rewinder.restore(3)
        assert torch.equal(model.weight, finite) and int(rewinder.step) == 1


def test_without_any_finite_state_the_network_is_left_as_it_is() -> None:
    model = nn.Linear(2, 4)
    torch.nn.init.constant_(model.weight, torch.nan)
    rewinder = Rewind(model, blobs([0]), blobs([0]), 2)
    rewinder.restore(2)
    assert model.weight.isnan().all()


def test_held_out_records_have_the_class_mix_of_forget() -> None:
    """A network that is right about class 0 only: the gap is 0, whatever the class mix of held_out."""
    model = nn.Linear(2, 4)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    forget, held_out = blobs([0, 1], n=50), blobs([0, 1, 2, 3], n=30)
    rewinder = Rewind(model, forget, held_out, 10)
    assert measure_values(model, forget).mean() == 0.5
    assert measure_values(model, held_out).mean() == 0.25
    gap, error = measure_gap(model, rewinder.forget, rewinder.held_out, rewinder.weights)
    assert gap == pytest.approx(0.0, abs=1e-9)
    # 50 of 100 are right; of held_out 30 of 120, of which only those of classes 0 and 1 count, each 1/60
    assert error == pytest.approx(np.sqrt(0.25 / 100 + 60 / 60**2 * (0.25 * 0.75)))


def test_without_held_out_records_of_the_classes_all_count() -> None:
    rewinder = Rewind(nn.Linear(2, 4), blobs([0]), blobs([1, 2], n=10), 10)
    assert rewinder.weights.tolist() == pytest.approx([1 / 20] * 20)


def test_a_regression_compares_absolute_errors() -> None:
    model = nn.Linear(2, 1)
    numbers = replace(blobs([0], n=40), targets=torch.linspace(-1, 1, 40))
    x = torch.cat([batch for batch, _ in numbers.sequential(7)])
    expected = np.abs(model(x)[:, 0].detach().numpy() - np.linspace(-1, 1, 40))
    assert measure_values(model, numbers).numpy() == pytest.approx(expected, abs=1e-5)


def test_a_long_phase_is_observed_a_fixed_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    model, observed = Scripted(), []
    monkeypatch.setattr("unlearn_cli.learning.rewind.measure_gap", lambda *_: observed.append(1) or (0.1, 0.0))
    rewinder = Rewind(model, blobs([0]), blobs([0]), 1000)
    for step in range(1, 1001):
        rewinder.observe(step)
    assert len(observed) == OBSERVATIONS


def test_its_state_can_be_saved_and_loaded() -> None:
    model = nn.Linear(2, 4)
    first, second = (Rewind(model, blobs([0]), blobs([0]), 10) for _ in range(2))
    first.restore(4)
    second.load_state_dict(first.state_dict())
    assert second.gap == first.gap
    assert int(second.step) == 4
    assert all(torch.equal(second.best[name], tensor) for name, tensor in model.state_dict().items())


def test_without_held_out_records_or_steps_nothing_is_observed() -> None:
    model, part = nn.Linear(2, 4), blobs([0])
    assert isinstance(make_rewind(model, part, part, 5), Rewind)
    for rewinder in (
        make_rewind(model, part, None, 5),
        make_rewind(model, None, part, 5),
        make_rewind(model, part, part, 0),
    ):
        assert isinstance(rewinder, NoRewind) and rewinder.state == ()
        rewinder.observe(1)
        rewinder.restore(1)


def test_an_observation_keeps_the_mode_of_every_module() -> None:
    norm = nn.BatchNorm1d(4)
    model = nn.Sequential(nn.Linear(2, 4), norm, nn.Dropout())
    model.train()
    norm.eval()  # frozen statistics
    assert norm.running_mean is not None
    before = norm.running_mean.clone()
    Rewind(model, blobs([0]), blobs([0]), 1).observe(1)
    assert [module.training for module in model] == [True, False, True] and model.training
    assert torch.equal(norm.running_mean, before)


def test_a_class_is_lost_if_retain_has_none_of_its_records() -> None:
    assert are_all_lost(blobs([0, 1]), blobs([2, 3]))
    assert not are_all_lost(blobs([0, 1]), blobs([1, 2]))
    numbers = [replace(blobs([0], n=4), targets=torch.arange(4.0) + shift) for shift in (0, 10)]
    assert not are_all_lost(numbers[0], numbers[1])


def test_held_out_multilabel_records_get_the_mix_of_sets_of_labels() -> None:
    points, _ = draw_points(40, 0)
    sets = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.uint8)
    forget, held_out = sets[[0, 0, 0, 1, 3]], sets[[0, 1, 1, 2]]
    rewinder = Rewind(Scripted(), label_batches(points[:5], forget), label_batches(points[:4], held_out), 10)
    assert rewinder.weights.tolist() == pytest.approx([0.75, 0.125, 0.125, 0.0])
