"""Canaries: U-LiRA on records with a random wrong label, and a lower bound on epsilon of the pipeline.

Idea: a wrong label can only come from training, so U-LiRA on canaries is the strictest test. Their membership is random
in every run, so lower bounds on epsilon of training and unlearning together can be computed: from a threshold chosen on
one half of the runs and counted on the other (Clopper-Pearson), and from the guesses in single runs. Source: Jagielski
et al. 2020; Steinke et al. 2023, arXiv 2305.08846. Needs shadow runs; without canaries in them, all records are used.
Warning: these are lower bounds: a small one does not prove privacy. The pairs of one run share a network, which the
first bound ignores.
"""

from typing import Annotated

import numpy as np
from pydantic import PositiveFloat

from unlearn_cli.learning.shadows import Pool
from unlearn_cli.plugins.types import Doc, Fraction
from unlearn_cli.stats.advantage import epsilon_lower_bound
from unlearn_cli.stats.auc_over_runs import clustered_auc
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.lira_scores import likelihood_ratios
from unlearn_cli.stats.one_run import count_guesses, epsilon_one_run
from unlearn_cli.stats.results import Estimate

SUMMARY = "U-LiRA on wrong labels; lower bounds on epsilon"
TIER = "audit"
ORDER = 4  # within the tier, cheapest first


def canaries(
    shadow_runs: Pool,
    seed: int,
    *,
    guess_share: Annotated[Fraction, Doc("share of the records to guess at each end of the scores")] = 0.1,
    confidence: Annotated[Fraction, Doc("confidence level of the bounds")] = 0.95,
    max_epsilon: Annotated[PositiveFloat, Doc("largest reported epsilon of a single run")] = 20.0,
) -> Findings:
    """Return the AUC on canaries and on the other records, and both bounds; `guess_share` is the share of each end."""
    members = shadow_runs.members
    scores = likelihood_ratios(members, shadow_runs.phi)
    chosen = shadow_runs.canaries if shadow_runs.canaries.any() else np.ones(members.shape[1], dtype=bool)
    scored = chosen & ~np.isnan(scores).any(axis=0)
    if not scored.any():
        return Findings({"auc": missing("no record was in enough runs")})
    quantities = {"auc": clustered_auc(members[:, scored], scores[:, scored])}
    if not chosen.all():
        quantities["auc_others"] = clustered_auc(members[:, ~chosen], scores[:, ~chosen])
    inside, outside = scores[:, scored][members[:, scored]], scores[:, scored][~members[:, scored]]
    random = np.random.default_rng(seed)
    bound = epsilon_lower_bound(inside, outside, random, confidence=confidence)
    single = [
        _epsilon_of_run(scores[k, scored], members[k, scored], guess_share, confidence, max_epsilon)
        for k in range(len(members))
    ]
    quantities["epsilon"] = bound
    quantities["epsilon_one_run"] = Estimate(
        value=float(np.median(single)),
        n=int(scored.sum()),
        low=min(single),
        high=max(single),
        runs=len(single),
        interval="range over runs, median first",
    )
    warnings = ["epsilon is a lower bound, of training and unlearning together (pipeline_unlearning)"]
    if not shadow_runs.canaries.any():
        warnings.append("the shadow runs have no canaries; all audited records were used")
    return Findings(quantities, warnings=warnings)


def _epsilon_of_run(
    scores: np.ndarray, members: np.ndarray, guess_share: float, confidence: float, max_epsilon: float
) -> float:
    guesses, right = count_guesses(scores, members, guess_share)
    return min(max_epsilon, epsilon_one_run(len(scores), guesses, right, confidence=confidence))
