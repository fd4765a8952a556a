"""Standard errors where records come in clusters: windows of one recording, visits of one person. No torch.

Records of a cluster are alike, so n of them tell less than n independent ones. The variance is that of the jackknife
over clusters, in the form that uses each record's influence (CR3: unbiased or too large, also where clusters have
unequal sizes), with a t quantile. Its degrees of freedom are one less than the effective number of clusters (Kish
1965): n^2 / sum of squared sizes, which is the number of clusters where all have one size.
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
    """Which cluster each record belongs to: numbers from 0 on."""

    codes: np.ndarray  # (n,)
    sizes: np.ndarray  # (clusters,)

    @property
    def count(self) -> int:
        return len(self.sizes)

    @cached_property
    def effective(self) -> float:
        """The number of clusters of equal size that tell as much; 1 where one cluster holds nearly all records."""
        return float(self.sizes.sum()) ** 2 / float(np.square(self.sizes, dtype=np.float64).sum())

    @property
    def freedom(self) -> float:
        return max(self.effective - 1, 1.0)

    def totals(self, values: np.ndarray) -> np.ndarray:
        """Return the sum (clusters,) of the values of each cluster's records."""
        return np.bincount(self.codes, values, minlength=self.count)

    def jackknife_deviations(self, influence: np.ndarray) -> np.ndarray:
        """Return the jackknife's deviations (clusters,), scaled so that the sum of their squares is the variance."""
        scale = math.sqrt((self.count - 1) / self.count)
        return scale * self.totals(influence) / (len(self.codes) - self.sizes)

    def variance(self, influence: np.ndarray) -> float:
        """Return the variance of a mean from the influence (n,) of each record, which adds up to 0."""
        return float(np.square(self.jackknife_deviations(influence)).sum())


def clusters_of(groups: np.ndarray) -> Clusters:
    """Number the clusters of records (n,), given by any values."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return Clusters(codes.reshape(-1), sizes)


def too_few(*sides: Clusters) -> str | None:
    """Return why there is no interval, if a side has too few clusters for one."""
    count = min(side.count for side in sides)
    if count >= MIN_CLUSTERS:
        return None
    return f"no interval: {pluralize(count, 'cluster is', 'clusters are')} too few, at least {MIN_CLUSTERS} are needed"


@dataclass(frozen=True)
class EffectiveShare:
    """A share of clustered records as one of `n` independent ones, which need not be a whole number."""

    value: float
    n: float
    design_effect: float | None

    @property
    def hits(self) -> float:
        return self.value * self.n


def effective_share(hits: np.ndarray, clusters: Clusters) -> EffectiveShare:
    """Return the share of hits (n,) with the number of independent records of as wide an interval.

    Korn & Graubard 1998: n is divided by the design effect, and by (t / z)^2 for the few clusters that it is estimated
    from. Where all records are hits, or none is, how alike they are is unknown: then a cluster counts as one record.
    """
    n, value = len(hits), float(hits.mean())
    if clusters.count == 1:
        return EffectiveShare(value, 1.0, None)
    independent = value * (1 - value) / n
    variance = clusters.variance(hits - value)
    if independent == 0:
        return EffectiveShare(value, clusters.effective, None)
    effect = variance / independent
    return EffectiveShare(value, n / max(effect, 1.0) * shrinkage(clusters.freedom), effect)


def shrinkage(freedom: float) -> float:
    """Return (z / t)^2, by which few clusters make the number of records smaller."""
    one_sided = (1 + CONFIDENCE) / 2
    return float(norm.ppf(one_sided) / t.ppf(one_sided, freedom)) ** 2


def halves(groups: np.ndarray, other_groups: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one half of the clusters; return the masks of the records, and of the others, that lie in it.

    A cluster that has records on both sides lies in the same half with all of them. Of two clusters of a side or more,
    neither half is empty.
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
    """Divide records into parts of about equally many clusters; return the records of each, ascending."""
    drawn = np.array_split(random.permutation(np.unique(groups)), count)
    return [np.flatnonzero(np.isin(groups, part)) for part in drawn]
