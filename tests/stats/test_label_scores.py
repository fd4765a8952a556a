"""Scores of single labels against scikit-learn, and their influences against numerical derivatives."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from unlearn_cli.stats.label_scores import (
    EXACT,
    NO_LABEL,
    NO_POSITIVE,
    average_labels,
    list_label_scores,
    score_average_precision,
    score_f1,
)
from unlearn_cli.stats.outputs import Outputs


def draw(n: int = 60, seed: int = 0, decimals: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return marks and logits, some of which are equal."""
    random = np.random.default_rng(seed)
    marks = random.random(n) < 0.3
    return marks, np.round(random.normal(size=n) + marks, decimals)


def differentiate(score: object, marks: np.ndarray, values: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Return n times the derivative of a weighted score by the weight of each record."""
    influence = np.empty(len(marks))
    for row in range(len(marks)):
        weights = np.ones((2, len(marks)))
        weights[:, row] += (step, -step)
        above, below = (score(marks, values, sample_weight=of) for of in weights)  # type: ignore[operator]
        influence[row] = len(marks) * (above - below) / (2 * step)
    return influence


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_average_precision_and_its_influence(seed: int, decimals: int) -> None:
    marks, values = draw(seed=seed, decimals=decimals)
    value, influence = score_average_precision(marks, values)
    assert value == pytest.approx(average_precision_score(marks, values), abs=1e-12)
    np.testing.assert_allclose(influence, differentiate(average_precision_score, marks, values), atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_f1_and_its_influence(seed: int) -> None:
    marks, values = draw(seed=seed)
    value, influence = score_f1(marks, values > 0)
    assert value == pytest.approx(f1_score(marks, values > 0), abs=1e-12)
    np.testing.assert_allclose(influence, differentiate(f1_score, marks, values > 0), atol=1e-4)


def multilabel(seed: int = 0, n: int = 400, groups: np.ndarray | None = None) -> Outputs:
    random = np.random.default_rng(seed)
    marks = (random.random((n, 4)) < (0.4, 0.2, 0.1, 0.0)).astype(np.uint8)
    return Outputs(random.normal(size=(n, 4)) + marks, marks, "multilabel", groups)


@pytest.mark.parametrize("kind", ["f1", "average_precision"])
def test_labels_that_no_record_has_are_left_out_and_counted(kind: str) -> None:
    given = multilabel()
    found = average_labels(given, kind)
    if kind == "f1":
        expected = f1_score(given.labels[:, :3], given.values[:, :3] > 0, average="macro")
    else:
        expected = average_precision_score(given.labels[:, :3], given.values[:, :3], average="macro")
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.interval == "delta method, t; of 3 of 4 labels, the others have no record"


@pytest.mark.parametrize("kind", ["f1", "average_precision"])
def test_the_interval_contains_the_value_of_the_population_as_often_as_it_should(kind: str) -> None:
    population = average_labels(multilabel(seed=99, n=50_000), kind).value
    assert population is not None
    intervals = [average_labels(multilabel(seed, 300), kind) for seed in range(80)]
    contained = [(one.low or 0.0) <= population <= (one.high or 0.0) for one in intervals]
    assert np.mean(contained) > 0.88


def test_clusters_of_equal_records_widen_the_interval() -> None:
    one = multilabel(n=100)
    rows, single = np.repeat(np.arange(100), 4), average_labels(one, "average_precision")
    copied = Outputs(one.values[rows], one.labels[rows], "multilabel", rows)
    naive = Outputs(one.values[rows], one.labels[rows], "multilabel")
    widths = [(of.high or 0) - (of.low or 0) for of in (average_labels(copied, "f1"), average_labels(naive, "f1"))]
    assert widths[0] > 1.8 * widths[1]
    assert average_labels(copied, "average_precision").value == pytest.approx(single.value)


def test_every_label_has_its_scores_or_a_reason() -> None:
    scores = list_label_scores(multilabel(), ["a", "b", "c", "d"], "test", "subject")
    assert [score.label for score in scores] == ["a", "b", "c", "d"]
    assert [score.num_with_label for score in scores] == multilabel().labels.sum(axis=0).tolist()
    assert scores[3].f1.reason == scores[3].average_precision.reason == NO_POSITIVE
    assert scores[0].f1.value == pytest.approx(f1_score(multilabel().labels[:, 0], multilabel().values[:, 0] > 0))
    assert scores[0].f1.low is not None and scores[0].average_precision.low is not None


def test_without_a_label_or_an_error_there_is_a_reason() -> None:
    empty = Outputs(np.ones((5, 2)), np.zeros((5, 2), np.uint8), "multilabel")
    assert average_labels(empty, "f1").reason == NO_LABEL
    marks = np.array([[1], [0], [1]], dtype=np.uint8)
    perfect = average_labels(Outputs(4.0 * marks - 2, marks, "multilabel"), "average_precision")
    assert perfect.value == 1 and perfect.low is None and perfect.reason == EXACT
