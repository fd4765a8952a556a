"""From the scores of an attack to its block in the report: the same numbers for every attack."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlearn_cli.errors import UserError
from unlearn_cli.stats import audit, roc
from unlearn_cli.stats.cluster_variance import clusters_of
from unlearn_cli.stats.intervals import CONFIDENCE
from unlearn_cli.stats.results import AttackResult, Estimate

FPRS = (0.001, 0.01, 0.05)
PRIORS = (0.5, 0.1, 0.01)
MARGIN = 0.05  # how far from 1/2 an AUC may lie and still count as equivalent to 1/2 (attacks.md 3.2)
TIES_WORTH_A_WARNING = 0.05
Z_90, Z_POWER_80 = 1.6449, 1.2816  # two one-sided tests at 5 %; both succeed in 80 %: each in 90 %


@dataclass(frozen=True)
class Scores:
    """One score per record, higher = 'was trained on'; and which cluster each belongs to, where they come in some."""

    members: np.ndarray
    non_members: np.ndarray
    member_groups: np.ndarray | None = None
    non_member_groups: np.ndarray | None = None

    @property
    def groups(self) -> roc.Groups | None:
        """The clusters of both sides; None where the records are independent."""
        if self.member_groups is None or self.non_member_groups is None:
            return None
        return self.member_groups, self.non_member_groups

    def ordered(self) -> "Scores":
        """Return them sorted, so that not even the last digit depends on the order of the records."""
        members, non_members = (np.asarray(part, dtype=np.float64) for part in (self.members, self.non_members))
        if self.groups is None:
            return Scores(np.sort(members), np.sort(non_members))
        orders = [np.lexsort(pair[::-1]) for pair in zip((members, non_members), self.groups, strict=True)]
        return Scores(members[orders[0]], non_members[orders[1]], self.groups[0][orders[0]], self.groups[1][orders[1]])


def attack_block(scores: Scores, *, name: str, tier: str, settings: dict[str, Any], seed: int) -> AttackResult:
    """Turn the scores of an attack into its block of numbers; the seed drives the splits into halves."""
    scores = scores.ordered()
    members, non_members, groups = scores.members, scores.non_members, scores.groups
    refuse_non_finite(members, f"attack '{name}': the members' scores")
    refuse_non_finite(non_members, f"attack '{name}': the non-members' scores")
    # a stream each, so that a change in one estimate leaves the other as it was
    accuracy_random, epsilon_random = np.random.default_rng(seed).spawn(2)
    held_out = audit.held_out(members, non_members, accuracy_random, groups)
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
        balanced_accuracy=audit.balanced_accuracy(held_out),
        advantage=audit.advantage(held_out),
        max_advantage=audit.max_advantage(members, non_members),
        epsilon_lower_bound=audit.epsilon_lower_bound(members, non_members, epsilon_random, groups=groups),
        epsilon_confidence=CONFIDENCE,
        epsilon_max_attainable=audit.epsilon_ceiling(*_most(scores)),
        ppv_at_prior={f"{prior:g}": audit.ppv_at_prior(held_out, prior) for prior in PRIORS},
        ties_share=ties,
        seed=seed,
        settings=settings,
        roc=roc.roc_points(members, non_members),
        histogram=roc.histogram(members, non_members),
        warnings=_warnings(len(members), len(non_members), ties, area),
    )


def _most(scores: Scores) -> tuple[int, int]:
    """Return as how many records each side counts where all of them are hits: its clusters, if it has some."""
    if scores.groups is None:
        return len(scores.members), len(scores.non_members)
    members, non_members = (int(clusters_of(part).effective) for part in scores.groups)
    return members, non_members


def refuse_non_finite(values: np.ndarray, what: str) -> None:
    """Raise a UserError when some values are NaN or infinite."""
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        raise UserError(
            f"{what}: {bad} of {values.size} are not finite (NaN or infinity); a model that puts out such numbers"
            " cannot be attacked, and has most likely diverged"
        )


def _warnings(m: int, n: int, ties: float, area: Estimate) -> list[str]:
    """Return what a reader must know before trusting the numbers."""
    warnings = [_power(m, n, area)] if min(m, n) else ["no members or no non-members: nothing could be measured"]
    unresolved = [fpr for fpr in FPRS if n * fpr < 1 - 1e-9]
    if n and unresolved:
        rates = ", ".join(f"{fpr:.3g}" for fpr in unresolved)
        warnings.append(f"TPR at FPR {rates} is null: {n} non-members, needed {math.ceil(1 / min(unresolved))}")
    if ties > TIES_WORTH_A_WARNING:
        warnings.append(f"{ties:.1%} of all member/non-member pairs have equal scores: TPR at a low FPR is understated")
    return [warning for warning in warnings if warning]


def _power(m: int, n: int, area: Estimate) -> str:
    """Say whether an AUC of exactly 1/2 could be shown to lie within the margin: SD = sqrt((m + n + 1) / (12 m n)).

    The design effect of clusters makes the variance larger.
    """
    spread = math.sqrt((m + n + 1) / (12 * m * n) * max(area.design_effect or 1.0, 1.0))
    sizes = f"{m} members and {n} non-members"
    if area.clusters is not None:
        effect = "unknown" if area.design_effect is None else f"{area.design_effect:.3g}"
        sizes += f" of {area.clusters} clusters (design effect {effect})"
        if area.low is None:
            return f"{sizes}: {area.reason}"
    if Z_90 * spread > MARGIN:
        return f"{sizes} cannot show that the AUC lies within {MARGIN:g} of 1/2: 181 + 181 are the least"
    if (Z_90 + Z_POWER_80) * spread > MARGIN:
        return f"{sizes} may miss that the AUC lies within {MARGIN:g} of 1/2: 572 + 572 give 80 % power"
    return ""
