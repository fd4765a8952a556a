"""The results that an attack returns: one score per record, quantities of the whole network, or both."""

from dataclasses import dataclass, field

import numpy as np

from unlearn_cli.stats.results import Curve, Distribution, Estimate

Groups = tuple[np.ndarray, np.ndarray]  # the clusters of members (m,) and of non-members (n,)


@dataclass(frozen=True)
class Scores:
    """One score per record, higher = 'was trained on'; and the cluster of each record, if records have clusters."""

    members: np.ndarray
    non_members: np.ndarray
    member_groups: np.ndarray | None = None
    non_member_groups: np.ndarray | None = None

    @property
    def groups(self) -> Groups | None:
        """The clusters of both sides; None if the records are independent."""
        if self.member_groups is None or self.non_member_groups is None:
            return None
        return self.member_groups, self.non_member_groups

    def sort(self) -> "Scores":
        """Return sorted scores, so that results do not depend on the order of the records."""
        members, non_members = (np.asarray(part, dtype=np.float64) for part in (self.members, self.non_members))
        if self.groups is None:
            return Scores(np.sort(members), np.sort(non_members))
        orders = [np.lexsort(pair[::-1]) for pair in zip((members, non_members), self.groups, strict=True)]
        return Scores(members[orders[0]], non_members[orders[1]], self.groups[0][orders[0]], self.groups[1][orders[1]])


@dataclass(frozen=True)
class Findings:
    """Named quantities with their curves and warnings; `scores` if there is also one score per record."""

    quantities: dict[str, Estimate]
    scores: Scores | None = None
    informative: bool | None = None  # False: it does not even work on retain and test
    curves: list[Curve] = field(default_factory=list)
    distributions: list[Distribution] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def fold(scores: Scores) -> Scores:
    """Return the distances of all scores from the median of the non-members."""
    centre = float(np.median(scores.non_members)) if len(scores.non_members) else 0.0
    members, non_members = (np.abs(side - centre) for side in (scores.members, scores.non_members))
    return Scores(members, non_members, scores.member_groups, scores.non_member_groups)
