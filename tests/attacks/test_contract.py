"""What holds for every attack in the folder, on small made-up inputs."""

import math
from typing import Any, get_type_hints

import numpy as np
import pytest

from tests.plugin_inputs import make_inputs, permute
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.requirements import REQUIREMENTS
from unlearn_cli.schema.literals import Task
from unlearn_cli.stats.attack_results import summarize_scores
from unlearn_cli.stats.findings import Findings, Scores
from unlearn_cli.stats.results import AttackResult

pytestmark = pytest.mark.usefixtures("short_attacks")

ENTRIES = discovery.entries("attacks")
TASKS: tuple[Task, ...] = ("classification", "regression", "multilabel")
OF_TASKS = [(name, task) for name, entry in ENTRIES.items() for task in TASKS if task in entry.tasks]
CASES = [(name, task) for name, task in OF_TASKS if name != "relearn" or task == "classification"]  # networks classify
# They divide the hold-out or test by position, with the seed: their result depends on the order of the records.
DIVIDED_BY_POSITION = {"rmia", "quantile", "class_geometry"}
SHORT = {
    "relearn": ["max_steps=6", "repeats=2", "lr=0.01"],
    "inversion": ["steps=20"],
    "label_inference": ["steps=5", "probes=3"],
}


def run(name: str, inputs: dict[str, Any]) -> Findings:
    attack = plugin.load("attacks", name)
    result = attack.call(inputs, plugin.complete_settings(attack, None, SHORT.get(name, [])))
    assert isinstance(result, get_type_hints(attack.function())["return"])
    return Findings({}, scores=result) if isinstance(result, Scores) else result


def summarize(findings: Findings) -> AttackResult | None:
    if findings.scores is None or not min(len(findings.scores.members), len(findings.scores.non_members)):
        return None
    return summarize_scores(findings.scores, name="any", tier="quick", settings={}, seed=0)


def check(findings: Findings) -> None:
    """Every number is finite, with its n, or there is a reason; every score is finite."""
    assert findings.quantities or findings.scores
    for name, estimate in findings.quantities.items():
        if estimate.value is None:
            assert estimate.reason, name
            continue
        assert math.isfinite(estimate.value) and estimate.n > 0, name
        assert (estimate.interval is None) == (estimate.low is None and estimate.high is None), name
        if estimate.low is not None and estimate.high is not None:
            assert estimate.low <= estimate.high, name
    if findings.scores is not None:
        assert all(np.isfinite(part).all() for part in (findings.scores.members, findings.scores.non_members))


def dump(findings: Findings) -> dict[str, Any]:
    """Return everything in an order that does not depend on that of the records."""
    result = summarize(findings)
    values = {name: estimate.model_dump() for name, estimate in findings.quantities.items()}
    return {
        "quantities": values,
        "result": result.model_dump() if result else None,
        "curves": [curve.model_dump() for curve in findings.curves],
        "informative": findings.informative,
        "warnings": findings.warnings,
    }


def approximately(value: Any) -> Any:
    """Return what compares equal to the value but for rounding."""
    if isinstance(value, dict):
        return {name: approximately(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(approximately(part) for part in value)
    return pytest.approx(value, rel=1e-6, abs=1e-6) if isinstance(value, float) else value


def test_the_made_up_inputs_are_those_that_attacks_may_ask_for() -> None:
    names = {name for name, requirement in REQUIREMENTS.items() if "attacks" in requirement.kinds}
    assert names <= make_inputs().keys()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_it_returns_finite_numbers_or_reasons_the_same_each_time(name: str, task: Task) -> None:
    first, second = (run(name, make_inputs(task)) for _ in range(2))
    check(first)
    assert dump(first) == dump(second)
    assert all(estimate.value is not None for estimate in first.quantities.values())


@pytest.mark.parametrize(("name", "task"), [case for case in CASES if case[0] not in DIVIDED_BY_POSITION])
def test_the_order_of_the_records_does_not_matter(name: str, task: Task) -> None:
    inputs, shuffled = make_inputs(task), {key: permute(value) for key, value in make_inputs(task).items()}
    assert dump(run(name, inputs)) == approximately(dump(run(name, shuffled)))


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("num_groups", [2, 15])
def test_clusters_of_records_are_taken_into_account(name: str, task: Task, num_groups: int) -> None:
    findings = run(name, make_inputs(task, num_groups=num_groups))
    check(findings)
    result, takes_outputs = summarize(findings), any("_outputs" in item for item in ENTRIES[name].inputs)
    if result and takes_outputs:
        assert result.auc.clusters is not None
        assert num_groups > 2 or (result.auc.low is None and result.auc.reason)


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("n", [0, 1])
def test_of_no_record_or_of_one_there_are_reasons(name: str, task: Task, n: int) -> None:
    check(run(name, make_inputs(task, n)))
