"""The plan of a tier: powers against simulations and closed forms, what would be sufficient, and the best verdict."""

import math
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, norm, t

from unlearn_cli.stats.power import equivalence_power, one_sided_power, share_power, t_quantile
from unlearn_cli.verdict.checks import check_not_worse
from unlearn_cli.verdict.gate_kinds import GATE_KINDS
from unlearn_cli.verdict.planning import compute_power, describe_plan, plan_tier
from unlearn_cli.verdict.situation import Situation

RECORDS = {"forget": 600, "holdout": 600, "test": 600, "retain": 1000}
SITUATION = Situation("quick", "classification", RECORDS, num_references=4, has_original=True)


def powers(situation: Situation) -> dict[str, float | None]:
    return {gate.gate: gate.power for gate in plan_tier(situation).gates}


@pytest.mark.parametrize("freedom", [1.0, 2.0, 3.5, 10.0, math.inf])
@pytest.mark.parametrize("probability", [0.9, 0.95])
def test_quantiles_of_t(freedom: float, probability: float) -> None:
    exact = norm.ppf(probability) if math.isinf(freedom) else t.ppf(probability, freedom)
    assert t_quantile(probability, freedom) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize(("n", "limit", "true_share"), [(93, 0.05, 0.01), (600, 0.05, 0.03), (20_000, 0.01, 0.009)])
def test_the_power_of_a_share_is_binomial(n: int, limit: float, true_share: float) -> None:
    most = max(hits for hits in range(n) if binom.cdf(hits, n, limit) <= 0.05)
    assert share_power(n, limit, true_share) == pytest.approx(binom.cdf(most, n, true_share))


def test_no_hit_among_59_records_is_below_five_percent() -> None:
    assert share_power(58, 0.05, 0.0) == 0.0 and share_power(59, 0.05, 0.0) == 1.0


@pytest.mark.parametrize(("freedom", "sd"), [(3.0, 0.015), (10.0, 0.02), (math.inf, 0.0171)])
def test_the_power_of_equivalence_tests_is_that_of_a_simulation(freedom: float, sd: float) -> None:
    random = np.random.default_rng(0)
    x = random.normal(0, sd, 100_000)
    estimated = sd if math.isinf(freedom) else sd * np.sqrt(random.chisquare(freedom, len(x)) / freedom)
    quantile = norm.ppf(0.95) if math.isinf(freedom) else t.ppf(0.95, freedom)
    assert equivalence_power(0.05, sd, freedom) == pytest.approx(
        np.mean(np.abs(x) < 0.05 - quantile * estimated), abs=0.01
    )
    assert one_sided_power(0.05, sd, freedom) == pytest.approx(np.mean(x > quantile * estimated - 0.05), abs=0.01)


def test_an_auc_needs_572_records_per_side() -> None:
    for n, is_sufficient in ((571, False), (572, True)):
        auc = next(gate for gate in plan_tier(replace(SITUATION, records={**RECORDS, "forget": n, "holdout": n})).gates
                   if gate.gate == "population AUC")  # fmt: skip
        assert auc.is_sufficient == is_sufficient
        assert (auc.needed_records is None) == is_sufficient


def test_the_power_of_the_utility_gate_is_that_of_simulated_trainings() -> None:
    """Every training flips half of the records that are hard for all; 10 % of the predictions are wrong."""
    random = np.random.default_rng(0)
    n, runs, passed = 2000, 4, 0
    for _ in range(150):
        is_hard = random.random(n) < 0.2
        hits = np.where(is_hard, random.random((runs + 1, n)) < 0.5, True).astype(np.float64)
        passed += (check_not_worse("", hits[0], hits[1:], 0.02, unit=1.0).p_passed or 0.0) <= 0.05
    planned = powers(replace(SITUATION, records={**RECORDS, "test": n}))["utility on test"]
    assert planned == pytest.approx(passed / 150, abs=0.12)


def test_small_numbers_are_held_up_by_utility() -> None:
    plan = plan_tier(SITUATION)
    short = {gate.gate: gate for gate in plan.gates if not gate.is_sufficient}
    assert "utility on test" in short and "population AUC" not in short
    needed = short["utility on test"].needed_records
    assert needed is not None and powers(replace(SITUATION, records={**RECORDS, **needed}))["utility on test"] >= 0.8  # pyright: ignore[reportOptionalOperand]
    assert any(
        sentence.startswith("utility on test: a retrained network would pass") for sentence in describe_plan(plan)
    )
    assert 0 < plan.joint_power < 0.5


def test_more_references_may_be_what_is_missing() -> None:
    regression = Situation(
        "standard", "regression", {"forget": 413, "holdout": 4000, "test": 4000, "retain": 2000}, num_references=1
    )
    plan = plan_tier(regression)
    error = next(gate for gate in plan.gates if gate.gate.startswith("error on forget"))
    assert error.reason == "it needs 2 references" and error.needed_references is not None
    assert plan.missing_references >= error.needed_references - 1
    enough = replace(regression, num_references=1 + plan.missing_references)
    assert plan_tier(enough).missing_references == 0


def test_clusters_lower_the_power_and_two_are_too_few() -> None:
    clustered = replace(SITUATION, clusters={"forget": 15, "holdout": 30, "test": 30})
    assert (powers(clustered)["population AUC"] or 0) < (powers(SITUATION)["population AUC"] or 0)
    auc = next(gate for gate in plan_tier(clustered).gates if gate.gate == "population AUC")
    assert auc.clusters == {"forget": 15, "holdout": 30} and auc.needed_records is not None
    assert auc.needed_clusters is not None and auc.needed_clusters["forget"] > 15
    assert auc.needed_clusters["forget"] / 15 == pytest.approx(auc.needed_records["forget"] / 600, rel=0.1)
    few = plan_tier(replace(SITUATION, clusters={"forget": 2, "holdout": 30}))
    assert any("no gate can pass" in sentence for sentence in describe_plan(few))


def test_an_unmatched_holdout_is_planned_as_undecided_in_the_quick_tier() -> None:
    unmatched = replace(SITUATION, holdout_is_matched=False)
    assert powers(unmatched)["population AUC"] is None
    standard = powers(replace(unmatched, tier="standard"))
    assert "population AUC" not in standard and "contrast with references" not in standard
    assert "accuracy on forget, relative to references" in standard


@pytest.mark.parametrize("kind", GATE_KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_kind_has_a_power_that_grows_with_the_records(kind: Any, task: Any) -> None:
    records = {"test_forget": 200, "test_retain": 1000, **RECORDS}
    small = Situation("audit", task, records, num_references=4, num_shadow_runs=32, has_original=True)
    large = replace(small, records={split: 20 * count for split, count in records.items()})
    before, after = compute_power(kind, small), compute_power(kind, large)
    assert before is not None and after is not None and 0 <= before <= after + 1e-9 <= 1 + 2e-9


@pytest.mark.parametrize("kind", GATE_KINDS, ids=lambda kind: kind.name)
def test_every_kind_names_the_expectations_that_its_power_depends_on(kind: Any) -> None:
    """A plan prints them, so a change of any other one must not change the power."""
    records = {"test_forget": 200, "test_retain": 1000, **RECORDS}
    for task in ("classification", "regression"):
        situation = Situation("audit", task, records, num_references=4, num_shadow_runs=32, has_original=True)
        expected = situation.expectations
        for name in {field.name for field in fields(expected)} - {"source"}:
            half = replace(situation, expectations=replace(expected, **{name: getattr(expected, name) / 2}))
            if compute_power(kind, half) != compute_power(kind, situation):
                assert name in kind.expects, name


def test_the_audit_needs_shadow_runs() -> None:
    audit = replace(SITUATION, tier="audit", num_shadow_runs=4)
    rate = next(gate for gate in plan_tier(audit).gates if gate.gate.startswith("U-LiRA TPR"))
    assert rate.needed_records is None and rate.needed_references is None
    lacking = plan_tier(replace(audit, num_shadow_runs=0))
    runs = {gate.gate: gate.needed_shadow_runs for gate in lacking.gates if gate.gate.startswith("U-LiRA")}
    assert all(runs.values()) and any("shadow runs" in sentence for sentence in describe_plan(lacking))


def test_the_best_verdict_names_what_is_missing() -> None:
    assert plan_tier(replace(SITUATION, tier="standard")).best_verdict == "passed"
    lacking = plan_tier(Situation("quick", "classification", RECORDS))
    assert lacking.best_verdict == "passed_screen" and len(lacking.best_verdict_reasons) == 3
    whole = plan_tier(replace(SITUATION, tier="standard", whole_classes=True))
    assert whole.best_verdict == "passed_screen" and whole.best_verdict_reasons[0].startswith("a whole class")


def test_planning_imports_no_scipy() -> None:
    code = "import sys, unlearn_cli.commands.attack; sys.exit('scipy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
