"""Relearning: exact counts on a quadratic, copies that are copies, and every case without an index."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.methods.test_unsir import blobs, network
from tests.tiny import same
from unlearn_cli.attacks.relearn import relearn as attack
from unlearn_cli.learning.relearning import Goal, RelearningRun, make_goal, relearn
from unlearn_cli.learning.training import fit
from unlearn_cli.metrics.anamnesis_index import anamnesis_index, divide_steps
from unlearn_cli.metrics.relearn_time import relearn_time, summarize_runs


class Quadratic(nn.Module):
    """w, whatever the input: with Adam replaced by w <- 0.9 w, the loss w^2 has a count that is known."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, x: Tensor) -> Tensor:
        return self.w.expand(len(x), 1)


def squared(outputs: Tensor, _: Tensor) -> Tensor:
    return outputs.square().mean()


class Shrinking(torch.optim.Optimizer):
    """SGD on w^2 with rate 0.05: w - 0.05 * 2 w = 0.9 w."""

    def __init__(self, parameters: list[Tensor], lr: float, fused: bool) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                assert parameter.grad is not None
                parameter.sub_(0.05 * parameter.grad)


@pytest.mark.parametrize(("w", "steps"), [(1.0, 22), (10.0, 44)])
def test_a_quadratic_takes_as_many_steps_as_by_hand(w: float, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.9^(2 t) w^2 <= 0.01 from t = 22 on for w = 1, from t = 44 on for w = 10."""
    monkeypatch.setattr(torch.optim, "Adam", Shrinking)
    forget = blobs([0])
    goal = Goal(forget, 0.01, larger=False)
    found = relearn(Quadratic(w), forget, goal, squared, lr=1.0, max_steps=100, check_every=1, repeat=0)
    assert found.steps == steps
    assert len(found.values) == steps + 1


def test_the_index_of_the_quadratics_is_one_half() -> None:
    runs = [RelearningRun(22), RelearningRun(22)], [RelearningRun(44), RelearningRun(44)]
    assert divide_steps(*runs, max_steps=100).value == 0.5


@pytest.fixture(scope="module")
def networks() -> tuple[nn.Module, nn.Module]:
    """A network that knows all four classes, and one that never saw class 0."""
    torch.manual_seed(0)
    original = fit(network(), blobs([0, 1, 2, 3]), F.cross_entropy, epochs=10, lr=1e-2)
    torch.manual_seed(1)
    reference = fit(network(), blobs([1, 2, 3]), F.cross_entropy, epochs=10, lr=1e-2)
    return original.eval().requires_grad_(False), reference.eval().requires_grad_(False)


SETTINGS = {"lr": 1e-2, "repeats": 2, "max_steps": 200}


def test_a_reference_beside_itself_has_index_one_and_nothing_is_changed(networks: tuple[nn.Module, nn.Module]) -> None:
    original, reference = networks
    before = copy.deepcopy(reference.state_dict())
    arguments = (reference, reference, original, blobs([0]), blobs([0, 1, 2, 3]), F.cross_entropy)
    first, second = (anamnesis_index(*arguments, **SETTINGS) for _ in range(2))  # type: ignore[arg-type]
    assert first.value == 1
    assert first == second  # a reference trained in place would be faster the second time
    assert same(before, reference.state_dict())
    assert not any(parameter.requires_grad for parameter in reference.parameters())


def test_what_was_left_is_learned_again_at_once(networks: tuple[nn.Module, nn.Module]) -> None:
    original, reference = networks
    hidden = copy.deepcopy(original)
    hidden.state_dict()["2.bias" if "2.bias" in hidden.state_dict() else list(hidden.state_dict())[-1]][0] -= 8.0
    data = (blobs([0]), blobs([0, 1, 2, 3]), F.cross_entropy)
    found = anamnesis_index(hidden, reference, original, *data, **SETTINGS)  # type: ignore[arg-type]
    assert found.value is not None and found.value < 1
    untouched = relearn_time(original, original, *data, **SETTINGS)  # type: ignore[arg-type]
    assert untouched.value == 0


def test_a_reference_that_is_there_at_once_leaves_no_index(networks: tuple[nn.Module, nn.Module]) -> None:
    original, _ = networks
    data = (blobs([0]), blobs([0, 1, 2, 3]), F.cross_entropy)
    found = anamnesis_index(original, original, original, *data, **SETTINGS)  # type: ignore[arg-type]
    assert (found.value, "without a step" in (found.reason or "")) == (None, True)


def test_repeats_that_miss_the_target_leave_no_number_but_a_reason(networks: tuple[nn.Module, nn.Module]) -> None:
    original, reference = networks
    data = (blobs([0]), blobs([0, 1, 2, 3]), F.cross_entropy)
    late = relearn_time(reference, original, *data, lr=1e-9, max_steps=3, repeats=2)
    assert (late.value, "2 of 2 repeats did not reach the target within 3 steps" in (late.reason or "")) == (None, True)
    index = anamnesis_index(reference, reference, original, *data, lr=1e-9, max_steps=3, repeats=2)
    assert (index.value, "did not reach the target" in (index.reason or "")) == (None, True)


def test_a_median_with_some_late_is_told() -> None:
    found = summarize_runs([RelearningRun(4), RelearningRun(6), RelearningRun(None)], max_steps=10)
    assert found.value == 6
    assert "1 not within 10 steps" in (found.interval or "")
    assert found.high is None


def test_the_goal_is_the_originals_on_test_records_of_the_class_and_on_forget_itself_for_mere_records(
    networks: tuple[nn.Module, nn.Module],
) -> None:
    original, _ = networks
    test = blobs([0, 1, 2, 3], n=40)
    whole = make_goal(original, blobs([0]), test, F.cross_entropy, 0.05)
    assert whole.validation.num_samples == 40
    assert set(whole.validation.split.labels) == {0}
    some = make_goal(original, blobs([0, 1, 2, 3], n=10), test, F.cross_entropy, 0.05)
    assert some.validation.num_samples == 40 and some.validation.split.name == blobs([0]).split.name


def test_two_networks_see_the_records_in_the_same_order_and_repeats_in_another() -> None:
    forget = blobs([0, 1])
    orders = [
        [y.tolist() for _, y in replace(forget, seed=forget.seed + repeat).steps(4).from_step("relearn", 0)]
        for repeat in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_the_attack_shows_the_curve(networks: tuple[nn.Module, nn.Module]) -> None:
    original, reference = networks
    found = attack(
        reference,
        original,
        blobs([0]),
        blobs([0, 1, 2, 3]),
        F.cross_entropy,
        lr=1e-2,
        max_steps=100,
        check_every=1,
        repeats=2,
    )
    curve = found.curves[0].values
    assert curve[0] == 0 and curve[-1] is not None
    assert curve[-1] >= (found.quantities["target"].value or 1)
    assert np.all(np.diff([value or 0.0 for value in curve]) > -0.2)
