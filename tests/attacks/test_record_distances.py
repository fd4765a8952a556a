"""Completeness and the worst decile: known shares of untouched records, left-out references, no denominator."""

import numpy as np
import pytest

from unlearn_cli.attacks.completeness import completeness
from unlearn_cli.attacks.worst_decile import worst_decile
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.outputs import Outputs

N, K = 1500, 4


def outputs(phi: np.ndarray, groups: np.ndarray | None = None) -> Outputs:
    """Return two-class outputs whose phi is given: with two classes it is the difference of the logits."""
    values = np.column_stack([phi, np.zeros(len(phi))])
    return Outputs(values, np.zeros(len(phi), dtype=np.int64), "classification", groups)


def ensemble(count: int, seed: int = 0, n: int = N) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return what all retrained networks share, and phi of some of them."""
    random = np.random.default_rng(seed)
    centre = random.normal(0, 3, n)
    return centre, [centre + random.normal(0, 0.7, n) for _ in range(count)]


def interpolate(share: float, count: int = K, original_shift: float = 8.0) -> Findings:
    centre, (*references, extra) = ensemble(count + 1)
    return completeness(
        outputs(extra + (1 - share) * original_shift),
        outputs(centre + original_shift),
        [outputs(part) for part in references],
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0, 1.5])
def test_the_median_is_the_share_of_the_way(share: float) -> None:
    quantities = interpolate(share).quantities
    assert quantities["median"].value == pytest.approx(share, abs=0.01)
    assert quantities["overall"].value == pytest.approx(share, abs=0.01)
    assert quantities["share_qualifying"].value == 1
    assert quantities["share_below_half"].value == pytest.approx(1 if share < 0.5 else 0, abs=0.03)


def test_a_left_out_reference_has_a_completeness_of_1() -> None:
    quantities = interpolate(0.3).quantities
    floor = quantities["median_floor"]
    assert floor.value == pytest.approx(1, abs=0.01) and floor.runs == K
    assert quantities["share_below_half_floor"].value == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize("untouched", [0.1, 0.4])
def test_a_known_share_of_untouched_records_is_found(untouched: float) -> None:
    centre, (*references, extra) = ensemble(K + 1)
    rows = np.arange(N) < untouched * N
    original = centre + 6.0
    findings = completeness(
        outputs(np.where(rows, original, extra)), outputs(original), [outputs(part) for part in references]
    )
    assert findings.quantities["share_below_half"].value == pytest.approx(untouched, abs=0.005)
    assert findings.quantities["overall"].value == pytest.approx(1 - untouched, abs=0.01)
    ours, floor = findings.distributions
    assert ours.values[0] == pytest.approx(0, abs=0.1) and floor.values[0] > 0.7


def test_only_records_that_differ_measurably_count() -> None:
    """A third of the records is memorised; on the others the ratio would be of noise by noise."""
    centre, (*references, extra, noise) = ensemble(K + 2)
    rows = np.arange(N) < N // 3
    original = np.where(rows, centre + 8.0, noise)
    quantities = completeness(outputs(extra), outputs(original), [outputs(part) for part in references]).quantities
    assert quantities["share_qualifying"].value == pytest.approx(1 / 3, abs=0.01)
    assert quantities["median"].n == pytest.approx(N / 3, abs=15)
    assert quantities["median"].value == pytest.approx(1, abs=0.02)


def test_without_a_difference_there_is_a_reason_and_no_ratio() -> None:
    _, (*references, extra, original) = ensemble(K + 2)
    quantities = completeness(outputs(extra), outputs(original), [outputs(part) for part in references]).quantities
    assert quantities["median"].value is None
    assert f"of {N} records: too few" in (quantities["median"].reason or "")
    one = completeness(outputs(extra), outputs(original), [outputs(references[0])]).quantities["median"]
    assert one.reason == "at least 2 references are needed, not 1"


def test_records_of_one_person_are_one_unit() -> None:
    random, groups = np.random.default_rng(5), np.repeat(np.arange(30), 50)
    centre, (*references, extra) = ensemble(K + 1)
    kept = np.repeat(random.random(30) < 0.4, 50)  # whole persons are untouched
    original = centre + 6.0
    findings = completeness(
        outputs(np.where(kept, original, extra), groups), outputs(original), [outputs(part) for part in references]
    )
    share = findings.quantities["share_below_half"]
    assert share.clusters == 30 and share.low is not None and share.high is not None
    assert share.high - share.low > 0.25  # of 30 persons, not of 1500 records


def worst(subject: list[np.ndarray], references: list[list[np.ndarray]]) -> dict[str, float]:
    forget, holdout = ([outputs(network[side]) for network in references] for side in range(2))
    quantities = worst_decile(outputs(subject[0]), outputs(subject[1]), forget, holdout).quantities
    return {name: estimate.value for name, estimate in quantities.items() if estimate.value is not None}


def networks(count: int, seed: int = 0) -> list[list[np.ndarray]]:
    sides = [ensemble(count, seed + side)[1] for side in (0, 100)]
    return [[side[number] for side in sides] for number in range(count)]


@pytest.mark.parametrize("count", [2, 4])
def test_the_worst_tenth_of_one_more_reference_is_the_floor(count: int) -> None:
    *references, extra = networks(count + 1)
    values = worst(extra, references)
    expected = 0.7 * np.sqrt(1 + 1 / (count - 1)) * 2.0627  # the mean of the largest tenth of |N(0, 1)|
    for name in ("forget", "forget_floor", "holdout", "holdout_floor"):
        assert values[name] == pytest.approx(expected, rel=0.06)


def test_a_tenth_that_is_left_is_seen_and_another_recipe_is_on_both_sides() -> None:
    *references, extra = networks(K + 1)
    left = worst([extra[0] + 6.0 * (np.arange(N) < N // 10), extra[1]], references)
    assert left["forget"] == pytest.approx(6, abs=0.3) and left["holdout"] < 2
    recipe = worst([side + 3.0 for side in extra], references)
    assert recipe["forget"] == pytest.approx(recipe["holdout"], rel=0.05)
    assert recipe["forget"] > recipe["forget_floor"] + 2


def test_with_one_reference_there_is_no_floor() -> None:
    references = networks(2)
    values = worst(references[1], references[:1])
    assert set(values) == {"forget", "holdout"}
