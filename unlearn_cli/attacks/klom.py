"""KLoM: per record, how far its margins under unlearned networks are from those under retrained networks.

    KLoM_i = KL( phi_i over unlearned networks || phi_i over retrained networks ), in nats

Idea: if unlearning is like retraining, each record's phi has the same distribution over both, not only the same mean.
It is computed with the networks of shadow runs in which the record was trained on and then forgotten, and with the
networks retrained without it in the other runs; the same for never-seen records, and for retained records. With 50
networks on a side or more the divergence is of histograms (20 bins over the range of both sides, an empty bin of the
retrained side counts as 1e-5), with fewer that of fitted normal distributions.

Source: Georgiev et al. 2024, arXiv 2410.23232; the binning is that of the code of EasyDUB, arXiv 2602.16400. Needs
shadow runs, one network per run and side: from one unlearned checkpoint it cannot be computed. Warning: samples of
equal distributions differ too: a perfect method has a 95th percentile of 0.67 with 100 networks per side and of about 9
with 8. Only the comparison with `*_floor` (two halves of the retrained networks, the same numbers of networks) has a
meaning. It judges the recipe, not the delivered file.
"""

from collections.abc import Callable

import numpy as np

from unlearn_cli.learning.shadows import Pool, ShadowRuns
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.margin_divergence import MIN_BINNED, Side, is_binned, jackknife_over_runs, measure_divergence
from unlearn_cli.stats.quantiles import describe_distribution
from unlearn_cli.stats.results import Distribution, Estimate

SUMMARY = "divergence of each record's margins from retraining's"
TASK = ("classification", "regression", "multilabel")
TIER = "audit"
ORDER = 6  # within the tier, cheapest first

NORMAL = "fewer than {least} networks per side: of fitted normal distributions, not binned"
Sides = tuple[Side, Side, Side]  # this stage, the retrained networks it is compared with, other retrained networks
SUMMARIES: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda divergences: float(divergences.mean()),
    "p95": lambda divergences: float(np.quantile(divergences, 0.95)),
}


def klom(shadow_runs: Pool, all_shadow_runs: ShadowRuns, retained_shadow_runs: Pool | None) -> Findings:
    """Return mean and 95th percentile over records that were forgotten, never seen and retained, each with its floor.

    The floor replaces the unlearned networks by retrained networks of the same runs.
    """
    quantities: dict[str, Estimate] = {}
    distributions: list[Distribution] = []
    groups = divide_runs(shadow_runs, all_shadow_runs)
    if retained_shadow_runs is not None and all_shadow_runs.retained is not None:
        groups["retain"] = divide_runs_of_retained(retained_shadow_runs, all_shadow_runs.retained)
    for name, (ours, theirs, others) in groups.items():
        measured, floors = (jackknife_over_runs(side, theirs, SUMMARIES) for side in (ours, others))
        for summary in SUMMARIES:
            quantities |= {f"{name}_{summary}": measured[summary], f"{name}_{summary}_floor": floors[summary]}
        distributions += describe_distribution("KLoM", name, measure_divergence(ours, theirs))
        distributions += describe_distribution("KLoM", f"{name}, floor", measure_divergence(others, theirs))
    is_small = not all(is_binned(ours, theirs) for ours, theirs, _ in groups.values())
    warnings = [NORMAL.format(least=MIN_BINNED)] if is_small else []
    return Findings(quantities, distributions=distributions, warnings=warnings)


def divide_runs(pool: Pool, runs: ShadowRuns) -> dict[str, Sides]:
    """Return the sides of forgotten records (members of the run) and of never-seen ones (no members).

    The retrained networks are those of the other runs, so that both sides of a record have no run in common.
    """
    retrained = runs.of("reference").phi
    return {
        "forget": _make_sides(pool.phi, retrained, pool.members, ~pool.members),
        "never_seen": _make_sides(pool.phi, retrained, ~pool.members, pool.members),
    }


def divide_runs_of_retained(pool: Pool, runs: ShadowRuns) -> Sides:
    """Return the sides of retained records: members in both networks of a run, compared with every second of them."""
    ranks = np.cumsum(pool.members, axis=0) * pool.members  # 1, 2, ... for the runs with the record as a member
    first, second = (ranks % 2 == 1), (ranks % 2 == 0) & pool.members
    return _make_sides(pool.phi, runs.of("reference").phi, first, second)


def _make_sides(phi: np.ndarray, retrained: np.ndarray, chosen: np.ndarray, others: np.ndarray) -> Sides:
    return Side(chosen, phi), Side(others, retrained), Side(chosen, retrained)
