"""The results of metrics and attacks, as a report holds them."""

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
    interval: str | None = Field(default=None, description="how the interval was computed, 'wilson' for example")
    reason: str | None = Field(default=None, description="why there is no value, or no interval")
    sd: float | None = Field(default=None, description="standard deviation over the runs")
    runs: int | None = Field(default=None, description="how many references, or repeats, it is a mean of")
    clusters: int | None = Field(
        default=None, description="persons or recordings that the n records belong to; null: independent records"
    )
    design_effect: float | None = Field(
        default=None, description="the variance with clusters as a multiple of that of n independent records"
    )
    degrees_of_freedom: float | None = Field(default=None, description="of the t interval over the clusters")


class Curve(Part):
    """A number over the steps of one phase, such as a loss."""

    phase: str
    name: str
    values: list[float | None]


class Rates(Part):
    """The share of members that are called members at a false-positive rate, by counts (attacks.md section 1.0)."""

    fpr: float
    tpr: Estimate
    tpr_mirrored: Estimate = Field(description="with the lowest scores called member")
    false_positives: int | None = Field(description="non-members above the threshold; ties may keep it under FPR x n")
    false_positives_mirrored: int | None = None
    null: float | None = Field(description="the share expected of an attack without information: (k + 1) / (n + 1)")
    low_resolution: bool = False


class AttackResult(Part):
    """The numbers that every attack yields; higher scores mean 'was trained on'."""

    name: str
    role: str = Field(default="subject", description="which checkpoint was attacked")
    tier: str
    members: str = "forget"
    non_members: str = "holdout"
    num_members: int
    num_non_members: int
    auc: Estimate
    auc_deviation: Estimate = Field(description="|AUC - 1/2|, the quantity to judge: both directions are leakage")
    rates: list[Rates]
    balanced_accuracy: Estimate
    advantage: Estimate
    max_advantage: Estimate = Field(
        description="the Kolmogorov-Smirnov statistic: optimistic, its threshold saw the data"
    )
    epsilon_lower_bound: Estimate
    epsilon_kind: str = "descriptive"
    epsilon_confidence: float = CONFIDENCE
    epsilon_delta: float = 0.0
    epsilon_max_attainable: float | None = Field(
        default=None, description="the bound a perfect attack reaches with so few records"
    )
    ppv_at_prior: dict[str, float | None]
    ties_share: float
    direction: str = "two-sided"
    seed: int = Field(default=0, description="of the splits into a choosing and a scoring half")
    settings: dict[str, Any] = Field(default_factory=dict)
    roc: list[tuple[float, float]] = Field(
        default_factory=list, description="(FPR, TPR) points, thinned for the picture"
    )
    histogram: dict[str, list[float]] = Field(
        default_factory=dict, description="edges, members and non_members: shares per bin"
    )
    warnings: list[str] = Field(default_factory=list)


class Finding(Part):
    """The quantities of a probe that scores no single records: relearning, a linear probe, a test with references."""

    name: str
    role: str = Field(default="subject", description="which checkpoint was probed")
    tier: str
    quantities: dict[str, Estimate]
    informative: bool | None = Field(
        default=None, description="false: the probe cannot tell members from others even where it was fitted"
    )
    curves: list[Curve] = Field(default_factory=list)
    settings: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    warnings: list[str] = Field(default_factory=list)


class Skipped(Part):
    """An attack or metric that was not run, and why; not the same as an attack that detects nothing."""

    name: str
    reason: str


class Comparison(Part):
    """A metric compared with the references: is the difference larger than that between two retrainings?"""

    split: str
    metric: str
    n_references: int
    reference: float | None = Field(default=None, description="the references' mean; of a distance: between references")
    reference_sd: float | None = None
    units_of_sd: float | None = Field(default=None, description="(subject - reference) / reference_sd")
    normalised: float | None = Field(
        default=None,
        description="(subject - reference) / (original - reference): 0 like retraining, 1 like not unlearning",
    )
    reason: str | None = Field(default=None, description="why 'normalised' or 'units_of_sd' is null")


class Confusion(Part):
    """Counts of the predicted classes of a split. One class that takes all records exposes the forgotten class."""

    split: str
    role: str
    n: int
    counts: dict[str, int] = Field(description="predicted class -> records")
    largest_share: Estimate


class Layer(Part):
    """The distance of one tensor from that of the original, absolute and relative to the original's norm."""

    name: str
    kind: Literal["parameter", "buffer"]
    distance: float
    relative: float | None = Field(description="null where the original's norm is 0")


class Cost(Part):
    """Work done, in numbers that do not depend on the machine."""

    samples_forward: int = 0
    samples_backward: int = 0
    optimizer_steps: int = 0
