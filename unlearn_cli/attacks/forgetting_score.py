"""Forgetting quality of the NeurIPS 2023 unlearning competition, compared with that of retraining with itself.

Each record's phi over unlearned runs is compared with its phi over retrained runs: epsilon of the best threshold or
interval gives 2^-floor(2 epsilon) points, which are averaged over the records. Source: Triantafillou et al. 2024, arXiv
2406.09073, and its code. Needs shadow runs. Warning: strongly biased: equal distributions score about 0.17 instead of
1, and another number of runs gives another score. Only the ratio to `retrain_retrain`, from the same number of runs, is
meaningful.
"""

from typing import Annotated

import numpy as np
from pydantic import PositiveFloat

from unlearn_cli.learning.shadows import Pool, ShadowRuns
from unlearn_cli.plugins.types import Doc
from unlearn_cli.stats.competition import forgetting_quality
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import mean, missing
from unlearn_cli.stats.results import Estimate

SUMMARY = "score of NeurIPS 2023, compared with retraining's"
TASK = ("classification", "regression", "multilabel")
TIER = "audit"
ORDER = 5  # within the tier, cheapest first

MIN_RUNS = 8  # per side


def forgetting_score(
    all_shadow_runs: ShadowRuns,
    shadow_runs: Pool,
    *,
    delta: Annotated[PositiveFloat, Doc("delta of the estimated epsilon")] = 1e-5,
) -> Findings:
    """Return F of the judged stage against half of the retrained runs, that of the other half, and their ratio."""
    retrained = all_shadow_runs.of("reference").phi
    first_half, second_half = retrained[::2], retrained[1::2]
    runs = min(len(first_half), len(second_half))
    if runs < MIN_RUNS:
        return Findings({"quality": missing(f"at least {2 * MIN_RUNS} shadow runs are needed, not {len(retrained)}")})
    ours, chosen = _phi_of_members(shadow_runs, runs)
    if not chosen.any():
        return Findings({"quality": missing(f"no record was forgotten in {runs} runs; more runs are needed")})
    quality = mean(forgetting_quality(ours, first_half[:runs, chosen], delta), at_least=0.0)
    floor = mean(forgetting_quality(second_half[:runs, chosen], first_half[:runs, chosen], delta), at_least=0.0)
    ratio = quality.value / floor.value if quality.value is not None and floor.value else None
    relative = Estimate(value=ratio, n=quality.n, reason=None if ratio is not None else "retraining scores 0")
    return Findings({"quality": quality, "retrain_retrain": floor, "ratio": relative})


def _phi_of_members(pool: Pool, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return phi (runs, chosen) in runs with the record as a member, and the mask of records with enough such runs."""
    chosen = pool.members.sum(axis=0) >= runs
    columns = [pool.phi[pool.members[:, i], i][:runs] for i in np.flatnonzero(chosen)]
    return np.column_stack(columns) if columns else np.empty((runs, 0)), chosen
