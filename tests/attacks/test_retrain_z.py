import math

import numpy as np
import pytest
from scipy.stats import t

from unlearn_cli.attacks.population import population
from unlearn_cli.attacks.retrain_z import retrain_z
from unlearn_cli.stats.outputs import Outputs

N, K = 20_000, 4


def outputs(phi: np.ndarray) -> Outputs:
    """Return two-class outputs whose phi is given: with two classes it is the difference of the logits."""
    return Outputs(np.column_stack([phi, np.zeros(len(phi))]), np.zeros(len(phi), dtype=np.int64), "classification")


def ensemble(count: int, n: int = N, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    centre = random.normal(0, 3, n)
    return [centre + random.normal(0, 0.7, n) for _ in range(count)]


def values(candidate: np.ndarray, references: list[np.ndarray]) -> dict[str, float | None]:
    found = retrain_z(outputs(candidate), [outputs(one) for one in references])
    return {name: estimate.value for name, estimate in found.quantities.items()}


def test_one_more_retrained_network_is_standard_normal_beside_the_others() -> None:
    *references, extra = ensemble(K + 1)
    found = values(extra, references)
    assert found["mean_z"] == pytest.approx(0, abs=0.02)
    assert found["mean_z2"] == pytest.approx(1, abs=0.03)
    assert found["share_beyond"] == pytest.approx(0.01, abs=0.002)
    assert found["auc_z"] == pytest.approx(0.5, abs=0.01) and found["auc_abs_z"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("shift", [-2.0, 0.5, 3.0])
def test_a_shift_in_units_of_the_spread_is_found_with_its_sign(shift: float) -> None:
    *references, extra = ensemble(K + 1)
    spread = math.sqrt(np.stack(references).var(axis=0, ddof=1).mean())
    moved, still = values(extra + shift * spread, references), values(extra, references)
    assert (moved["mean_z"] or 0.0) - (still["mean_z"] or 0.0) == pytest.approx(shift / math.sqrt(1 + 1 / K), abs=1e-9)


def test_left_out_references_average_to_0_and_1_and_their_interval_is_that_of_a_prediction() -> None:
    references = ensemble(K, n=300)
    found = retrain_z(outputs(references[0]), [outputs(one) for one in references]).quantities
    assert found["mean_z_null"].value == pytest.approx(0, abs=1e-12)  # an identity: deviations from a mean sum to 0
    assert found["mean_z2_null"].value == pytest.approx(1, abs=1e-12)
    null = found["mean_z_null"]
    assert null.sd is not None and null.low is not None and null.high is not None and null.runs == K
    half = t.ppf(0.975, K - 1) * null.sd * math.sqrt(1 + 1 / K)
    assert (null.high - null.low) / 2 == pytest.approx(half)


def test_statistics_by_hand_for_three_references_of_two_records() -> None:
    found = values(np.array([3.0, 4.0]), [np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.array([2.0, 4.0])])
    z = np.array([(3 - 1), (4 - 2)]) / (math.sqrt((1 + 3) / 2) * math.sqrt(4 / 3))
    assert found["mean_z"] == pytest.approx(z.mean()) and found["mean_z2"] == pytest.approx((z**2).mean())


def test_a_destroyed_network_passes_the_population_attack_and_is_caught_here() -> None:
    *references, _ = ensemble(K + 1, n=600)
    random = np.random.default_rng(7)
    forget, holdout = outputs(random.normal(0, 0.1, 600)), outputs(random.normal(0, 0.1, 600))
    scores = population(forget, holdout)
    area = (scores.members[:, None] > scores.non_members).mean()
    found = retrain_z(forget, [outputs(one) for one in references]).quantities
    assert area == pytest.approx(0.5, abs=0.05)
    assert (found["auc_abs_z"].low or 0) > 0.55 and (found["mean_z2"].low or 0) > (found["mean_z2_null"].high or 9)


def test_neither_the_order_of_the_references_nor_that_of_the_records_matters() -> None:
    *references, extra = ensemble(K + 1, n=200)
    order = np.random.default_rng(1).permutation(200)
    expected = values(extra, references)
    assert values(extra, references[::-1]) == pytest.approx(expected)
    assert values(extra[order], [one[order] for one in references]) == pytest.approx(expected)


def test_a_regression_is_judged_by_its_predictions() -> None:
    references = [np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.array([2.0, 4.0])]
    given = [Outputs(one, np.array([9.0, 9.0]), "regression") for one in [np.array([3.0, 4.0]), *references]]
    classified = values(np.array([3.0, 4.0]), references)
    assert retrain_z(given[0], given[1:]).quantities["mean_z"].value == pytest.approx(classified["mean_z"])


@pytest.mark.parametrize("count, reason", [(0, "3 references"), (2, "3 references")])
def test_too_few_references_give_null_with_a_reason(count: int, reason: str) -> None:
    found = retrain_z(outputs(np.zeros(5)), [outputs(one) for one in ensemble(count, n=5)])
    assert found.quantities["mean_z"].value is None and reason in (found.quantities["mean_z"].reason or "")
    assert found.scores is None


def test_references_without_spread_or_records_give_null_and_three_a_warning() -> None:
    same = [outputs(np.ones(5))] * 4
    assert "do not differ" in (retrain_z(outputs(np.zeros(5)), same).quantities["mean_z"].reason or "")
    empty = [outputs(np.empty(0))] * 4
    assert retrain_z(empty[0], empty).quantities["mean_z"].value is None
    three = retrain_z(outputs(np.zeros(9)), [outputs(one) for one in ensemble(3, n=9)])
    assert "3 references" in three.warnings[0]


def test_a_leak_on_both_sides_is_seen_though_its_mean_is_zero() -> None:
    common = 3 * np.random.default_rng(99).normal(size=2000)
    networks = [common + 0.5 * np.random.default_rng(k).normal(size=2000) for k in range(5)]
    networks[4] += np.where(np.arange(2000) % 2, 2.0, -2.0)
    *references, candidate = [Outputs(values, np.zeros(2000), "regression") for values in networks]
    found = retrain_z(candidate, references).quantities
    assert found["mean_z"].value == pytest.approx(0, abs=0.1)
    assert found["auc_z"].value == pytest.approx(0.5, abs=0.05)
    assert (found["auc_abs_z"].value or 0) > 0.9
