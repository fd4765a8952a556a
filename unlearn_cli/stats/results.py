"""The results of metrics and attacks, as in a report."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from unlearn_cli.stats.margins import CONFIDENCE


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Estimate(Part):
    """A number with its sample size and 95 % interval, or null with the reason."""

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    interval: str | None = Field(default=None, description="how the interval was computed, such as 'wilson'")
    reason: str | None = Field(default=None, description="the reason for a missing value or interval")
    sd: float | None = Field(default=None, description="standard deviation over the runs")
    runs: int | None = Field(default=None, description="number of references or repeats that were averaged")
    clusters: int | None = Field(
        default=None, description="number of persons or recordings among the n records; null: independent records"
    )
    design_effect: float | None = Field(
        default=None, description="variance with clusters divided by the variance of n independent records"
    )
    degrees_of_freedom: float | None = Field(default=None, description="of the t interval over the clusters")


class Curve(Part):
    """A number over the steps of one phase, such as a loss."""

    phase: str
    name: str
    values: list[float | None]


class Distribution(Part):
    """A number per record, as quantiles over the records of a group."""

    quantity: str
    series: str = Field(description="the records or the networks: forget, left-out references, ...")
    n: int
    levels: list[float] = Field(description="shares of the records, ascending")
    values: list[float] = Field(description="the quantile at each level")


class Rates(Part):
    """The true-positive rate of an attack at a false-positive rate, computed from counts."""

    fpr: float
    tpr: Estimate
    tpr_mirrored: Estimate = Field(description="with the lowest scores called members")
    false_positives: int | None = Field(description="non-members above the threshold; with ties below FPR x n")
    false_positives_mirrored: int | None = None
    null: float | None = Field(description="the rate expected of an attack without information: (k + 1) / (n + 1)")
    low_resolution: bool = False


class AttackResult(Part):
    """The numbers of an attack with one score per record; higher scores mean 'was trained on'."""

    name: str
    role: str = Field(default="subject", description="the checkpoint that was attacked")
    tier: str
    members: str = "forget"
    non_members: str = "holdout"
    num_members: int
    num_non_members: int
    auc: Estimate
    auc_deviation: Estimate = Field(description="|AUC - 1/2|, the judged quantity: both directions are leakage")
    rates: list[Rates]
    balanced_accuracy: Estimate
    advantage: Estimate
    max_advantage: Estimate = Field(
        description="the Kolmogorov-Smirnov statistic; optimistic, because its threshold is chosen on the same records"
    )
    epsilon_lower_bound: Estimate
    epsilon_kind: str = "descriptive"
    epsilon_confidence: float = CONFIDENCE
    epsilon_delta: float = 0.0
    epsilon_max_attainable: float | None = Field(
        default=None, description="the bound of a perfect attack with this number of records"
    )
    ppv_at_prior: dict[str, float | None]
    ties_share: float
    direction: str = "two-sided"
    seed: int = Field(default=0, description="of the splits into halves for choosing and scoring")
    settings: dict[str, Any] = Field(default_factory=dict)
    roc: list[tuple[float, float]] = Field(default_factory=list, description="(FPR, TPR) points, thinned for the chart")
    histogram: dict[str, list[float]] = Field(
        default_factory=dict, description="edges of the bins; members and non_members: shares per bin"
    )
    warnings: list[str] = Field(default_factory=list)


class Finding(Part):
    """The quantities of an attack on the whole network: relearning, a linear probe, a test with references."""

    name: str
    role: str = Field(default="subject", description="the checkpoint that was attacked")
    tier: str
    quantities: dict[str, Estimate]
    informative: bool | None = Field(
        default=None, description="false: the attack does not work even on retain and test, so its result is void"
    )
    curves: list[Curve] = Field(default_factory=list)
    distributions: list[Distribution] = Field(default_factory=list, description="numbers per record, as quantiles")
    settings: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    warnings: list[str] = Field(default_factory=list)


class Skipped(Part):
    """An attack or metric that was not run, with the reason; this differs from an attack that detects nothing."""

    name: str
    reason: str


class Comparison(Part):
    """A metric compared with the references, relative to the differences between retrainings."""

    split: str
    metric: str
    n_references: int
    reference: float | None = Field(
        default=None, description="mean of the references; for a distance, the mean between references"
    )
    reference_sd: float | None = None
    units_of_sd: float | None = Field(default=None, description="(subject - reference) / reference_sd")
    normalised: float | None = Field(
        default=None,
        description="(subject - reference) / (original - reference): 0 as retraining, 1 as without unlearning",
    )
    reason: str | None = Field(default=None, description="the reason if 'normalised' or 'units_of_sd' is null")


class Confusion(Part):
    """Counts of the predicted classes of a split. Equal predictions for all records reveal the forgotten class."""

    split: str
    role: str
    n: int
    counts: dict[str, int] = Field(description="predicted class -> records")
    largest_share: Estimate


class LabelScore(Part):
    """The scores of one label of multilabel records on a split; null where no record has the label."""

    split: str
    role: str
    label: str
    n: int
    num_with_label: int = Field(description="records of the split that have the label")
    f1: Estimate = Field(description="a label is predicted if its logit is above 0")
    average_precision: Estimate


class Layer(Part):
    """The distance of one tensor from the original's, absolute and relative to the norm of the original's."""

    name: str
    kind: Literal["parameter", "buffer"]
    distance: float
    relative: float | None = Field(description="null if the original's norm is 0")


class Cost(Part):
    """The work of a run, in numbers that do not depend on the machine."""

    samples_forward: int = 0
    samples_backward: int = 0
    optimizer_steps: int = 0
    epochs: float | None = Field(
        default=None,
        description="of 'unlearn': the samples backward through the network (not through others that the method "
        "trains) as epochs over retain; null if the method does not read retain",
    )
    original_epochs: float | None = Field(
        default=None, description="of 'unlearn': epochs of the original's training and of earlier unlearning"
    )
    epochs_reason: str | None = Field(
        default="only 'unlearn' counts epochs", description="why a number of epochs is null"
    )
