"""What holds for every metric in the folder, on small made-up inputs."""

import math
from typing import Any

import pytest

from tests.plugin_inputs import make_inputs, permute
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.requirements import REQUIREMENTS
from unlearn_cli.schema.literals import Task
from unlearn_cli.stats.results import Estimate

ENTRIES = discovery.entries("metrics")
TASKS: tuple[Task, ...] = ("classification", "regression", "multilabel")
OF_TASKS = [(name, task) for name, entry in ENTRIES.items() for task in TASKS if task in entry.tasks]
TRAINED = {"relearn_time", "anamnesis_index"}  # they train networks; the made-up ones are classifiers
CASES = [(name, task) for name, task in OF_TASKS if name not in TRAINED or task == "classification"]
OF_SPLITS = [(name, task) for name, task in CASES if not ENTRIES[name].is_of_model]
SHORT = {name: ["max_steps=30", "repeats=2", "lr=0.01"] for name in TRAINED}


def compute(name: str, inputs: dict[str, Any]) -> Estimate:
    metric = plugin.load("metrics", name)
    return metric.call(inputs, plugin.complete_settings(metric, None, SHORT.get(name, [])))


def check(estimate: Estimate) -> None:
    """A number is finite and lies in its interval, or there is a reason."""
    if estimate.value is None:
        assert estimate.reason
        return
    assert math.isfinite(estimate.value)
    assert estimate.n > 0
    assert (estimate.interval is None) == (estimate.low is None) == (estimate.high is None)
    if estimate.low is not None and estimate.high is not None:
        assert estimate.low <= estimate.value <= estimate.high


def same(first: Estimate, second: Estimate) -> bool:
    """Equal but for rounding."""
    fields = first.model_dump(), second.model_dump()
    return fields[0] == {
        name: pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value
        for name, value in fields[1].items()
    }


def test_the_made_up_inputs_are_those_that_metrics_may_ask_for() -> None:
    names = {name for name, requirement in REQUIREMENTS.items() if "metrics" in requirement.kinds}
    assert names <= make_inputs().keys()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_it_returns_a_finite_number_or_a_reason_the_same_each_time(name: str, task: Task) -> None:
    first, second = (compute(name, make_inputs(task)) for _ in range(2))
    assert isinstance(first, Estimate)
    check(first)
    assert first.value is not None
    assert first == second


@pytest.mark.parametrize(("name", "task"), OF_SPLITS)
def test_n_is_the_number_of_records_and_there_is_an_interval(name: str, task: Task) -> None:
    estimate = compute(name, make_inputs(task))
    assert estimate.n == 90
    assert estimate.low is not None or estimate.reason


@pytest.mark.parametrize(("name", "task"), OF_SPLITS)
@pytest.mark.parametrize("num_groups", [2, 15])
def test_of_few_clusters_there_is_a_reason_instead_of_an_interval(name: str, task: Task, num_groups: int) -> None:
    estimate = compute(name, make_inputs(task, num_groups=num_groups))
    check(estimate)
    assert estimate.clusters == num_groups
    assert (estimate.low is None) == (num_groups == 2) == (estimate.reason is not None)


@pytest.mark.parametrize(("name", "task"), OF_SPLITS)
@pytest.mark.parametrize("n", [0, 1])
def test_of_no_record_there_is_no_number_and_of_one_no_wrong_interval(name: str, task: Task, n: int) -> None:
    estimate = compute(name, make_inputs(task, n))
    check(estimate)
    assert (n > 0 and name != "r2") == (estimate.value is not None)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_order_of_the_records_does_not_matter(name: str, task: Task) -> None:
    inputs = make_inputs(task)
    shuffled = {key: permute(value) for key, value in inputs.items()}
    assert same(compute(name, inputs), compute(name, shuffled))


@pytest.mark.parametrize(("name", "task"), [case for case in OF_SPLITS if ENTRIES[case[0]].is_distance])
def test_a_distance_of_a_network_from_itself_is_0(name: str, task: Task) -> None:
    inputs = make_inputs(task)
    estimate = compute(name, {**inputs, "reference_outputs": inputs["outputs"]})
    assert estimate.value == pytest.approx(0, abs=1e-12) and estimate.low == pytest.approx(0, abs=1e-12)
