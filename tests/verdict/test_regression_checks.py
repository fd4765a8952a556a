"""Errors and signed residuals of a regression, relative to references; networks made of noise, some of it shared."""

import math
from dataclasses import replace

import numpy as np
import pytest

from unlearn_cli.stats.findings import Scores
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate, Finding
from unlearn_cli.verdict.checks import Check
from unlearn_cli.verdict.judging import judge
from unlearn_cli.verdict.regression_checks import Contrast, check_regression, list_pairs
from unlearn_cli.verdict.tier_checks import UNMATCHED, Candidate, list_checks

SIZES = {"forget": 1200, "retain": 1500, "test": 3000}
Network = dict[str, Outputs]


def make_network(seed: int, *, memory: float = 0.0, skill: float = 1.0, shift: float = 0.0) -> Network:
    """Predictions with errors that belong to the record, and others of the training.

    `memory` is the share of the error that is gone on forget; `skill` scales all errors; `shift` moves forget.
    """
    outputs: Network = {}
    for number, (name, n) in enumerate(SIZES.items()):
        of_records = np.random.default_rng(number)
        labels, common = of_records.normal(10, 3, n), of_records.normal(0, 1, n)
        errors = skill * (common + 0.5 * np.random.default_rng([seed, number]).normal(0, 1, n))
        on_forget = name == "forget"
        errors = errors * (1 - memory) + shift if on_forget else errors
        outputs[name] = Outputs(labels + errors, labels, "regression")
    return {**outputs, "holdout": outputs["test"]}


REFERENCES = [make_network(seed) for seed in range(1, 5)]


def judge_network(network: Network, references: list[Network] = REFERENCES) -> list[str]:
    """Return the verdicts on the error and on the residuals."""
    return [decide(check) for check in check_regression(network, references, is_matched=True, with_residuals=True)]


def check_errors(network: Network, references: list[Network]) -> list[Check]:
    return check_regression(network, references, is_matched=True, with_residuals=False)


def decide(check: Check) -> str:
    assert check.p_passed is not None and check.p_failed is not None, check
    return "passed" if check.p_passed <= 0.05 else "failed" if check.p_failed <= 0.01 else "inconclusive"


def test_a_retrain_passes_and_the_original_fails() -> None:
    assert judge_network(make_network(7)) == ["passed"] * 2
    assert judge_network(make_network(7, memory=0.6))[0] == "failed"


@pytest.mark.parametrize("skill", [0.7, 1.4])
def test_a_retrain_that_is_better_or_worse_on_all_records_passes(skill: float) -> None:
    assert judge_network(make_network(7, skill=skill)) == ["passed"] * 2


def test_a_shift_of_the_forgotten_records_only_fails() -> None:
    assert judge_network(make_network(7, shift=0.5))[1] == "failed"


def test_a_shift_of_all_records_is_another_recipe() -> None:
    network = {
        name: replace(outputs, values=outputs.values + 0.5) for name, outputs in make_network(7).items()
    }  # fmt: skip
    assert judge_network(network) == ["passed"] * 2


def test_the_ratio_is_relative_to_the_references() -> None:
    (check,) = check_errors(make_network(7, memory=0.5), REFERENCES)
    assert check.value.value == pytest.approx(0.5, rel=0.05)
    assert check.limit == 1.0 and check.value.runs == 4 and check.value.n == SIZES["forget"] + SIZES["test"]


def test_one_reference_does_not_decide() -> None:
    (check,) = check_errors(make_network(7, memory=0.6), REFERENCES[:1])
    assert check.p_failed is None and check.reason == "at least two references are needed for their variation"


def divide(network: Network) -> Network:
    """Divide test as a forgotten range divides it."""
    test = network["test"]
    parts = {"test_forget": test.take(np.arange(1000)), "test_retain": test.take(np.arange(1000, 3000))}
    return {**network, **parts, "holdout": parts["test_forget"]}


def test_what_forget_does_not_select_is_the_control_of_a_range() -> None:
    """A network that still predicts the range well does so on unseen records of the range, too: they cannot be it."""
    knowing, references = divide(make_network(7, memory=0.6)), [divide(network) for network in REFERENCES]
    unseen = knowing["test_forget"]
    unseen = replace(unseen, values=unseen.labels + 0.4 * (unseen.values - unseen.labels))
    knowing |= {"test_forget": unseen, "holdout": unseen}
    checks = check_errors(knowing, references)
    sides = [("forget", "holdout"), ("test_forget", "test_retain")]
    assert [(check.claim.split()[0], check.claim.split()[7].rstrip(",")) for check in checks] == sides
    assert [decide(check) for check in checks] == ["passed", "failed"]
    assert [decide(check) for check in check_errors(divide(make_network(7)), references)] == ["passed", "passed"]


def test_without_a_matched_holdout_only_the_errors_on_forget_are_compared() -> None:
    """On another period, two trainings differ by more than by what they remember: it is not a control."""
    sizes = {"forget": "ab", "holdout": "ab", "test_forget": "", "test_retain": "ab"}
    assert [pair[:2] for pair in list_pairs(sizes, is_matched=False)] == [("forget", None)]
    assert [pair[:2] for pair in list_pairs({"forget": "a", "holdout": "a"}, is_matched=True)] == [
        ("forget", "holdout")
    ]
    assert list_pairs({"forget": "", "holdout": ""}, is_matched=True) == []
    for memory, verdict in ((0.0, "passed"), (0.6, "failed")):
        network = make_network(7, memory=memory)
        elsewhere = replace(network["holdout"], values=network["holdout"].labels + 100)  # another trend
        network |= {"test": elsewhere, "holdout": elsewhere}
        (check,) = check_regression(network, REFERENCES, is_matched=False, with_residuals=True)
        assert decide(check) == verdict and check.value.n == SIZES["forget"]


def cluster(network: Network, size: int) -> Network:
    return {
        name: replace(outputs, groups=np.arange(len(outputs)) // size) for name, outputs in network.items()
    }  # fmt: skip


def test_the_variance_is_that_of_the_jackknife_over_clusters() -> None:
    random = np.random.default_rng(0)
    errors, groups = np.abs(random.normal(1, 0.5, (4, 120))), np.arange(120) // 3  # (1 + K, n)
    sides = (errors[:, :60], errors[:, 60:])
    contrast = Contrast([*sides], [groups[:60], groups[60:] - 20])  # the same twenty clusters on both sides
    estimates = []
    for left_out in range(20):
        rest = [side[:, groups[:60] != left_out] for side in sides]
        ours, *theirs = Contrast(rest, None).compute_log_ratios()
        estimates.append(ours - np.mean(theirs))
    by_hand = 19 / 20 * np.square(np.array(estimates) - np.mean(estimates)).sum()
    assert contrast.compute_variance()[0] == pytest.approx(by_hand, rel=0.05)


def test_a_cluster_counts_once() -> None:
    plain, clustered = (
        check_errors(network, references)[0].value
        for network, references in (
            (make_network(7), REFERENCES),
            (cluster(make_network(7), 1), [cluster(reference, 1) for reference in REFERENCES]),
        )
    )
    assert clustered.clusters == SIZES["forget"] + SIZES["test"] and plain.clusters is None
    few = [cluster(network, 800) for network in (make_network(7), *REFERENCES)]
    (check,) = check_errors(few[0], few[1:])
    assert check.p_passed is None and "too few" in (check.reason or "")


def make_candidate(outputs: Network, *, is_matched: bool = True, kind: str = "reference") -> Candidate:
    scores = {
        "population": Scores(np.arange(100.0), np.arange(100.0)),
        "retrain_contrast": Scores(np.arange(100.0), np.arange(100.0)),
    }
    sanity = Finding(name="sanity", tier="", quantities={"equal_outputs": Estimate(value=0.0, n=1)}, informative=True)
    findings = {"sanity": sanity}
    comparators = REFERENCES if kind == "reference" else [make_network(7, memory=0.6)]
    return Candidate(
        "subject", outputs, comparators, kind, {}, findings, scores, False, "regression", holdout_is_matched=is_matched
    )


def test_an_unmatched_holdout_is_not_compared_directly() -> None:
    network = make_network(7)
    undecided = list_checks(make_candidate(network, is_matched=False, kind="original"), "quick")
    (population,) = [check for check in undecided if check.claim.startswith("population")]
    assert population.reason == UNMATCHED and population.p_failed is None
    assert not any("TPR" in check.claim for check in undecided)
    relative = [check.claim for check in list_checks(make_candidate(network, is_matched=False), "standard")]
    assert not any(claim.startswith(("population", "TPR")) for claim in relative)
    assert [claim for claim in relative if "forget" in claim] == ["forget mean error within 25% of the references'"]


def test_the_gates_of_a_regression_are_judged_with_the_others() -> None:
    gates, _, _ = judge(make_candidate(make_network(7, memory=0.6)), [], "standard")
    failed = {gate.condition for gate in gates if gate.verdict == "failed"}
    assert any(condition.startswith("forget mean error") for condition in failed)
    quick = [gate.condition for gate in judge(make_candidate(make_network(7)), [], "quick")[0]]
    assert any(condition.startswith("forget mean error") for condition in quick)
    assert not any(condition.startswith("signed residuals") for condition in quick)
    assert math.isfinite(sum(gate.p_passed or 0.0 for gate in gates))
