"""LiRA, U-LiRA, canaries and the forgetting score on made-up pools: leaks, retraining, wrecks, and few runs."""

import numpy as np
import pytest

from unlearn_cli.attacks.canaries import canaries
from unlearn_cli.attacks.forgetting_score import forgetting_score
from unlearn_cli.attacks.lira import lira
from unlearn_cli.attacks.retained import retained
from unlearn_cli.attacks.ulira import ulira
from unlearn_cli.learning.shadows import Pool, ShadowRuns

RECORDS = 200


def pool(count: int, shift: float | np.ndarray, seed: int = 0, canary_share: float = 0.0) -> Pool:
    random = np.random.default_rng(seed)
    members = random.random((count, RECORDS)) < 0.5
    phi = 4 * random.normal(size=RECORDS) + random.normal(size=(count, RECORDS)) + shift * members
    mask = np.arange(RECORDS) < canary_share * RECORDS
    return Pool(members, phi, mask)


def test_what_is_left_is_found_and_retraining_is_not() -> None:
    leak, control = ulira(pool(48, 2.0)).quantities, ulira(pool(48, 0.0)).quantities
    assert leak["auc"].value == pytest.approx(0.92, abs=0.03)  # Phi(2 / sqrt 2), a little less for few shadows
    assert control["auc"].value == pytest.approx(0.5, abs=0.025)
    assert control["auc"].low is not None and control["auc"].low < 0.51
    assert (leak["accuracy"].value or 0) > 0.8 > (control["accuracy"].value or 0)
    assert leak["tpr_001"].value is not None
    assert (leak["worst_decile"].value or 0) > (leak["median_of_records"].value or 1)
    assert (control["worst_decile"].value or 0) > 0.55  # the worst tenth of coin flips: no measure by itself


def test_unevenly_exposed_records_show_in_the_worst_tenth() -> None:
    exposed = np.where(np.arange(RECORDS) < 20, 6.0, 0.0)
    found, even = ulira(pool(48, exposed)).quantities, ulira(pool(48, 0.0)).quantities
    assert found["auc"].value == pytest.approx(0.6, abs=0.04)  # a tenth of the members stand above all
    assert (found["worst_decile"].value or 0) > 0.95
    assert (found["worst_decile"].value or 0) > (even["worst_decile"].value or 1) + 0.2


def test_records_that_stay_are_judged_as_the_forgotten_are() -> None:
    exposed = pool(48, 2.0)
    assert retained(exposed).quantities == ulira(exposed).quantities
    assert retained(exposed).scores is None  # members stay members: no attack block, so no gate reads it


def test_a_wrecked_network_passes_u_lira() -> None:
    random = np.random.default_rng(1)
    wrecked = Pool(pool(48, 0.0).members, 0.01 * random.normal(size=(48, RECORDS)) - 9.0, np.zeros(RECORDS, dtype=bool))
    assert ulira(wrecked).quantities["auc"].value == pytest.approx(0.5, abs=0.02)


def test_the_one_sided_attack_misses_what_was_pushed_too_far() -> None:
    assert (lira(pool(48, -2.0)).quantities["auc"].value or 1) < 0.15
    assert (ulira(pool(48, -2.0)).quantities["auc"].value or 0) > 0.85


def test_canaries_are_a_stratum_of_their_own_and_bound_epsilon() -> None:
    shift = np.where(np.arange(RECORDS) < 100, 5.0, 0.0)
    found = canaries(pool(48, shift, canary_share=0.5), 0).quantities
    assert (found["auc"].value or 0) > 0.98
    assert found["auc_others"].value == pytest.approx(0.5, abs=0.03)
    assert (found["epsilon"].value or 0) > 2
    assert (found["epsilon_one_run"].value or 0) > 0.5
    none = canaries(pool(48, 0.0), 0)
    assert none.quantities["epsilon"].value == 0
    assert "auc_others" not in none.quantities
    assert any("no canaries" in warning for warning in none.warnings)


def test_forgetting_is_scored_beside_retraining_with_itself() -> None:
    random = np.random.default_rng(2)
    members = random.random((64, RECORDS)) < 0.5
    base = 4 * random.normal(size=RECORDS)

    def drawn(shift: float) -> np.ndarray:
        return base + random.normal(size=(64, RECORDS)) + shift

    runs = ShadowRuns(
        members, {"before": drawn(3.0), "after": drawn(0.0), "retrain": drawn(0.0)}, np.zeros(RECORDS, dtype=bool)
    )
    forgot, knows = (forgetting_score(runs, runs.of(role)).quantities for role in ("subject", "original"))
    assert forgot["ratio"].value == pytest.approx(1, abs=0.35)
    assert (forgot["retrain_retrain"].value or 1) < 0.4  # far from 1, though nothing differs
    assert (knows["ratio"].value or 0) < 0.2


def test_with_few_runs_there_are_reasons_and_no_crash() -> None:
    few = pool(8, 1.0)
    runs = ShadowRuns(few.members, dict.fromkeys(("before", "after", "retrain"), few.phi), few.canaries)
    assert forgetting_score(runs, runs.of("subject")).quantities["quality"].reason
    assert ulira(few).quantities["auc"].value is not None
    two = Pool(few.members[:2], few.phi[:2], few.canaries)
    assert ulira(two).quantities["auc"].reason
