"""The contrast with never-seen records: closed forms, another recipe, both directions, few references, clusters."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from unlearn_cli.attacks.retrain_contrast import retrain_contrast
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.roc import auc

N, K, NOISE = 4000, 4, 0.7


def outputs(phi: np.ndarray, groups: np.ndarray | None = None) -> Outputs:
    """Return two-class outputs whose phi is given: with two classes it is the difference of the logits."""
    values = np.column_stack([phi, np.zeros(len(phi))])
    return Outputs(values, np.zeros(len(phi), dtype=np.int64), "classification", groups)


def networks(count: int, seed: int = 0, n: int = N) -> list[list[np.ndarray]]:
    """Return phi on forget and on the hold-out of networks that saw neither."""
    random = np.random.default_rng(seed)
    centres = [random.normal(0, 3, n) for _ in range(2)]
    return [[centre + random.normal(0, NOISE, n) for centre in centres] for _ in range(count)]


def compare(subject: list[Outputs], references: list[list[Outputs]]) -> Findings:
    forget, holdout = ([network[side] for network in references] for side in range(2))
    return retrain_contrast(subject[0], subject[1], forget, holdout)


def contrast(subject: list[np.ndarray], references: list[list[np.ndarray]]) -> Findings:
    given, *others = ([outputs(side) for side in network] for network in (subject, *references))
    return compare(given, others)


def area(findings: Findings) -> float:
    assert findings.scores is not None
    value = auc(findings.scores.members, findings.scores.non_members).value
    assert value is not None
    return value


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("recipe", [0.0, 2.5, -4.0])
def test_a_retrain_by_any_recipe_has_no_contrast(count: int, recipe: float) -> None:
    *references, subject = networks(count + 1)
    findings = contrast([side + recipe for side in subject], references)
    assert area(findings) == pytest.approx(0.5, abs=0.02)
    assert findings.quantities["auc_folded"].value == pytest.approx(0.5, abs=0.02)
    shift = findings.quantities["shift_holdout"].value
    assert shift == pytest.approx(recipe, abs=0.05)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("kept", [0.5, 2.0, -1.0])
def test_what_is_known_better_is_seen_as_theory_says(count: int, kept: float) -> None:
    """d is normal with variance s^2 (1 + 1/K) on both sides, so the AUC of a shift is Phi(shift / (sd sqrt 2))."""
    *references, subject = networks(count + 1)
    findings = contrast([subject[0] + kept, subject[1]], references)
    sd = NOISE * math.sqrt(1 + 1 / count)
    assert area(findings) == pytest.approx(float(norm.cdf(kept / (sd * math.sqrt(2)))), abs=0.015)
    assert findings.quantities["shift_forget"].value == pytest.approx(kept, abs=0.05)


def test_records_that_moved_both_ways_are_seen_in_the_distance_from_the_median() -> None:
    *references, subject = networks(K + 1)
    moved = subject[0] + np.where(np.arange(N) % 2, 3.0, -3.0)
    findings = contrast([moved + 5, subject[1] + 5], references)
    assert area(findings) == pytest.approx(0.5, abs=0.03)
    assert (findings.quantities["auc_folded"].low or 0) > 0.9


def test_another_recipe_is_named_and_the_references_own_is_not() -> None:
    *references, subject = networks(K + 1)
    (warning,) = contrast([side + 2.0 for side in subject], references).warnings
    assert "mean shift +2): another training recipe, not a trace of the forgotten records" in warning
    warned = sum(
        bool(contrast(made[0], made[1:]).warnings) for made in (networks(K + 1, seed, 200) for seed in range(200))
    )
    assert warned <= 20  # 5 % of 200 are expected; t with K - 1 degrees of freedom
    subject, *others = networks(3)
    assert not contrast([side + 2.0 for side in subject], others).warnings  # two show too little of the variation


def test_a_regression_is_judged_by_its_errors() -> None:
    """The original predicts forgotten records better than never-seen ones; a retrain does not, wherever labels lie."""
    random = np.random.default_rng(1)
    labels = [random.normal(50, 20, N) for _ in range(2)]

    def predict(skill: float) -> list[Outputs]:
        errors = (skill * random.normal(0, 4, N), random.normal(0, 4, N))
        return [Outputs(y + e, y, "regression") for y, e in zip(labels, errors, strict=True)]

    references = [predict(1.0) for _ in range(K)]
    assert area(compare(predict(1.0), references)) == pytest.approx(0.5, abs=0.02)
    assert area(compare(predict(0.2), references)) > 0.6


def test_windows_of_one_recording_are_one_cluster() -> None:
    random = np.random.default_rng(2)
    groups = [np.repeat(np.arange(20) + start, 50) for start in (0, 100)]
    drawn = [[np.repeat(random.normal(size=20), 50) for _ in range(2)] for _ in range(K + 1)]
    subject, *references = ([outputs(network[side], groups[side]) for side in range(2)] for network in drawn)
    clustered, by_record = compare(subject, references), contrast(drawn[0], drawn[1:])
    assert clustered.quantities["auc_folded"].clusters == 40
    assert clustered.quantities["shift_forget"].clusters == 20
    wide, narrow = (findings.quantities["shift_forget"] for findings in (clustered, by_record))
    assert (wide.high or 0) - (wide.low or 0) > 3 * ((narrow.high or 0) - (narrow.low or 0))
