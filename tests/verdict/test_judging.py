"""From checks to a verdict: Holm by hand, controls, attempts, tiers, exit codes; toy candidates from made-up logits."""

from typing import Any, cast

import numpy as np
import pytest

from unlearn_cli.attacks.population import population
from unlearn_cli.attacks.retrain_contrast import retrain_contrast
from unlearn_cli.attacks.sanity import sanity
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Finding
from unlearn_cli.verdict.advice import advice
from unlearn_cli.verdict.exit_codes import exit_code
from unlearn_cli.verdict.judgement import Verdict
from unlearn_cli.verdict.judging import conclude, holm, judge
from unlearn_cli.verdict.tier_checks import Candidate

SIZES = {"forget": 800, "retain": 1500, "test": 1500}


def made(seed: int, knows_forget: float, skill: float = 4.0) -> dict[str, Outputs]:
    """Logits of a network that knows forget by `knows_forget` better than records never seen.

    What a record is like is the same for every network; the noise of training is each network's own.
    """
    found: dict[str, Outputs] = {}
    for number, (name, n) in enumerate(SIZES.items()):
        of_records = np.random.default_rng(number)
        labels = of_records.integers(0, 5, n)
        values = 2 * of_records.normal(size=(n, 5)) + 0.7 * np.random.default_rng([seed, number]).normal(size=(n, 5))
        values[np.arange(n), labels] += skill + (knows_forget if name == "forget" else 0.0)
        found[name] = Outputs(values, labels, "classification")
    return {**found, "holdout": found["test"]}


REFERENCES = [made(seed, 0.0) for seed in range(1, 5)]


def candidate(role: str, outputs: dict[str, Outputs], others: list[dict[str, Outputs]]) -> Candidate:
    forget, holdout = ([network[name] for network in others] for name in ("forget", "holdout"))
    contrast = retrain_contrast(outputs["forget"], outputs["holdout"], forget, holdout)
    assert contrast.scores is not None
    scores = {"population": population(outputs["forget"], outputs["holdout"]), "retrain_contrast": contrast.scores}
    probes = {"sanity": sanity(outputs), "retrain_contrast": contrast}
    findings = {
        name: Finding(name=name, role=role, tier="", quantities=one.quantities, informative=one.informative)
        for name, one in probes.items()
    }
    return Candidate(role, outputs, others, "reference", {}, findings, scores, False, "classification")


def judged(subject: dict[str, Outputs], original: dict[str, Outputs], **options: Any) -> tuple[Verdict, dict[str, Any]]:
    controls = [candidate("original", original, REFERENCES)]
    controls += [
        candidate(f"reference_{k}", one, [other for other in REFERENCES if other is not one])
        for k, one in enumerate(REFERENCES)
    ]
    gates, verdict, how = judge(candidate("subject", subject, REFERENCES), controls, "standard", **options)
    failed = [gate.condition for gate in gates if (gate.role, gate.verdict) == ("subject", "failed")]
    return verdict, {"failed": failed, "calibration": how.calibration, "reasons": how.reasons}


def test_the_original_fails_and_a_fresh_retrain_does_not() -> None:
    original = made(9, 3.0)
    verdict, told = judged(original, original)
    assert (verdict, told["calibration"]["original"]) == ("failed", "failed")
    verdict, told = judged(made(10, 0.0), original)
    assert verdict in ("passed", "inconclusive"), told
    assert not told["failed"]


def test_a_wider_margin_is_stated_and_is_only_a_screen() -> None:
    controls = [candidate("original", made(9, 3.0), REFERENCES), candidate("reference", REFERENCES[0], REFERENCES[1:])]
    verdicts = {}
    for margin in (0.05, 0.1):
        gates, verdicts[margin], judgement = judge(
            candidate("subject", made(11, 0.0), REFERENCES), controls, "standard", auc_margin=margin
        )
        areas = [gate for gate in gates if "AUC" in gate.condition]
        assert areas and all(gate.margin == margin and f"within {margin:g} of 1/2" in gate.condition for gate in areas)
        assert judgement.auc_margin == margin
    assert verdicts == {0.05: "passed", 0.1: "passed_screen"}
    assert judgement.reasons == [
        "only a screen: the AUC may differ from 1/2 by 0.1, more than the default margin of 0.05"
    ]


def test_a_destroyed_network_fails_utility_and_only_utility() -> None:
    verdict, details = judged(made(11, 0.0, skill=-1.0), made(9, 3.0))
    assert verdict == "failed"
    assert details["failed"] and all("accuracy" in name for name in details["failed"])


@pytest.mark.parametrize("skill", [3.0, 5.0])
def test_a_retrain_by_another_recipe_does_not_fail(skill: float) -> None:
    """It knows all records better, or less well, than the references; forgotten ones no more than never-seen ones."""
    _, details = judged(made(10, 0.0, skill=skill), made(9, 3.0))
    assert not [name for name in details["failed"] if "forget" in name or "never-seen" in name]


def test_records_that_moved_in_both_directions_fail() -> None:
    outputs = made(15, 0.0)
    values = outputs["forget"].values.copy()
    rows = np.arange(len(values))
    values[rows, outputs["forget"].labels] += np.where(rows % 2, 4.0, -4.0)
    both = {**outputs, "forget": Outputs(values, outputs["forget"].labels, "classification")}
    verdict, details = judged(both, made(9, 3.0))
    assert verdict == "failed"
    assert any("distance from the median" in name for name in details["failed"])


def test_fitting_retained_records_less_is_no_loss_but_knowing_them_less_than_test_is() -> None:
    """The references fit retain perfectly; another recipe need not, but it must not fall below their level on test."""

    def with_retain(network: dict[str, Outputs], wrong: float) -> dict[str, Outputs]:
        labels = network["retain"].labels
        values = np.eye(5)[np.where(np.arange(len(labels)) < wrong * len(labels), (labels + 1) % 5, labels)]
        return {**network, "retain": Outputs(values, labels, "classification")}

    references = [with_retain(network, 0.0) for network in REFERENCES]
    level = float(np.mean([(one["test"].values.argmax(1) == one["test"].labels).mean() for one in references]))
    for wrong, verdict in ((1 - level - 0.02, "passed"), (1 - level + 0.06, "failed")):
        subject = candidate("subject", with_retain(made(10, 0.0), wrong), references)
        gates = [gate for gate in judge(subject, [], "standard")[0] if gate.condition.startswith("retain")]
        assert [gate.verdict for gate in gates] == [verdict], wrong


def test_with_one_reference_utility_is_not_failed() -> None:
    single = candidate("subject", made(11, 0.0, skill=3.0), REFERENCES[:1])
    gates = judge(single, [], "quick")[0]
    utility = [gate for gate in gates if "below the references" in gate.condition]
    assert [gate.verdict for gate in utility] == ["inconclusive"] * 2
    assert [gate.p_failed for gate in utility] == [1.0, 1.0]  # a p-value on both sides, as every decided gate has


@pytest.mark.parametrize("role", ["original", "mask"])
def test_a_control_that_only_predicts_kept_records_worse_has_not_failed(role: str) -> None:
    """It would otherwise look as if the gates detected what is left of the forgotten records."""
    worse = made(9, 0.0, skill=1.0)
    gates, _, judgement = judge(
        candidate("subject", made(8, 0.0), REFERENCES), [candidate(role, worse, REFERENCES)], "standard"
    )
    failed = [gate for gate in gates if (gate.role, gate.verdict) == (role, "failed")]
    assert failed and all(gate.of_utility for gate in failed)
    assert judgement.calibration[role] != "failed"


@pytest.mark.parametrize("tier", ["standard", "audit"])
@pytest.mark.parametrize(
    ("mask", "expected"),
    [(None, "passed_screen"), ("passed", "passed_screen"), ("inconclusive", "passed_screen"), ("failed", "passed")],
)
def test_a_whole_class_passes_only_if_an_edit_of_one_row_fails(tier: str, mask: str | None, expected: str) -> None:
    controls = {"original": "failed", "reference": "passed"} | ({"mask": mask} if mask else {})
    verdict, reasons = conclude("passed", cast(dict[str, Verdict], controls), tier, whole_classes=True)
    assert verdict == expected
    assert verdict == "passed" or "one row of the last layer" in reasons[0]


@pytest.mark.parametrize(
    ("original", "mask", "whole_classes", "expected"),
    [
        ("failed", None, False, "passed_screen"),
        ("inconclusive", None, False, "inconclusive"),
        ("failed", "failed", True, "passed_screen"),
        ("failed", "passed", True, "inconclusive"),
    ],
)
def test_near_retraining_is_a_screen_where_the_data_do_not_suffice(
    original: str, mask: str | None, whole_classes: bool, expected: str
) -> None:
    controls = cast(dict[str, Verdict], {"original": original} | ({"mask": mask} if mask else {}))
    verdict, _ = conclude("inconclusive", controls, "standard", whole_classes=whole_classes, is_nearer=True)
    assert verdict == expected
    assert conclude("inconclusive", controls, "standard", whole_classes=whole_classes)[0] == "inconclusive"
    assert conclude("failed", controls, "standard", whole_classes=whole_classes, is_nearer=True)[0] == "failed"


def test_a_constant_network_fails_the_check_of_its_outputs() -> None:
    constant = {name: Outputs(np.zeros_like(one.values), one.labels, one.task) for name, one in REFERENCES[0].items()}
    verdict, told = judged(constant, made(9, 3.0))
    assert verdict == "failed"
    assert any("differ" in name for name in told["failed"])


def test_records_pushed_too_far_fail_as_well() -> None:
    verdict, told = judged(made(12, -3.0), made(9, 3.0))
    assert verdict == "failed"
    assert any("population" in name for name in told["failed"])


def test_where_the_original_does_not_fail_there_is_nothing_to_find() -> None:
    harmless = made(13, 0.0)
    verdict, told = judged(made(14, 0.0), harmless)
    assert verdict in ("nothing_to_forget", "inconclusive")
    assert told["calibration"]["original"] != "failed"


def test_a_reference_that_fails_makes_the_audit_uninformative() -> None:
    calibration = cast(dict[str, Verdict], {"original": "failed", "reference": "passed", "reference_2": "failed"})
    verdict, reasons = conclude("passed", calibration, "standard")
    assert verdict == "error"
    assert "reference_2" in reasons[0]


@pytest.mark.parametrize(
    ("found", "calibration", "tier", "verdict"),
    [
        ("passed", {"original": "failed", "reference": "passed"}, "standard", "passed"),
        ("passed", {"original": "failed", "reference": "inconclusive"}, "standard", "passed"),
        ("passed", {"original": "failed", "reference": "passed"}, "quick", "passed_screen"),
        ("passed", {"original": "failed"}, "standard", "passed_screen"),
        ("passed", {"reference": "passed"}, "standard", "passed_screen"),
        ("passed", {"original": "inconclusive", "reference": "passed"}, "standard", "inconclusive"),
        ("passed", {"original": "passed", "reference": "passed"}, "standard", "nothing_to_forget"),
        ("failed", {"original": "passed"}, "quick", "failed"),
        ("inconclusive", {"original": "failed"}, "quick", "inconclusive"),
    ],
)
def test_what_the_controls_allow(found: Any, calibration: Any, tier: str, verdict: str) -> None:
    assert conclude(found, calibration, tier)[0] == verdict


def test_holm_by_hand() -> None:
    """0.01 x 4, then 0.02 x 3, 0.03 x 2 and 0.04 x 1, none below the one before."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []


def test_more_attempts_make_passing_harder() -> None:
    original, subject = made(9, 3.0), made(10, 0.0)
    gates = {
        attempts: [gate for gate in judge(candidate("subject", subject, REFERENCES),
                   [candidate("original", original, REFERENCES)], "standard", attempts=attempts)[0]
                   if gate.role == "subject"]
        for attempts in (1, 10**6)
    }  # fmt: skip
    passed = {attempts: sum(gate.verdict == "passed" for gate in found) for attempts, found in gates.items()}
    assert passed[1] > passed[10**6]


@pytest.mark.parametrize(
    ("verdict", "inconclusive", "tier", "required", "code"),
    [
        (None, "fail", None, None, 0), ("passed", "fail", "standard", None, 0), ("failed", "pass", "quick", None, 3),
        ("passed_screen", "fail", "quick", None, 0), ("passed_screen", "fail", "standard", "standard", 4),
        ("passed_screen", "fail", "quick", "quick", 0), ("passed", "fail", "standard", "standard", 0),
        ("passed", "fail", "standard", "audit", 4), ("inconclusive", "fail", "quick", None, 4),
        ("inconclusive", "pass", "quick", None, 0), ("inconclusive", "pass", "quick", "quick", 4),
        ("nothing_to_forget", "pass", "quick", None, 0), ("error", "pass", "standard", None, 4),
    ],
)  # fmt: skip
def test_exit_codes(verdict: Any, inconclusive: str, tier: str | None, required: str | None, code: int) -> None:
    assert exit_code(verdict, inconclusive=inconclusive, tier=tier, require_tier=required) == code


@pytest.mark.parametrize(
    ("forget", "holdout", "told"),
    [(180, 180, "cannot show"), (181, 181, "may fail"), (571, 571, "may fail"), (572, 572, "are enough"),
     (315, 3150, "are enough"), (0, 10, "nothing to compare")],
)  # fmt: skip
def test_advice_knows_the_sizes(forget: int, holdout: int, told: str) -> None:
    assert told in advice(forget, holdout)[0]
    assert "at least 46 + 46 are needed" in advice(30, 30, 0.1)[0]
    assert any("FPR 1 %" in line for line in advice(50, 50))
