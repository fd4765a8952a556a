from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.special import expit, huber, rel_entr, softmax
from scipy.stats import mannwhitneyu, percentileofscore, rankdata
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tests.methods.cases import REGRESSION
from tests.tiny import invoke, write_manifest
from unlearn_cli.data.batches import Batches, Scaling
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.records import ArrayInputs, from_arrays
from unlearn_cli.data.stores import open_store
from unlearn_cli.learning.matched_targets import MatchedConfidences, measure_log_odds, measure_memorising
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import regression_loss
from unlearn_cli.methods.rank_match import (
    OF_GROUPS,
    USUAL,
    BatchLoss,
    Budget,
    choose_blindspot_epochs,
    choose_epochs,
    choose_steps,
    count_steps,
    match_confidences,
    rank_match,
)

CENTRES = np.array([[2.0, 0.0], [0.0, 2.0], [-1.0, -1.0], [1.5, 1.5]])


def noisy(name: str, n: int, seed: int, spread: float = 1.0) -> Batches:
    """Records of overlapping classes, in 20 more dimensions of noise by which a network can memorise them."""
    random = np.random.default_rng(seed)
    labels = random.integers(4, size=n)
    x = np.concatenate([CENTRES[labels] + spread * random.normal(size=(n, 2)), random.normal(size=(n, 20))], axis=1)
    inputs = ArrayInputs(x.astype(np.float32), (22,))
    split = Split(name, from_arrays(name, inputs, labels), np.arange(n), labels)
    store = open_store(inputs, (22,), torch.device("cpu"), 2**20)
    scaling = Scaling(1.0, torch.tensor(0.0), torch.tensor(1.0))
    return Batches(split, store, scaling, torch.from_numpy(labels), (22,), 4, 64, 0)


def memorising() -> nn.Module:
    return nn.Sequential(nn.Linear(22, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))


FORGET, RETAIN = noisy("forget", 100, 1), noisy("retain", 400, 2)
HELD_OUT, TEST = noisy("held_out", 300, 3), noisy("test", 2000, 4)
RECIPE = Recipe(epochs=300, lr=5e-3)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Weights of a network that has memorised all records of train."""
    torch.manual_seed(0)
    model = memorising()
    optimizer = torch.optim.Adam(model.parameters(), RECIPE.lr)
    x, y = (torch.cat(parts) for parts in zip(*(next(part.sequential(500)) for part in (FORGET, RETAIN)), strict=True))
    for _ in range(RECIPE.epochs):
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
    return dict(model.state_dict())


def load(weights: dict[str, Tensor]) -> nn.Module:
    model = memorising()
    model.load_state_dict(weights)
    return model


def unlearn(weights: dict[str, Tensor], retain: Batches = RETAIN, **settings: Any) -> nn.Module:
    original = load(weights).requires_grad_(False).eval()
    torch.manual_seed(1)  # new weights
    return rank_match(
        load(weights), original, memorising(), FORGET, retain, HELD_OUT, cross_entropy, RECIPE, **settings
    )


def accuracy(model: nn.Module, batches: Batches) -> float:
    model.eval()
    x, y = next(batches.sequential(batches.num_samples))
    return float((model(x).argmax(dim=1) == y).float().mean())


def test_memorised_records_become_as_hard_as_never_seen_ones_and_the_others_stay(weights: dict[str, Tensor]) -> None:
    original = load(weights)
    assert accuracy(original, FORGET) == 1.0
    model = unlearn(weights, steps=400)
    unseen = accuracy(model, TEST)
    assert accuracy(model, FORGET) == pytest.approx(unseen, abs=0.12)
    assert unseen > accuracy(original, TEST) - 0.06  # as a network does that is retrained on four fifths of the records
    assert accuracy(model, RETAIN) > 0.97
    before, after = (separability(network) for network in (original, model))
    assert before > 0.7
    assert after < 0.62


def separability(model: nn.Module) -> float:
    """Return the AUC by which log-odds of forgotten and of never-seen records can be told apart."""
    forgotten, unseen = (measure_log_odds(model, part).detach().numpy() for part in (FORGET, TEST))
    return float(mannwhitneyu(forgotten, unseen).statistic / (len(forgotten) * len(unseen)))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_loss_of_a_batch_is_that_of_the_formula(weights: dict[str, Tensor], share: float) -> None:
    original = load(weights).eval()
    targets = MatchedConfidences(original, FORGET, RETAIN, HELD_OUT)
    outputs, x = torch.randn(6, 4), torch.randn(6, 22)
    y, is_forget = torch.tensor([7, 31, 2, 0, 1, 3]), torch.tensor([True, True, False, False, False, False])
    labels, own = FORGET.targets[[7, 31]].numpy(), outputs.double().numpy()
    first = original(torch.cat([x for x, _ in FORGET.sequential(100)])).detach().double().numpy()[[7, 31]]
    divergences, distances = [], []
    for row, (label, wanted) in enumerate(zip(labels, targets.matching.targets[[7, 31]].numpy(), strict=True)):
        rest = softmax(np.delete(first[row], label))
        target = np.insert(rest * (1 - expit(wanted)), label, expit(wanted))
        divergences.append(rel_entr(target, softmax(own[row])).sum())
        reached = np.log(softmax(own[row])[label] / (1 - softmax(own[row])[label]))
        distances.append(huber(1.0, np.clip(reached, -8, 0) - np.clip(wanted, -8, 0)))
    on_labels = -np.log(softmax(own[2:], axis=1)[np.arange(4), [2, 0, 1, 3]]).mean()
    teacher = softmax(original(x[2:]).detach().double().numpy(), axis=1)
    of_outputs = rel_entr(teacher, softmax(own[2:], axis=1)).sum(axis=1).mean()
    expected = 1.5 * (np.mean(divergences) + 0.2 * np.mean(distances)) + (1 - share) * on_labels + share * of_outputs
    batch_loss = BatchLoss(targets, 1.5, original, cross_entropy, share)
    assert float(batch_loss(outputs, x, y, is_forget)) == pytest.approx(expected, rel=1e-4)


def test_retained_numbers_are_held_by_their_labels_and_by_the_outputs_of_the_original() -> None:
    original, x, y = nn.Linear(3, 1).requires_grad_(False), torch.randn(5, 3), torch.randn(5)
    outputs, loss = torch.randn(5, 1), regression_loss("mse")
    batch_loss = BatchLoss(None, 1.0, original, loss, 0.25)  # pyright: ignore[reportArgumentType]
    on_labels, of_outputs = ((outputs[:, 0] - wanted).square().mean() for wanted in (y, original(x)[:, 0]))
    computed = batch_loss(outputs, x, y, torch.zeros(5, dtype=torch.bool))
    assert float(computed) == pytest.approx(float(0.75 * on_labels + 0.25 * of_outputs), rel=1e-5)


def test_a_batch_may_lack_one_of_the_parts(weights: dict[str, Tensor]) -> None:
    original = load(weights).eval()
    targets = MatchedConfidences(original, FORGET, RETAIN, HELD_OUT)
    outputs, x, y = torch.randn(3, 4), torch.randn(3, 22), torch.tensor([0, 1, 2])
    for flag in (True, False):
        loss = BatchLoss(targets, 2.0, original, cross_entropy, 0.5)(outputs, x, y, torch.full((3,), flag))
        assert torch.isfinite(loss)


def test_held_out_records_are_never_trained_on(weights: dict[str, Tensor]) -> None:
    model, seen = load(weights), []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if module.training else None)
    rank_match(model, load(weights).eval(), memorising(), FORGET, RETAIN, HELD_OUT, cross_entropy, RECIPE, steps=40)
    trained_on = {tuple(x.tolist()) for batch in seen for x in batch}
    assert trained_on
    assert not trained_on & {tuple(x.tolist()) for x in next(HELD_OUT.sequential(300))[0]}


def test_the_number_of_steps_follows_the_original_within_bounds() -> None:
    assert [choose_epochs(False, epochs) for epochs in (2, 20, 1000)] == [4, 8, 12]
    assert choose_epochs(True, 1000) == 10
    assert count_steps(6, 75, 0.25) == 600
    assert count_steps(4, 100, None) == 400
    assert count_steps(6, 2, 0.25) == 200


def test_few_forgotten_records_need_fewer_steps() -> None:
    retain = replace(RETAIN, batch_size=2)  # 200 batches per epoch
    numbers = [choose_steps(FORGET.take(np.arange(n)), retain, 20, 0.25) for n in (1, 8, 100)]
    assert numbers == [200, 1600, count_steps(8, 200, 0.25)]
    assert choose_steps(FORGET.take(np.arange(1)), retain, 20, None) == count_steps(8, 200, None)


def test_few_records_of_a_network_that_does_not_memorise_keep_their_log_odds(weights: dict[str, Tensor]) -> None:
    original, few = load(weights).eval(), FORGET.take(np.arange(3))
    own = measure_log_odds(original, few)
    unmemorised = MatchedConfidences(original, few, HELD_OUT, HELD_OUT).matching.targets
    assert unmemorised.tolist() == pytest.approx(own.tolist())
    assert measure_memorising(torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0, 1.0, 1.0])) == 1.0
    assert measure_memorising(torch.tensor([1.0] * 9 + [-1.0]), torch.tensor([1.0] * 4 + [-1.0])) == pytest.approx(0.4)
    assert (MatchedConfidences(original, few, RETAIN, HELD_OUT).matching.targets <= own).all()


def test_the_blindspot_network_is_trained_for_a_third_of_the_epochs_unless_few_records_are_forgotten() -> None:
    assert [choose_blindspot_epochs(100, epochs, None) for epochs in (1, 15, 300)] == [1, 5, 10]
    assert choose_blindspot_epochs(24, 30, None) == 0
    assert choose_blindspot_epochs(24, 30, 5) == 5
    assert [choose_blindspot_epochs(100, epochs, None, OF_GROUPS) for epochs in (1, 15, 300)] == [1, 8, 15]


@pytest.mark.parametrize(("spread", "chosen", "budget"), [(1.0, None, USUAL), (0.1, None, OF_GROUPS), (0.1, 12, USUAL)])
def test_records_that_are_easier_than_held_out_ones_get_a_longer_blindspot_network(
    weights: dict[str, Tensor], spread: float, chosen: int | None, budget: Budget
) -> None:
    original, fresh, steps = load(weights).eval(), memorising(), []
    fresh.register_forward_pre_hook(lambda module, inputs: steps.append(0) if module.training else None)
    parts = noisy("forget", 100, 1, spread), RETAIN, HELD_OUT
    recipe = Recipe(epochs=30, lr=5e-3)
    targets, used = match_confidences(original, fresh, parts, cross_entropy, recipe, chosen)
    assert used == budget
    assert targets.are_unlike_held_out is (spread < 1)
    assert len(steps) == len(RETAIN) * (chosen or (15 if used == OF_GROUPS else 10))


def test_a_part_that_never_seen_records_show_to_be_harder_becomes_harder(weights: dict[str, Tensor]) -> None:
    """The original has memorised the forgotten records; a network that never saw them gives others the label."""
    original, blindspot = load(weights).eval(), nn.Linear(22, 4)
    with torch.no_grad():
        blindspot.weight.zero_()
        blindspot.weight[FORGET.targets[0], 2] = 1.0  # a dimension of noise orders the records
        blindspot.bias.zero_()
    targets = MatchedConfidences(original, FORGET, RETAIN, HELD_OUT, blindspot).matching
    rows, label = (FORGET.targets == FORGET.targets[0]).numpy(), int(FORGET.targets[0])
    x, held_x = (torch.cat([x for x, _ in part.sequential(500)]) for part in (FORGET, HELD_OUT))
    unseen, held_out = x[rows, 2].numpy(), held_x[HELD_OUT.targets == label, 2].numpy()
    expected = sorted(percentileofscore(held_out, value, kind="mean") / 100 for value in unseen)
    assert sorted(targets.levels[rows].tolist()) == pytest.approx(expected, abs=1e-6)
    own = measure_log_odds(original, FORGET).numpy()[rows]
    order = np.argsort(rankdata(own) + rankdata(unseen), kind="stable")
    assert targets.levels[rows].numpy()[order].tolist() == pytest.approx(expected, abs=1e-6)


def test_the_result_depends_only_on_the_seed(weights: dict[str, Tensor]) -> None:
    first, second = unlearn(weights, steps=30), unlearn(weights, steps=30)
    other = unlearn(weights, replace(RETAIN, seed=1), steps=30)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_whole_classes_are_refused_with_the_methods_that_forget_them(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    result = invoke("unlearn", original, "-m", manifest, "--method", "rank_match", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "forgets part of a class" in result.stderr
    assert "masked" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_a_range_of_labels_is_refused_without_the_network_with_the_methods_that_forget_it(
    tmp_path: Path, words: list[str]
) -> None:
    manifest = write_manifest(tmp_path, REGRESSION)
    unread = tmp_path / "original.safetensors"
    save_file({"weight": torch.zeros(1)}, unread)
    result = invoke("unlearn", unread, "-m", manifest, "--method", "rank_match", "-o", tmp_path / "out", *words)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "manifest.yaml: rank_match forgets records that others resemble" in result.stderr
    assert result.stderr.rstrip().endswith("forget a range: blindspot, finetune, gaussian_amnesiac, neggrad, retrain")
    assert not (tmp_path / "out").exists()
