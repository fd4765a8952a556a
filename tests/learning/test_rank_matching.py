import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from scipy.stats import percentileofscore, rankdata
from torch import Tensor

from unlearn_cli.learning.rank_matching import (
    FARTHEST,
    GAIN,
    LARGEST,
    MIN_PER_CLASS,
    SLACK,
    RankMatching,
    are_unlike,
    assign_levels,
    expect_unseen,
    find_levels,
    log_odds,
    mix_targets,
    other_classes,
    rank_within_classes,
)


def make_matching(labels: Tensor, held_out_labels: Tensor, first: Tensor) -> RankMatching:
    ranks = rank_within_classes(torch.randn(len(labels), generator=torch.Generator().manual_seed(0)), labels)
    return RankMatching(ranks, ranks, labels, held_out_labels, first)


def test_log_odds_are_the_logit_of_the_softmax() -> None:
    outputs, labels = torch.randn(40, 5, dtype=torch.float64), torch.arange(40) % 5
    probability = softmax(outputs.numpy(), axis=1)[np.arange(40), labels.numpy()]
    assert expit(log_odds(outputs, labels).numpy()) == pytest.approx(probability)


def test_ranks_are_the_mid_ranks_within_each_class() -> None:
    values, labels = torch.randn(60), torch.arange(60) % 3
    ranks = rank_within_classes(values, labels)
    for label in range(3):
        rows = (labels == label).numpy()
        expected = (rankdata(values.numpy()[rows], method="ordinal") - 0.5) / rows.sum()
        assert ranks.numpy()[rows] == pytest.approx(expected, abs=1e-6)


def test_levels_are_shares_of_the_retained_records_of_the_class() -> None:
    values, labels = torch.randn(40), torch.arange(40) % 2
    others, other_labels = torch.randn(200), torch.arange(200) % 2
    levels = find_levels(values, labels, others, other_labels)
    for row in range(40):
        same = others[other_labels == labels[row]].numpy()
        assert float(levels[row]) == pytest.approx(percentileofscore(same, float(values[row]), kind="mean") / 100)


def test_levels_are_assigned_in_another_order_within_each_class() -> None:
    levels, labels = torch.tensor([0.1, 0.9, 0.5, 0.2, 0.7]), torch.tensor([0, 0, 0, 1, 1])
    order = torch.tensor([3.0, 1.0, 2.0, 8.0, 7.0])
    assert assign_levels(levels, order, labels).tolist() == pytest.approx([0.9, 0.1, 0.5, 0.7, 0.2])


def test_an_easier_group_keeps_its_lead_over_the_other_records() -> None:
    labels, held_out = torch.zeros(100).long(), torch.linspace(-3, 3, 300)
    retained = torch.linspace(0, 10, 500)
    easy = find_levels(torch.linspace(8, 10, 100), labels, retained, torch.zeros(500).long())
    matching = RankMatching(easy, easy, labels, torch.zeros(300).long(), held_out)
    assert float(matching.targets.min()) > np.quantile(held_out.numpy(), 0.75)


def test_the_target_gives_the_label_its_confidence_and_keeps_the_ratios_of_the_others() -> None:
    outputs, labels = torch.randn(30, 4, dtype=torch.float64), torch.arange(30) % 4
    wanted = torch.linspace(-3, 3, 30, dtype=torch.float64)
    targets = mix_targets(other_classes(outputs, labels), labels, wanted).numpy()
    original = softmax(outputs.numpy(), axis=1)
    assert targets.sum(axis=1) == pytest.approx(1.0)
    for row, label in enumerate(labels.tolist()):
        assert targets[row, label] == pytest.approx(expit(float(wanted[row])))
        others = [number for number in range(4) if number != label]
        expected = original[row, others] / original[row, others].sum()
        assert targets[row, others] / targets[row, others].sum() == pytest.approx(expected)


def test_with_two_classes_the_other_one_gets_the_rest() -> None:
    targets = mix_targets(
        other_classes(torch.randn(5, 2), torch.zeros(5).long()), torch.zeros(5).long(), torch.zeros(5)
    )
    assert targets.tolist() == [[0.5, 0.5]] * 5


def test_the_first_targets_are_the_held_out_quantiles_of_the_class() -> None:
    labels, held_out_labels = torch.arange(200) % 2, torch.arange(100) % 2
    first = torch.where(held_out_labels == 0, torch.linspace(-5, 0, 100), torch.linspace(5, 10, 100))
    matching = make_matching(labels, held_out_labels, first)
    for label in (0, 1):
        rows = labels == label
        expected = np.quantile(first[held_out_labels == label].numpy(), matching.ranks[rows].numpy())
        assert matching.targets[rows].numpy() == pytest.approx(expected, abs=1e-4)


def test_a_class_with_few_held_out_records_uses_those_of_all_classes() -> None:
    held_out_labels = torch.tensor([0] * 100 + [1] * (MIN_PER_CLASS - 1))
    first = torch.linspace(-2, 2, len(held_out_labels))
    matching = make_matching(torch.ones(50).long(), held_out_labels, first)
    expected = np.quantile(first.numpy(), matching.ranks.numpy())
    assert matching.targets.numpy() == pytest.approx(expected, abs=1e-4)


def test_held_out_records_count_as_at_most_slightly_harder_than_in_the_original() -> None:
    labels = torch.zeros(40).long()
    first = torch.linspace(0, 4, 40)
    matching = make_matching(labels, labels, first)
    assert torch.allclose(matching.match(first - 10), matching.match(first) - SLACK, atol=1e-5)
    assert torch.allclose(matching.match(first + 10), matching.match(first) + 10, atol=1e-5)


def draw_held_out(harder: float) -> tuple[Tensor, Tensor, Tensor]:
    """Log-odds in the original and in a less trained network that never saw half of class 2, and labels (900,)."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(900) % 3
    first = 2 + 3 * torch.randn(900, generator=generator)
    unseen = 0.5 * (first + torch.randn(900, generator=generator))
    unseen[(labels == 2) & (torch.arange(900) % 2 == 0)] -= harder
    return first, unseen, labels


HARDER = torch.linspace(0, 0.8, 100)  # levels of forgotten records that are harder than held-out ones


def expect(first: Tensor, unseen: Tensor, labels: Tensor, levels: Tensor = HARDER) -> Tensor:
    """As after forgetting records of all classes with these levels."""
    return expect_unseen(first, unseen, labels, levels.repeat(3), torch.arange(3).repeat_interleave(len(levels)))


def test_a_class_that_a_network_without_the_records_finds_harder_is_expected_to_become_so() -> None:
    first, unseen, labels = draw_held_out(harder=3.0)
    expected = expect(first, unseen, labels).numpy()
    rows = (labels == 2).numpy()
    assert expected[~rows].tolist() == first.numpy()[~rows].tolist()
    others, of_original = unseen.numpy()[~rows], first.numpy()[~rows]
    shares = [percentileofscore(others, value, kind="mean") / 100 for value in unseen.numpy()[rows]]
    assert expected[rows] == pytest.approx(np.quantile(of_original, shares), abs=1e-4)
    harder = (torch.arange(900) % 2 == 0).numpy()[rows]
    assert (expected[rows] - first.numpy()[rows])[harder].mean() == pytest.approx(
        -6.0, abs=1.0
    )  # 3 in the other's unit
    assert (expected[rows] - first.numpy()[rows])[~harder].mean() == pytest.approx(0.0, abs=0.5)


@pytest.mark.parametrize("harder", [0.0, 0.1])
def test_a_network_that_is_trained_less_makes_no_class_harder(harder: float) -> None:
    first, unseen, labels = draw_held_out(harder)
    assert torch.equal(expect(first, unseen, labels), first)


def test_forgotten_records_like_the_held_out_ones_make_no_class_harder() -> None:
    first, unseen, labels = draw_held_out(harder=3.0)
    assert torch.equal(expect(first, unseen, labels, torch.linspace(0, 1, 100)), first)
    assert torch.equal(
        expect_unseen(first, unseen, labels, HARDER, torch.zeros(100).long())[labels == 2], first[labels == 2]
    )


@pytest.mark.parametrize(("levels", "differ"), [((0, 1), False), ((0, 0.8), True), ((0.2, 1), True)])
def test_records_are_unlike_held_out_ones_if_their_levels_are_lower_or_higher(
    levels: tuple[float, float], differ: bool
) -> None:
    assert are_unlike(torch.linspace(*levels, 200)) is differ
    assert not are_unlike(torch.linspace(*levels, 5))


def test_of_few_held_out_records_nothing_is_expected() -> None:
    first, unseen, labels = (part[: 3 * (MIN_PER_CLASS - 1)] for part in draw_held_out(harder=5.0))
    assert torch.equal(expect(first, unseen, labels), first)


def test_held_out_records_count_as_no_harder_than_expected() -> None:
    labels, first = torch.zeros(40).long(), torch.linspace(0, 4, 40)
    matching = make_matching(labels, labels, first)
    matching.expected = first - 3
    assert torch.allclose(matching.match(first - 10), matching.match(first) - 3, atol=1e-5)
    assert torch.allclose(matching.match(first - 2), matching.match(first) - 2, atol=1e-5)
    matching.expected = first + 5
    assert torch.allclose(matching.match(first - 10), matching.match(first) - SLACK, atol=1e-5)


def test_the_correction_adds_up_until_the_forgotten_records_reach_the_held_out_ones() -> None:
    """A network that answers with a fixed part of the change of its targets ends at the held-out distribution."""
    labels = torch.zeros(500).long()
    held_out = torch.linspace(-4, 4, 200)
    matching = make_matching(labels, torch.zeros(200).long(), held_out)
    positions, expected = torch.arange(500), matching.match(held_out)
    own = matching.ranks * 4 + 10  # memorised
    for _ in range(60):
        own = own + 0.2 * (matching.targets - own) + 0.2  # drawn back to what the network has memorised
        matching.update(held_out, own, positions)
    assert float((own - expected).abs().mean()) < 0.25
    without = matching.ranks * 4 + 10
    for _ in range(60):
        without = without + 0.2 * (expected - without) + 0.2
    assert float((without - expected).mean()) == pytest.approx(1.0, abs=0.05)


def test_one_update_moves_the_targets_by_the_gain_times_the_gap_of_the_quantiles() -> None:
    labels = torch.zeros(400).long()
    held_out = torch.linspace(-1, 1, 400)
    matching = make_matching(labels, labels, held_out)
    before = matching.targets.clone()
    matching.update(held_out, matching.match(held_out) + 2.0, torch.arange(400))
    assert torch.allclose(matching.targets, before - 2.0 * GAIN, atol=0.02)


def test_the_correction_stays_within_its_bound_if_the_network_does_not_follow() -> None:
    labels, held_out = torch.zeros(400).long(), torch.linspace(-1, 1, 400)
    matching = make_matching(labels, labels, held_out)
    for _ in range(50):
        matching.update(held_out, torch.full((400,), 5.0), torch.arange(400))
    assert matching.correction.tolist() == pytest.approx([-LARGEST] * len(matching.correction))


def test_confidences_that_are_both_nearly_one_need_no_correction() -> None:
    labels, held_out = torch.zeros(400).long(), torch.linspace(FARTHEST, 4 * FARTHEST, 400)
    matching = make_matching(labels, labels, held_out)
    matching.update(held_out, held_out.flip(0) + FARTHEST, torch.arange(400))
    assert matching.correction.tolist() == [0.0] * len(matching.correction)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_few_records_go_a_share_of_the_way_to_lower_held_out_quantiles(share: float) -> None:
    labels, held_out, levels = torch.zeros(30).long(), torch.linspace(-4, 4, 200), torch.linspace(0, 1, 30)
    own, others = torch.full((30,), 1.5), torch.zeros(200).long()
    matching = RankMatching(levels, levels, labels, others, held_out, own, share)
    expected = 1.5 - share * np.maximum(0, 1.5 - np.quantile(held_out.numpy(), levels.numpy()))
    assert matching.targets.numpy() == pytest.approx(expected, abs=1e-5)
