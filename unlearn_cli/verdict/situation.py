"""The numbers that decide a gate before a run, and what is expected of the data. No SciPy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from unlearn_cli.schema.literals import Task
from unlearn_cli.stats.margins import AUC_MARGIN, LEVEL


@dataclass(frozen=True)
class Expectations:
    """What is assumed of the data, or read from the reports next to the references.

    Attributes:
        accuracy: of a retrained network on never-seen records.
        gain_on_retain: accuracy on retained records minus that on never-seen ones; of a regression, the same of errors,
            relative.
        accuracy_sd: standard deviation of the accuracy between trainings, beyond that of single records.
        error_variation: standard deviation over the records of the difference of two networks' errors / mean error.
        error_sd: standard deviation between trainings of the logarithm of a mean error.
        range_sd: the same of the ratio of the errors on a forgotten range and on other records.
        similarity: correlation of the scores of records of one cluster.
        audit_sd: standard deviation of U-LiRA's AUC of one shadow run.
        distribution_sd: standard deviation between trainings of the logarithm of the distance of class distributions.
        relearning_sd: the same of the relearning steps.
    """

    accuracy: float = 0.9
    gain_on_retain: float = 0.02
    accuracy_sd: float = 0.003
    error_variation: float = 0.4
    error_sd: float = 0.01
    range_sd: float = 0.1
    similarity: float = 0.1
    audit_sd: float = 0.05
    distribution_sd: float = 0.15
    relearning_sd: float = 0.15
    source: str = "assumed"


@dataclass(frozen=True)
class Situation:
    """The numbers that decide: records and clusters per split (with `holdout`), references, shadow runs."""

    tier: str
    task: Task
    records: Mapping[str, int]
    clusters: Mapping[str, int] = field(default_factory=dict)
    num_references: int = 0
    num_shadow_runs: int = 0
    has_original: bool = False
    whole_classes: bool = False
    holdout_is_matched: bool = True
    attempts: int = 1
    auc_margin: float = AUC_MARGIN
    expectations: Expectations = field(default_factory=Expectations)

    @property
    def level(self) -> float:
        """The level of a pass."""
        return LEVEL / self.attempts

    @property
    def has_references(self) -> bool:
        return self.num_references > 0

    @property
    def num_comparators(self) -> int:
        """The networks that utility is compared with: the references, or the original."""
        return self.num_references or int(self.has_original)

    def count(self, split: str) -> float:
        """Return the number of independent records that the clusters of a split amount to."""
        n = self.records.get(split, 0)
        if not n or split not in self.clusters:
            return float(n)
        size = n / self.clusters[split]
        return n / (1 + (size - 1) * self.expectations.similarity)

    def get_freedom(self, *splits: str) -> float:
        """Return the degrees of freedom of the smallest number of clusters; infinite without clusters."""
        return min((self.clusters[split] - 1.0 for split in splits if split in self.clusters), default=math.inf)
