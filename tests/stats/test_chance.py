"""A network must know more than how frequent each label is; one that does is not refused for naming one class."""

import numpy as np
import pytest

from unlearn_cli.stats.chance import describe_ignorance, is_better_balanced, is_better_than_chance
from unlearn_cli.stats.outputs import Outputs

N = 600
RARE = (np.arange(N) % 20 == 0).astype(np.int64)  # 5 % in class 1


def classified(logits: np.ndarray, labels: np.ndarray) -> Outputs:
    return Outputs(logits, labels, "classification")


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_a_network_that_always_names_the_most_frequent_class_is_refused() -> None:
    logits = noise((N, 2))
    logits[:, 0] += 50
    assert "the most frequent class has a share of 95.0%" in (describe_ignorance(classified(logits, RARE)) or "")


def test_naming_one_class_always_is_refused_whatever_the_rounding() -> None:
    for seed in range(60):
        random = np.random.default_rng(seed)
        num_classes, n = int(random.integers(2, 6)), int(random.integers(50, 1000))
        labels = np.where(random.random(n) < 0.85, 0, random.integers(0, num_classes, n))
        outputs = classified(0.3 * noise((n, num_classes), seed) + 6 * np.eye(num_classes)[0], labels)
        assert not is_better_balanced(outputs)
        assert "is no better than chance" in (describe_ignorance(outputs) or ""), seed


@pytest.mark.parametrize("num_classes", [2, 5])
def test_outputs_that_do_not_differ_are_refused(num_classes: int) -> None:
    labels = np.arange(N) % num_classes
    constant = np.tile(np.arange(num_classes, dtype=float), (N, 1))
    for logits in (constant, constant + noise((N, 1))):  # what all logits share changes no probability
        assert "outputs are equal for all 600 records" in (describe_ignorance(classified(logits, labels)) or "")


def test_a_sound_network_that_names_one_class_always_is_better_by_its_log_loss() -> None:
    weak = np.stack([np.full(N, 4.0), 1.5 * RARE + 0.2 * noise((N,))], axis=1)
    assert (weak.argmax(axis=1) == 0).all()
    assert describe_ignorance(classified(weak, RARE)) is None


def test_a_network_trained_with_class_weights_is_better_by_its_balanced_accuracy() -> None:
    """It names the rare class too often: its accuracy and its log-loss are worse than those of the frequencies."""
    logits = np.stack([np.zeros(N), 2.0 * (2 * RARE - 1) + 2 * noise((N,), 1)], axis=1)
    outputs = classified(4 * logits, RARE)
    assert 0.7 < (outputs.values.argmax(axis=1) == RARE).mean() < 0.95
    assert describe_ignorance(outputs) is None


@pytest.mark.parametrize("num_classes", [2, 10])
def test_noise_and_a_wrong_order_of_classes_are_no_better(num_classes: int) -> None:
    labels = np.arange(N) % num_classes
    right = 5 * np.eye(num_classes)[labels] + noise((N, num_classes))
    assert is_better_than_chance(classified(right, labels))
    for logits in (noise((N, num_classes)), np.roll(right, 1, axis=1)):
        assert "no better than chance" in (describe_ignorance(classified(logits, labels)) or "")


def test_noise_is_refused_however_rare_a_class_is() -> None:
    found = [describe_ignorance(classified(noise((N, 2), seed), RARE)) for seed in range(50)]
    assert all(found)


def test_records_of_one_label_cannot_show_that_outputs_should_differ() -> None:
    labels = np.zeros(N, dtype=np.int64)
    assert describe_ignorance(classified(np.tile([1.0, 0.0], (N, 1)), labels)) is None
    assert describe_ignorance(classified(np.tile([0.0, 1.0], (N, 1)), labels))


def test_a_regression_must_be_nearer_than_the_mean_and_not_constant() -> None:
    labels = 100 + 20 * noise((N,))
    assert describe_ignorance(Outputs(labels + noise((N,), 1), labels, "regression")) is None
    assert describe_ignorance(Outputs(np.full(N, labels.mean()), labels, "regression"))
    assert describe_ignorance(Outputs(labels / 20, labels, "regression"))
    assert describe_ignorance(Outputs(np.full(N, 7.0), np.full(N, 7.0), "regression")) is None  # nothing to tell apart


def marks(n: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, 3)) < (0.5, 0.1, 0.02)).astype(np.uint8)


def test_a_multilabel_network_must_know_more_than_the_frequencies() -> None:
    labels = marks(N)
    ignorant = Outputs(np.log([1.0, 0.1, 0.02]) + 0.01 * noise((N, 3)), labels, "multilabel")
    assert "is no better than chance on 600 records" in (describe_ignorance(ignorant) or "")
    constant = Outputs(np.zeros((N, 3)), labels, "multilabel")
    assert "its outputs are equal for all 600 records" in (describe_ignorance(constant) or "")
    assert describe_ignorance(Outputs(2.0 * labels - 1 + 0.5 * noise((N, 3)), labels, "multilabel")) is None


def test_a_multilabel_network_that_knows_one_rare_label_or_has_another_threshold_is_better_than_chance() -> None:
    labels = marks(N)
    values = noise((N, 3))
    values[:, 2] += 3.0 * labels[:, 2]
    assert describe_ignorance(Outputs(values, labels, "multilabel")) is None
    shifted = 2.0 * labels + 20 + noise((N, 3))
    assert describe_ignorance(Outputs(shifted, labels, "multilabel")) is None


@pytest.mark.parametrize("labels", [np.zeros((N, 3), np.uint8), marks(5)])
def test_multilabel_records_that_cannot_decide_are_not_refused(labels: np.ndarray) -> None:
    assert describe_ignorance(Outputs(noise(labels.shape), labels, "multilabel")) is None


def test_ignorant_multilabel_networks_are_rarely_accepted() -> None:
    accepted = [
        describe_ignorance(Outputs(noise((200, 3), s), marks(200, s + 1), "multilabel")) is None for s in range(99)
    ]
    assert sum(accepted) <= 3
