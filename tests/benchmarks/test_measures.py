"""The measures of the benchmark of methods, each compared with its formula written as loops."""

import math

import numpy as np
import pytest

from benchmarks.methods import measures

RANDOM = np.random.default_rng(0)
LOGITS, LABELS = RANDOM.normal(size=(20, 4)), RANDOM.integers(0, 4, 20)


def test_accuracy_and_error() -> None:
    right = sum(max(range(4), key=row.__getitem__) == label for row, label in zip(LOGITS.tolist(), LABELS, strict=True))
    assert measures.accuracy(LOGITS, LABELS) == pytest.approx(100 * right / 20)
    assert measures.mean_error(np.array([1.0, 5.0]), np.array([2.0, 3.0])) == 1.5


def test_tug_of_war() -> None:
    references = [{"forget": 80.0, "test": 70.0}, {"forget": 90.0, "test": 80.0}]
    assert measures.tug_of_war({"forget": 95.0, "test": 75.0}, references) == pytest.approx(0.9)
    assert measures.tug_of_war({"forget": 75.0, "test": 65.0}, references) == pytest.approx(0.9 * 0.9)


def test_margins_are_log_odds() -> None:
    for phi, row, label in zip(measures.margins(LOGITS, LABELS), LOGITS.tolist(), LABELS, strict=True):
        p = math.exp(row[label]) / sum(map(math.exp, row))
        assert phi == pytest.approx(math.log(p / (1 - p)))


def test_z_scores() -> None:
    references, subject = RANDOM.normal(size=(3, 6)), RANDOM.normal(size=6)
    variances = [np.var(references[:, i], ddof=1) for i in range(6)]
    for i, z in enumerate(measures.z_scores(subject, list(references))):
        variance = 0.5 * variances[i] + 0.5 * sum(variances) / 6
        assert z == pytest.approx((subject[i] - references[:, i].mean()) / math.sqrt(variance * (1 + 1 / 3)))


def test_z_scores_of_another_reference_have_unit_variance() -> None:
    references = RANDOM.normal(size=(9, 4000))
    assert np.std(measures.z_scores(references[0], list(references[1:]))) == pytest.approx(1, abs=0.05)


def test_auc_counts_ties_half() -> None:
    a, b = RANDOM.integers(0, 5, 12).astype(float), RANDOM.integers(0, 5, 15).astype(float)
    pairs = [1.0 if x > y else 0.5 if x == y else 0.0 for x in a for y in b]
    assert measures.auc(a, b) == pytest.approx(sum(pairs) / len(pairs))


def test_total_variation() -> None:
    p, q = (measures.distribute(RANDOM.normal(size=(5, 3))) for _ in range(2))
    expected = [0.5 * sum(abs(x - y) for x, y in zip(*rows, strict=True)) for rows in zip(p, q, strict=True)]
    assert measures.total_variation(p, q) == pytest.approx(sum(expected) / 5)
    assert measures.total_variation(np.eye(3), np.roll(np.eye(3), 1, axis=1)) == 1


def test_distribution_over_the_other_classes() -> None:
    shares = np.exp(LOGITS[:, [0, 3]])
    np.testing.assert_allclose(measures.distribute(LOGITS, [1, 2]), shares / shares.sum(axis=1, keepdims=True))


def test_distance_to_the_mean_of_the_references() -> None:
    p, q, r = (measures.distribute(RANDOM.normal(size=(5, 3))) for _ in range(3))
    assert measures.distance_to_mean(p, [q, r]) == pytest.approx(np.abs(p - (q + r) / 2).sum(axis=1).mean() / 2)


def test_mean_distance_of_equally_many_predictions_is_that_of_sorted_ones() -> None:
    subject, references = RANDOM.normal(size=9), RANDOM.normal(size=(2, 9))
    expected = np.mean([np.abs(np.sort(subject) - np.sort(other)).mean() for other in references])
    assert measures.mean_distance(subject, list(references)) == pytest.approx(expected)
