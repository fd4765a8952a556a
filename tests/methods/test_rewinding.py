"""Every method with `rewind`: the state that is taken, against gaps and states that the test keeps itself."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.methods.test_unsir import blobs, network
from unlearn_cli.data.batches import Batches, without_labels
from unlearn_cli.learning import rewind
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import fit
from unlearn_cli.methods.amnesiac import amnesiac
from unlearn_cli.methods.bad_teacher import bad_teacher
from unlearn_cli.methods.finetune import finetune
from unlearn_cli.methods.neggrad import neggrad
from unlearn_cli.runtime.seeds import Random

RECIPE = Recipe(lr=1e-2, is_known=True)
STEPS = 10
Method = Callable[[nn.Module, Batches, Batches, Batches | None], nn.Module]


def run_amnesiac(model: nn.Module, forget: Batches, retain: Batches, held_out: Batches | None) -> nn.Module:
    random = Random(0, "t")
    settings = {"held_out": held_out, "impair_steps": 5, "repair_steps": STEPS}
    return amnesiac(model, forget, retain, 4, random, RECIPE, **settings)  # type: ignore[arg-type]


def run_bad_teacher(model: nn.Module, forget: Batches, retain: Batches, held_out: Batches | None) -> nn.Module:
    original = deepcopy(model).eval().requires_grad_(False)
    torch.manual_seed(5)
    random, unlabelled = network().eval().requires_grad_(False), (without_labels(part) for part in (forget, retain))
    settings = {"held_out": held_out, "forget": forget if held_out else None}
    return bad_teacher(model, original, random, *unlabelled, RECIPE, impair_steps=5, repair_steps=STEPS, **settings)  # type: ignore[arg-type]


def run_finetune(model: nn.Module, forget: Batches, retain: Batches, held_out: Batches | None) -> nn.Module:
    return finetune(model, retain, F.cross_entropy, forget=forget, held_out=held_out, steps=STEPS)


def run_neggrad(model: nn.Module, forget: Batches, retain: Batches, held_out: Batches | None) -> nn.Module:
    return neggrad(model, forget, retain, F.cross_entropy, held_out=held_out, steps=STEPS)


METHODS = [run_amnesiac, run_bad_teacher, run_finetune, run_neggrad]


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(fit(network(), blobs([0, 1, 2, 3]), F.cross_entropy, epochs=3, lr=1e-2).state_dict())


@pytest.fixture
def parts() -> tuple[Batches, Batches, Batches]:
    everything, rows = blobs([0, 1, 2, 3]), torch.arange(800)
    forget, retain = everything.take(rows[::40].numpy()), everything.take(rows[rows % 40 > 0].numpy())
    return forget, retain, blobs([0, 1, 2, 3], n=30)


def copied(weights: dict[str, Tensor]) -> nn.Module:
    model = network()
    model.load_state_dict(weights)
    return model


def same(model: nn.Module, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("method", METHODS)
def test_the_state_with_the_smallest_gap_is_taken(
    method: Method, weights: dict[str, Tensor], parts: tuple[Batches, Batches, Batches], monkeypatch: pytest.MonkeyPatch
) -> None:
    states, gaps = [], [-0.5, -0.2, 0.1, 0.3, -0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.7]

    def gap(model: nn.Module, *_: object) -> tuple[float, float]:
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return gaps[len(states) - 1], 0.0

    monkeypatch.setattr(rewind, "measure_gap", gap)
    model = method(copied(weights), *parts)
    assert len(states) == STEPS + 1  # the last state twice
    assert same(model, states[4])  # of the equal gaps 0.1 and -0.1 the later one


@pytest.mark.parametrize("method", METHODS)
def test_rewinding_changes_no_step(
    method: Method, weights: dict[str, Tensor], parts: tuple[Batches, Batches, Batches], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget, retain, held_out = parts
    last = method(copied(weights), forget, retain, None)
    gaps = iter(range(STEPS + 1, 0, -1))
    monkeypatch.setattr(rewind, "measure_gap", lambda *_: (next(gaps), 0.0))
    assert same(method(copied(weights), forget, retain, held_out), dict(last.state_dict()))


@pytest.mark.parametrize("method", METHODS)
def test_whole_classes_are_not_rewound(
    method: Method, weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewind, "measure_gap", lambda *_: pytest.fail("observed"))
    method(copied(weights), blobs([0]), blobs([1, 2, 3]), blobs([0, 1, 2, 3], n=30))
