import importlib
import math
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics as sk

from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.schema.literals import Task
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

TASKS: tuple[Task, ...] = ("classification", "regression", "multilabel")
OF_LABELS = ("subset_accuracy", "hamming_accuracy", "micro_f1", "macro_f1", "mean_average_precision")

# Those that read the outputs of one network alone; calibration_error has tests of its own.
PLAIN = {
    task: [
        name
        for name in discovery.list_default_metrics(task)
        if name in ("accuracy", "loss", "mae", "rmse", "r2", *OF_LABELS)
    ]
    for task in TASKS
}


def metric(name: str) -> Callable[[Outputs], Estimate]:
    return getattr(importlib.import_module(f"unlearn_cli.metrics.{name}"), name)


def outputs(task: Task, n: int = 200, seed: int = 0) -> Outputs:
    random = np.random.default_rng(seed)
    if task == "classification":
        return Outputs(random.normal(size=(n, 4)), random.integers(0, 4, n), task)
    if task == "multilabel":
        marks = (random.random((n, 4)) < (0.5, 0.3, 0.1, 0.8)).astype(np.uint8)
        return Outputs(np.round(random.normal(size=(n, 4)) + marks, 1), marks, task)  # rounded: some logits are equal
    labels = random.normal(size=n)
    return Outputs(labels + random.normal(0, 0.5, n), labels, task)


def expected_of_labels(name: str, given: Outputs) -> float:
    predicted = given.values > 0
    if name == "loss":
        return float(
            np.mean([sk.log_loss(y, 1 / (1 + np.exp(-z))) for y, z in zip(given.labels.T, given.values.T, strict=True)])
        )
    functions: dict[str, Callable[[], float]] = {
        "subset_accuracy": lambda: sk.accuracy_score(given.labels, predicted),
        "hamming_accuracy": lambda: 1 - sk.hamming_loss(given.labels, predicted),
        "micro_f1": lambda: sk.f1_score(given.labels, predicted, average="micro"),
        "macro_f1": lambda: sk.f1_score(given.labels, predicted, average="macro"),
        "mean_average_precision": lambda: sk.average_precision_score(given.labels, given.values, average="macro"),
    }
    return float(functions[name]())


def expected(name: str, given: Outputs) -> float:
    """Return scikit-learn's number."""
    if name == "accuracy":
        return float(sk.accuracy_score(given.labels, given.values.argmax(1)))
    if given.task == "classification":
        odds = np.exp(given.values)
        return float(sk.log_loss(given.labels, odds / odds.sum(1, keepdims=True), labels=range(4)))
    if given.task == "multilabel":
        return expected_of_labels(name, given)
    functions = {"mae": sk.mean_absolute_error, "rmse": sk.root_mean_squared_error, "r2": sk.r2_score}
    return float(functions.get(name, sk.mean_squared_error)(given.labels, given.values))


@pytest.mark.parametrize("task, name", [(task, name) for task in TASKS for name in PLAIN[task]])
def test_a_metric_equals_scikit_learns_and_lies_in_its_interval(task: Task, name: str) -> None:
    given = outputs(task)
    found = metric(name)(given)
    assert found.value == pytest.approx(expected(name, given), abs=1e-12) and found.n == 200
    assert found.value is not None and found.low is not None and found.high is not None and found.interval
    assert found.low < found.value < found.high


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", sorted({name for names in PLAIN.values() for name in names}))
def test_a_metric_names_the_task_that_it_is_defined_for(task: Task, name: str) -> None:
    assert (name in discovery.list_metrics_of(task)) == (name in PLAIN[task])
    assert (task in plugin.load("metrics", name).tasks) == (name in PLAIN[task])


@pytest.mark.parametrize("task, name", [(task, name) for task in TASKS for name in PLAIN[task]])
@pytest.mark.parametrize("n", [0, 1])
def test_a_metric_of_no_record_or_of_one_never_crashes(task: Task, name: str, n: int) -> None:
    found = metric(name)(outputs(task, n))
    assert found.n == n
    assert (found.value is None) == (n == 0 or name == "r2") == (found.reason is not None)


@pytest.mark.parametrize("task, name", [(task, name) for task in TASKS for name in PLAIN[task]])
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300])
def test_a_diverged_model_gives_null_with_a_reason(task: Task, name: str, bad: float) -> None:
    given = outputs(task)
    given.values[3] = bad
    found = metric(name)(given)
    if math.isfinite(bad) and (task == "classification" or name in OF_LABELS):
        assert found.value is not None
    else:
        assert found.value is None and found.reason is not None and "not finite" in found.reason


def test_saturated_logits_have_a_finite_loss() -> None:
    found = metric("loss")(Outputs(np.array([[1e4, 0.0], [0.0, 1e4]]), np.array([0, 0]), "classification"))
    assert found.value == 5000


def test_r2_is_0_for_the_mean_1_for_perfection_and_negative_for_worse() -> None:
    labels = np.array([1.0, 2.0, 3.0, 6.0])
    r2 = metric("r2")
    assert r2(Outputs(np.full(4, 3.0), labels, "regression")).value == pytest.approx(0)
    assert r2(Outputs(labels, labels, "regression")).value == 1
    worse = r2(Outputs(-labels, labels, "regression")).value
    assert worse is not None and worse < 0


def test_r2_of_constant_labels_is_null_where_scikit_learn_invents_a_number() -> None:
    found = metric("r2")(Outputs(np.array([1.0, 2.0]), np.full(2, 0.1), "regression"))
    assert found.value is None and found.reason is not None and "constant" in found.reason


def test_perfect_predictions_have_no_error() -> None:
    labels = np.array([1.0, 2.0, 3.0])
    for name in ("mae", "rmse", "loss"):
        found = metric(name)(Outputs(labels, labels, "regression"))
        assert (found.value, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("name, truth", [("rmse", 0.5), ("r2", 0.75), ("mae", 0.5 * math.sqrt(2 / math.pi))])
def test_the_interval_of_an_error_covers_the_truth_at_its_level(name: str, truth: float) -> None:
    found = []
    for seed in range(400):
        found.append(metric(name)(outputs("regression", 300, seed)))
    covered = np.mean([one.low <= truth <= one.high for one in found if one.low is not None and one.high is not None])
    assert 0.92 <= covered <= 0.98
