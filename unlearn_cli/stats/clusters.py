"""Standard errors for clustered records: windows of one recording, visits of one person. No torch.

Records of a cluster are similar, so n of them contain less information than n independent ones. The variance is that of
the jackknife over clusters, in the form that uses each record's influence (CR3: unbiased or too large, also for
clusters of unequal sizes), with a t quantile. Its degrees of freedom are one less than the effective number of clusters
(Kish 1965), n^2 / sum of squared sizes, which is the number of clusters if all have equal sizes.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import norm, t

from unlearn_cli.console import pluralize
from unlearn_cli.stats.margins import CONFIDENCE, MIN_CLUSTERS


@dataclass(frozen=True)
class Clusters:
    """The cluster of each record, numbered from 0."""

    codes: np.ndarray  # (n,)
    sizes: np.ndarray  # (clusters,)

    @property
    def count(self) -> int:
        return len(self.sizes)

    @cached_property
    def effective(self) -> float:
        """The number of equally large clusters with equal information; near 1 if one has nearly all records."""
        return float(self.sizes.sum()) ** 2 / float(np.square(self.sizes, dtype=np.float64).sum())

    @property
    def freedom(self) -> float:
        return max(self.effective - 1, 1.0)

    def totals(self, values: np.ndarray) -> np.ndarray:
        """Return the sum (clusters,) of the values of each cluster's records."""
        return np.bincount(self.codes, values, minlength=self.count)

    def compute_jackknife_deviations(self, influence: np.ndarray) -> np.ndarray:
        """Return the jackknife's deviations (clusters,), scaled so that the sum of their squares is the variance."""
        scale = math.sqrt((self.count - 1) / self.count)
        return scale * self.totals(influence) / (len(self.codes) - self.sizes)

    def variance(self, influence: np.ndarray) -> float:
        """Return the variance of a mean from the influence (n,) of each record; the influences sum to 0."""
        return float(np.square(self.compute_jackknife_deviations(influence)).sum())


def number_clusters(groups: np.ndarray) -> Clusters:
    """Number the clusters of records (n,), which may be given by any values."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return Clusters(codes.reshape(-1), sizes)


def explain_too_few(*sides: Clusters) -> str | None:
    """Return the reason for a missing interval if a side has too few clusters."""
    count = min(side.count for side in sides)
    if count >= MIN_CLUSTERS:
        return None
    return f"no interval: {pluralize(count, 'cluster is', 'clusters are')} too few, at least {MIN_CLUSTERS} are needed"


@dataclass(frozen=True)
class EffectiveShare:
    """A share of clustered records, expressed as a share of `n` independent records; n need not be an integer."""

    value: float
    n: float
    design_effect: float | None

    @property
    def hits(self) -> float:
        return self.value * self.n


def measure_effective_share(hits: np.ndarray, clusters: Clusters) -> EffectiveShare:
    """Return the share of hits (n,) with the number of independent records that gives an equally wide interval.

    Korn & Graubard 1998: n is divided by the design effect, and by (t / z)^2 because it is estimated from few clusters.
    If all records or none are hits, the similarity within clusters is unknown, and each cluster counts as one record.
    """
    n, value = len(hits), float(hits.mean())
    if clusters.count == 1:
        return EffectiveShare(value, 1.0, None)
    independent = value * (1 - value) / n
    variance = clusters.variance(hits - value)
    if independent == 0:
        return EffectiveShare(value, clusters.effective, None)
    effect = variance / independent
    return EffectiveShare(value, n / max(effect, 1.0) * compute_shrinkage(clusters.freedom), effect)


def compute_shrinkage(freedom: float) -> float:
    """Return (z / t)^2, the factor for the number of records that accounts for few clusters."""
    one_sided = (1 + CONFIDENCE) / 2
    return float(norm.ppf(one_sided) / t.ppf(one_sided, freedom)) ** 2


def halves(groups: np.ndarray, other_groups: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one half of the clusters; return the masks of both sides' records in it.

    All records of a cluster are in the same half, also if it has records on both sides. With two or more clusters per
    side, neither half is empty.
    """
    shared = np.intersect1d(groups, other_groups)
    both = len(shared) // 2
    drawn = [random.permutation(shared)[:both]]
    for side in (groups, other_groups):
        only = np.setdiff1d(side, shared)
        drawn.append(random.permutation(only)[: (len(shared) + len(only)) // 2 - both])
    drawn = np.concatenate(drawn)
    return np.isin(groups, drawn), np.isin(other_groups, drawn)


def parts(groups: np.ndarray, count: int, random: np.random.Generator) -> list[np.ndarray]:
    """Divide records into parts with about equal numbers of clusters; return the records of each part, ascending."""
    drawn = np.array_split(random.permutation(np.unique(groups)), count)
    return [np.flatnonzero(np.isin(groups, part)) for part in drawn]
