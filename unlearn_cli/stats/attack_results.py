"""Summarizes the scores of an attack; the quantities are the same for every attack."""

import math
from typing import Any

import numpy as np

from unlearn_cli.errors import UserError
from unlearn_cli.stats import advantage, roc
from unlearn_cli.stats.clusters import number_clusters
from unlearn_cli.stats.findings import Scores
from unlearn_cli.stats.margins import AUC_MARGIN, CONFIDENCE, Z_PASS, Z_POWER_80
from unlearn_cli.stats.power import auc_power, count_records
from unlearn_cli.stats.results import AttackResult, Estimate

FPRS = (0.001, 0.01, 0.05)
PRIORS = (0.5, 0.1, 0.01)
MAX_TIES_WITHOUT_WARNING = 0.05  # share of all pairs


def summarize_scores(
    scores: Scores, *, name: str, tier: str, settings: dict[str, Any], seed: int, auc_margin: float = AUC_MARGIN
) -> AttackResult:
    """Compute the result of an attack from its scores; the seed drives the splits into halves.

    `auc_margin`: largest distance of an AUC from 1/2 that counts as equal; too few records for it give a warning.
    """
    scores = scores.sort()
    members, non_members, groups = scores.members, scores.non_members, scores.groups
    refuse_non_finite(members, f"attack '{name}': the members' scores")
    refuse_non_finite(non_members, f"attack '{name}': the non-members' scores")
    # one random stream per estimate, so that they are independent of each other
    accuracy_random, epsilon_random = np.random.default_rng(seed).spawn(2)
    held_out = advantage.measure_held_out_rates(members, non_members, accuracy_random, groups)
    area = roc.auc(members, non_members, groups)
    ties = roc.ties_share(members, non_members)
    return AttackResult(
        name=name,
        tier=tier,
        num_members=len(members),
        num_non_members=len(non_members),
        auc=area,
        auc_deviation=roc.auc_deviation(area),
        rates=[roc.tpr_at_fpr(members, non_members, fpr, groups) for fpr in FPRS],
        balanced_accuracy=advantage.balanced_accuracy(held_out),
        advantage=advantage.advantage(held_out),
        max_advantage=advantage.max_advantage(members, non_members),
        epsilon_lower_bound=advantage.epsilon_lower_bound(members, non_members, epsilon_random, groups=groups),
        epsilon_confidence=CONFIDENCE,
        epsilon_max_attainable=advantage.epsilon_ceiling(*_count_effective(scores)),
        ppv_at_prior={f"{prior:g}": advantage.ppv_at_prior(held_out, prior) for prior in PRIORS},
        ties_share=ties,
        seed=seed,
        settings=settings,
        roc=roc.roc_points(members, non_members),
        histogram=roc.histogram(members, non_members),
        warnings=_list_warnings(len(members), len(non_members), ties, area, auc_margin),
    )


def _count_effective(scores: Scores) -> tuple[int, int]:
    """Return the effective number of records per side if all of them are hits: the effective number of clusters."""
    if scores.groups is None:
        return len(scores.members), len(scores.non_members)
    members, non_members = (int(number_clusters(part).effective) for part in scores.groups)
    return members, non_members


def refuse_non_finite(values: np.ndarray, name: str) -> None:
    """Refuse values that are NaN or infinite.

    Raises:
        UserError: with their number.
    """
    num_bad = int(values.size - np.isfinite(values).sum())
    if num_bad:
        raise UserError(
            f"{name}: {num_bad} of {values.size} are not finite (NaN or infinity); the model has most likely diverged "
            "and cannot be attacked"
        )


def _list_warnings(m: int, n: int, ties: float, area: Estimate, margin: float) -> list[str]:
    """Return warnings about the reliability of the numbers."""
    nothing = "no members or no non-members: nothing was measured"
    warnings = [_warn_about_power(m, n, area, margin) if min(m, n) else nothing]
    unresolved = [fpr for fpr in FPRS if n * fpr < 1 - 1e-9]
    if n and unresolved:
        rates = ", ".join(f"{fpr:.3g}" for fpr in unresolved)
        warnings.append(f"TPR at FPR {rates} is null: {n} non-members, needed {math.ceil(1 / min(unresolved))}")
    if ties > MAX_TIES_WITHOUT_WARNING:
        warnings.append(f"{ties:.1%} of all member/non-member pairs have equal scores: TPR at a low FPR is understated")
    return [warning for warning in warnings if warning]


def _warn_about_power(m: int, n: int, area: Estimate, margin: float) -> str:
    """Return a warning if too few records could show that an AUC of exactly 1/2 is within the margin, else ''."""
    sizes = f"{m} members and {n} non-members"
    if area.clusters is not None:
        effect = "unknown" if area.design_effect is None else f"{area.design_effect:.3g}"
        sizes += f" of {area.clusters} clusters (design effect {effect})"
        if area.low is None:
            return f"{sizes}: {area.reason}"
    power = auc_power(m, n, area.design_effect or 1.0, margin)
    claim = f"that the AUC is within {margin:g} of 1/2"
    to_pass, for_power_80 = count_records(margin, Z_PASS), count_records(margin, Z_PASS + Z_POWER_80)
    if power == "none":
        return f"{sizes} cannot show {claim}: at least {to_pass} + {to_pass} are needed"
    if power == "low":
        return f"{sizes} may fail to show {claim}: {for_power_80} + {for_power_80} give 80 % power"
    return ""
