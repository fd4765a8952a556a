"""Errors of a quantity of one network relative to that of K retrained references.

The judged network is fixed. So only the mean of the references is uncertain when it is shown to be within a margin. To
be shown beyond it, it must also differ by more than one more reference does by chance.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from unlearn_cli.stats.clusters import number_clusters
from unlearn_cli.stats.margins import CONFIDENCE
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import welch


@dataclass(frozen=True)
class StandardError:
    """The error of an estimate: t with this standard error and degrees of freedom."""

    spread: float
    freedom: float

    def cdf(self, error: float) -> float:
        """Return the probability of an error up to this one; without any variation, 0 or 1."""
        return float(t.cdf(error / self.spread, self.freedom)) if self.spread else float(error >= 0)

    def half_width(self) -> float:
        """Return half of the width of the two-sided interval."""
        return float(t.ppf((1 + CONFIDENCE) / 2, self.freedom)) * self.spread


def combine_errors(of_records: float, freedom: float, of_runs: float, runs: int) -> StandardError:
    """Return the error with the variances over the records and over the references; its freedom is Welch's."""
    if of_runs:
        freedom = welch([of_records, of_runs], [freedom, runs - 1.0])
    return StandardError(math.sqrt(of_records + of_runs), freedom)


@dataclass(frozen=True)
class LogRatio:
    """log(quantity / geometric mean of that of the references), with its variances."""

    value: float
    n: int
    runs: int
    of_records: float  # variance over the records or clusters
    of_references: float  # variance of one reference
    freedom: float  # of the variance over the records

    @property
    def passing(self) -> StandardError:
        """The error with the uncertainty of the references' mean."""
        return combine_errors(self.of_records, self.freedom, self.of_references / self.runs, self.runs)

    @property
    def failing(self) -> StandardError:
        """The error with the variation of one more reference, too."""
        return combine_errors(self.of_records, self.freedom, self.of_references * (1 + 1 / self.runs), self.runs)

    def estimate(self) -> Estimate:
        """Return the ratio with its interval."""
        half = self.passing.half_width()
        return Estimate(
            value=math.exp(self.value),
            n=self.n,
            low=math.exp(self.value - half),
            high=math.exp(self.value + half),
            runs=self.runs,
            interval="t on the log scale, with the variation between references",
        )


def variance_of_log_mean(values: np.ndarray, groups: np.ndarray | None) -> tuple[float, float]:
    """Return the variance of log(mean of values (n,)) by the delta method, and its degrees of freedom.

    With clusters (`groups`), it is that of the jackknife over clusters.
    """
    return variance_of_mean(values / values.mean(), groups)


def variance_of_mean(values: np.ndarray, groups: np.ndarray | None) -> tuple[float, float]:
    """Return the variance of the mean of values (n,), n >= 2, and its freedom; with clusters, that of the jackknife."""
    if groups is None:
        return float(values.var(ddof=1)) / len(values), len(values) - 1.0
    clusters = number_clusters(groups)
    return clusters.variance(values - values.mean()), clusters.freedom
