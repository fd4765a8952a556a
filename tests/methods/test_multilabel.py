"""Methods on multilabel records: their losses against formulas, and what becomes of a label that retain lacks."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, kl_divergence

from tests.methods.multilabel_records import draw_points, label_batches, records, small_network
from unlearn_cli.data.batches import without_labels
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.rewind import are_all_lost, mask_lost_labels, measure_values
from unlearn_cli.learning.training import fit
from unlearn_cli.methods.bad_teacher import Teachers, bad_teacher, bernoulli_divergence, find_lost_labels
from unlearn_cli.methods.finetune import finetune
from unlearn_cli.methods.neggrad import Objective, chance_loss, neggrad

BCE = F.binary_cross_entropy_with_logits


@pytest.fixture(scope="module")
def original() -> nn.Module:
    torch.manual_seed(0)
    return fit(small_network(), records(600), BCE, epochs=25, lr=1e-2).eval().requires_grad_(False)


def copied(original: nn.Module) -> nn.Module:
    return copy.deepcopy(original).requires_grad_(True)


def predict_share(model: nn.Module, label: int) -> float:
    """Return the share of never-seen records of which the network says the label, among those that have it."""
    points, marks = draw_points(600, 7)
    with torch.no_grad():
        outputs = model.eval()(torch.from_numpy(points))
    return float((outputs[:, label] > 0).numpy()[marks[:, label] == 1].mean())


def test_training_learns_every_label(original: nn.Module) -> None:
    assert all(predict_share(original, label) > 0.8 for label in range(3))
    assert float(measure_values(original, records(200, seed=5)).mean()) > 0.8


def test_the_loss_of_chance_is_that_of_the_best_constant_network() -> None:
    forget = records(300)
    shares = forget.targets.mean(dim=0)
    constant = torch.logit(shares).expand_as(forget.targets)
    assert chance_loss(forget, BCE) == pytest.approx(float(BCE(constant, forget.targets)), rel=1e-6)
    never = label_batches(np.zeros((4, 2), np.float32), np.zeros((4, 3), np.uint8))
    assert chance_loss(never, BCE) == 0.0


def test_a_label_is_lost_if_no_retained_record_has_it() -> None:
    points, marks = draw_points(400, 1)
    far = marks[:, 2] == 1
    forget, retain = label_batches(points[far], marks[far]), label_batches(points[~far], marks[~far])
    assert mask_lost_labels(forget, retain).tolist() == [False, False, True]
    assert are_all_lost(forget, retain)
    assert not are_all_lost(retain, forget) and not are_all_lost(records(50), records(300, seed=3))


def test_the_ascent_on_a_lost_label_reads_no_other_label() -> None:
    objective = Objective(BCE, 1.0, 1.0, 5.0, torch.tensor([False, False, True]))
    outputs, targets = torch.randn(6, 3), torch.ones(6, 3)
    assert torch.equal(objective.of_forget(outputs, targets), BCE(outputs[:, 2], targets[:, 2]))


@pytest.mark.parametrize("method", ["neggrad", "bad_teacher"])
def test_a_label_that_retain_lacks_is_forgotten_and_the_others_stay(method: str, original: nn.Module) -> None:
    points, marks = draw_points(600, 0)
    far = marks[:, 2] == 1
    forget, retain = label_batches(points[far], marks[far], "forget"), label_batches(points[~far], marks[~far])
    model = copied(original)
    if method == "neggrad":
        neggrad(model, forget, retain, BCE)
    else:
        torch.manual_seed(1)
        random = small_network().eval().requires_grad_(False)
        bad_teacher(model, original, random, without_labels(forget), without_labels(retain), Recipe())
    assert predict_share(original, 2) > 0.8 > 0.1 > predict_share(model, 2)
    assert min(predict_share(model, 0), predict_share(model, 1)) > 0.8


@pytest.mark.parametrize("method", ["neggrad", "finetune"])
def test_records_are_forgotten_without_the_loss_of_a_label(method: str, original: nn.Module) -> None:
    model, forget, retain = copied(original), records(60, seed=2, name="forget"), records(400)
    if method == "neggrad":
        neggrad(model, forget, retain, BCE, held_out=records(200, seed=9))
    else:
        finetune(model, retain, BCE, forget=forget, held_out=records(200, seed=9), epochs=2)
    assert min(predict_share(model, label) for label in range(3)) > 0.7


def test_the_divergence_of_labels_is_that_of_independent_bernoullis() -> None:
    logits, targets = torch.randn(7, 3), torch.rand(7, 3)
    targets[0], targets[1] = 0.0, 1.0
    expected = kl_divergence(Bernoulli(probs=targets), Bernoulli(logits=logits)).sum(dim=1).mean()
    assert float(bernoulli_divergence(logits, targets)) == pytest.approx(float(expected), rel=1e-5)
    assert float(bernoulli_divergence(logits, logits.sigmoid())) == pytest.approx(0, abs=1e-6)


def test_the_teachers_give_the_probability_of_each_label(original: nn.Module) -> None:
    torch.manual_seed(2)
    random, x = small_network().eval(), torch.randn(5, 2)
    lost = torch.tensor([False, True, False])
    targets = Teachers(original, random, 2.0, lost, of_labels=True).distributions(x, 2)
    expected = torch.cat([random(x[:2]), original(x[2:])]).div(2).sigmoid().masked_fill(lost, 0.0)
    torch.testing.assert_close(targets, expected)


def test_the_original_tells_which_labels_are_lost_without_their_names(original: nn.Module) -> None:
    points, marks = draw_points(600, 0)
    far = marks[:, 2] == 1
    forget, retain = (without_labels(label_batches(points[rows], marks[rows])) for rows in (far, ~far))
    lost, most = find_lost_labels(original, forget, retain)
    assert lost.tolist() == [False, False, True] and most
    lost, most = find_lost_labels(original, without_labels(records(60, seed=2)), without_labels(records(400)))
    assert not lost.any() and not most


def test_stored_targets_equal_those_that_are_computed_in_every_step(
    original: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget, retain = without_labels(records(40, seed=2, name="forget")), without_labels(records(200))
    weights: list[dict[str, Tensor]] = []
    for is_stored in (True, False):
        monkeypatch.setattr("unlearn_cli.methods.bad_teacher.can_store", lambda *_, stored=is_stored: stored)
        torch.manual_seed(3)
        random, model = small_network().eval().requires_grad_(False), copied(original)
        bad_teacher(model, original, random, forget, retain, Recipe(), impair_steps=4, repair_steps=4)
        weights.append(model.state_dict())
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], atol=1e-4, rtol=1e-4)
