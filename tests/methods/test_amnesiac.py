import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from tests.methods.observing import watch_targets
from tests.methods.test_bad_teacher import copied
from tests.methods.test_unsir import accuracy, blobs, network
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import fit
from unlearn_cli.methods.amnesiac import amnesiac, draw_frequent_labels, draw_wrong_labels
from unlearn_cli.runtime.seeds import Random

RECIPE = Recipe(lr=1e-2, is_known=True)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(fit(network(), blobs([0, 1, 2, 3]), nn.functional.cross_entropy, epochs=10, lr=1e-2).state_dict())


def test_wrong_labels_are_never_the_true_one_and_uniform_over_the_others() -> None:
    labels = torch.arange(5).repeat(4000)
    drawn = draw_wrong_labels(labels, 5, Random(0, "t"))
    assert not (drawn == labels).any()
    for label in range(5):
        counts = drawn[labels == label].bincount(minlength=5)
        others = [int(count) for number, count in enumerate(counts) if number != label]
        assert sum(others) == 4000
        assert stats.chisquare(others).pvalue > 0.001


def test_wrong_labels_are_the_same_with_the_same_seed_and_others_with_another() -> None:
    labels = torch.arange(3).repeat(50)
    first, second, other = (draw_wrong_labels(labels, 3, Random(seed, "t")) for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_with_two_classes_each_label_is_turned_round() -> None:
    assert draw_wrong_labels(torch.tensor([0, 1, 1]), 2, Random(0, "t")).tolist() == [1, 0, 0]


def test_each_record_keeps_the_wrong_label_that_was_drawn_once_and_retain_keeps_its_own(
    weights: dict[str, Tensor],
) -> None:
    model = copied(weights)
    steps = watch_targets(model)
    forget, retain = blobs([0], n=60), blobs([1, 2], n=60)
    amnesiac(model, forget, retain, 4, Random(0, "t"), RECIPE, impair_steps=20, repair_steps=5)
    assert len(steps) == 25
    labels_of: dict[tuple[float, ...], set[int]] = {}
    for step in steps:
        for x, label in zip(step.x, step.labels, strict=True):
            labels_of.setdefault(tuple(x.tolist()), set()).add(int(label))
    assert all(len(labels) == 1 for labels in labels_of.values())
    assert all(labels_of[tuple(x.tolist())] != {0} for batch, _ in forget.sequential(60) for x in batch)
    for batch, labels in retain.sequential(60):
        for x, y in zip(batch, labels, strict=True):
            assert labels_of[tuple(x.tolist())] == {int(y)}


@pytest.mark.parametrize("classes", [[0], [1, 2]])
def test_a_class_is_forgotten_and_the_others_are_kept(weights: dict[str, Tensor], classes: list[int]) -> None:
    rest = [number for number in range(4) if number not in classes]
    model = amnesiac(copied(weights), blobs(classes), blobs(rest), 4, Random(0, "t"), RECIPE)
    assert accuracy(model, classes) <= 0.02
    assert accuracy(model, rest) >= 0.95


def test_single_records_are_recognised_as_far_as_the_others_tell(weights: dict[str, Tensor]) -> None:
    """A network that never saw them gets nearly all of them right."""
    everything, rows = blobs([0, 1, 2, 3]), torch.arange(800)
    forget, retain = everything.take(rows[::40].numpy()), everything.take(rows[rows % 40 > 0].numpy())
    model = amnesiac(copied(weights), forget, retain, 4, Random(0, "t"), RECIPE).eval()
    hits = [model(x).argmax(dim=1) == y for x, y in forget.sequential(100)]
    assert float(torch.cat(hits).float().mean()) >= 0.9


def test_with_two_classes_the_labels_of_records_have_the_frequencies_of_retain() -> None:
    labels = torch.tensor([0] * 30 + [1] * 70)
    drawn = draw_frequent_labels(labels, 20000, Random(0, "t"))
    assert float(drawn.float().mean()) == pytest.approx(0.7, abs=0.015)
    model = nn.Linear(2, 2)
    steps = watch_targets(model)
    forget, retain = blobs([0, 1], n=30), blobs([0, 1], n=40)
    amnesiac(model, forget, retain, 2, Random(0, "t"), RECIPE, impair_steps=20, repair_steps=0, forget_share=None)
    batches = list(forget.sequential(60))
    own = {tuple(x.tolist()): int(y) for xs, ys in batches for x, y in zip(xs, ys, strict=True)}
    drawn_labels = [(tuple(x.tolist()), int(y)) for step in steps for x, y in zip(step.x, step.labels, strict=True)]
    right_labels = [own[x] == label for x, label in drawn_labels if x in own]
    assert 0.2 < sum(right_labels) / len(right_labels) < 0.8


def test_a_lost_class_of_two_gets_the_label_of_the_other() -> None:
    model = nn.Linear(2, 2)
    steps = watch_targets(model)
    amnesiac(model, blobs([0]), blobs([1]), 2, Random(0, "t"), RECIPE, impair_steps=5, repair_steps=0)
    assert all(int(label) == 1 for step in steps for label in step.labels)
