"""Rank matching of residuals: how far from its label a network that never saw a record would predict it.

Idea: the residuals of records that a network was trained on are smaller than those of never-seen records. A forgotten
record keeps its rank among the trained ones, and gets the size of residual that never-seen records have at this rank.
Its target is moved away from the label, on the side on which the network already was:

    u(x)      = share of the records of `retain` whose |r0| is below |r0(x)|           r0 = original(x) - y, once
    target(x) = y + sign(r0(x)) Q(u(x))      Q = quantiles of |M(x') - y'| over held-out records x', taken repeatedly

The ranks are those among retain, not among the forgotten records: a forgotten group that is harder than the other
records stays harder. Q is taken anew from the network M that is trained ("moving" quantiles).

Source: rank matching of confidences for classification (learning.rank_matching), of which this is the counterpart for
regression. Warning: it assumes that never-seen records like the forgotten ones are predicted as well as the others.
After a whole range of labels is forgotten, this does not hold: see unlearn_cli.stats.representation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ResidualRanks:
    """The labels (n,) of the forgotten records, the signs (n,) of their residuals, and their levels (n,) in [0, 1]."""

    labels: Tensor
    signs: Tensor
    levels: Tensor

    def targets(self, never_seen: Tensor) -> Tensor:
        """Return the target (n,) of each forgotten record, in the unit of the labels.

        `never_seen` are the residuals (h,) of the network on held-out records; their signs are not used.
        """
        return self.labels + self.signs * interpolate_quantiles(never_seen.abs(), self.levels)


def rank_residuals(outputs: Tensor, labels: Tensor, retain_residuals: Tensor) -> ResidualRanks:
    """Rank the forgotten records by the size of their residuals.

    Args:
        outputs: the original's outputs (n,) on the forgotten records.
        labels: their labels (n,).
        retain_residuals: the original's residuals (m,) on records of retain; their signs are not used.
    """
    residuals = outputs - labels
    signs = torch.where(residuals < 0, -1.0, 1.0).to(labels)
    return ResidualRanks(labels, signs, find_levels(residuals.abs(), retain_residuals.abs()))


def find_levels(values: Tensor, among: Tensor) -> Tensor:
    """Return the share (n,) of the numbers `among` (m,) that are below each value; equal ones count one half."""
    order = among.sort().values
    below, not_above = (torch.searchsorted(order, values, right=right) for right in (False, True))
    return (below + not_above).to(values) / (2 * len(order))


def interpolate_quantiles(values: Tensor, levels: Tensor) -> Tensor:
    """Return the quantiles (n,) of the numbers `values` (h,) at the levels (n,).

    The i-th smallest of h numbers is the quantile at (i - 1/2) / h, and quantiles between these are interpolated
    linearly. So `find_levels` of a number among others, and the quantile of the others at this level, agree.
    """
    order = values.sort().values
    positions = (levels * len(order) - 0.5).clamp(0, len(order) - 1)
    lower = positions.floor().long()
    upper = (lower + 1).clamp(max=len(order) - 1)
    return torch.lerp(order[lower], order[upper], positions - lower)
