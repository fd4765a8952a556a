"""The report: its only definition and its only writer. All that varies between two equal runs lies under `run`."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION = "2.1"

Task = Literal["classification", "regression"]
Role = Literal["subject", "original", "reference", "trained"]
Verdict = Literal["passed", "passed_screen", "failed", "inconclusive", "nothing_to_forget", "error"]
Half = Literal["selection", "verdict", "all"]


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


class Checkpoint(Part):
    """One model: what it is, told so that its bytes can be recognised."""

    role: Role
    name: str = Field(description="the file's name, without folders")
    file_sha256: str
    tensor_digest: str = Field(description="SHA-256 over names, dtypes, shapes and bytes; survives re-sharding")
    parameters: int
    lineage: dict[str, str] = Field(
        default_factory=dict, description="the checkpoint's own metadata on where it comes from"
    )


class Split(Part):
    """What a split held, without naming a single record."""

    n: int
    ids_digest: str = Field(
        description="keyed SHA-256 over the sorted record ids; the key is computed from the samples of train"
    )
    classes: dict[str, int] | None = Field(default=None, description="records a class")


class Notice(Part):
    """What a source leaves out or changes: nothing in a named place is passed over without being counted."""

    source: str = Field(description="as the manifest names it: data.train")
    kind: str = Field(description="what is left out or changed, in words")
    count: int


class Manifest(Part):
    manifest_digest: str | None = Field(
        default=None,
        description="SHA-256 of the manifest's content without `forget`; null in what was read of a 2.0 report",
    )
    selection_digest: str | None = Field(
        default=None,
        description="HMAC-SHA256 over the ids to forget with the ledger's key; null outside of a deletion batch, where "
        "no key remains to compare it with",
    )
    task: Task
    architecture: str
    classes: list[str] | None = None
    forget_classes: list[str] | None = None
    splits: dict[str, Split] = Field(default_factory=dict)
    checks: dict[str, bool] = Field(default_factory=dict, description="what was verified of the splits")
    forgotten_unresolved: int | None = Field(
        default=None, description="ids of the manifest's `forgotten` that no record of train has: nothing measures them"
    )
    notices: list[Notice] = Field(default_factory=list, description="what the sources leave out or change, counted")

    @model_validator(mode="before")
    @classmethod
    def read_older(cls, value: Any) -> Any:
        """Leave out the one digest that reports had up to schema 2.0: it covered what to forget."""
        return {key: part for key, part in value.items() if key != "digest"} if isinstance(value, dict) else value


class Curve(Part):
    """A number over the steps of one phase, such as a loss."""

    phase: str
    name: str
    values: list[float | None]


class Rates(Part):
    """The share of members found at a false-positive rate, by counts (attacks.md section 1.0)."""

    fpr: float
    tpr: Estimate
    tpr_mirrored: Estimate = Field(description="with the lowest scores called member")
    false_positives: int | None = Field(description="non-members above the threshold; ties may keep it under FPR x n")
    false_positives_mirrored: int | None = None
    null: float | None = Field(description="the share expected of an attack that knows nothing: (k + 1) / (n + 1)")
    low_resolution: bool = False


class Attack(Part):
    """The block of numbers that every attack yields; higher scores mean 'was trained on'."""

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
    epsilon_confidence: float = 0.95
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
        default_factory=dict, description="edges, members and non_members: shares a bin"
    )
    warnings: list[str] = Field(default_factory=list)


class Finding(Part):
    """What a probe found that scores no single record: a relearn curve, a linear probe, a test against references."""

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
    """An attack or metric that was not run, and why; that is not the same as having found nothing."""

    name: str
    reason: str


class Comparison(Part):
    """A metric beside the references: is the difference larger than that between one retraining and another?"""

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
    """Where the records of a split go: counts of each predicted class. One class that takes them all is exposure."""

    split: str
    role: str
    n: int
    counts: dict[str, int] = Field(description="predicted class -> records")
    largest_share: Estimate


class Layer(Part):
    """How far one tensor lies from that of the original, and how far relative to the original's norm."""

    name: str
    kind: Literal["parameter", "buffer"]
    distance: float
    relative: float | None = Field(description="null where the original's norm is 0")


class Gate(Part):
    condition: str
    verdict: Verdict
    value: Estimate
    limit: float | None
    reason: str | None = None
    role: str = Field(default="subject", description="which checkpoint was judged; the others are the calibration")
    margin: float | None = Field(default=None, description="how far from the limit still counts as equal")
    p_passed: float | None = Field(default=None, description="p-value of 'it is not within the margin'; small passes")
    p_failed: float | None = Field(default=None, description="p-value of 'it is within the margin'; small fails")


class OverForgetting(Part):
    """Forget compared with records never seen: a network that was never taught them does not get nearly all wrong."""

    measure: Literal["accuracy", "mae"]
    compared_with: Literal["group", "classes", "test", "references"] | None = Field(
        default=None,
        description="the original on never-seen records of the selection half: of the same group, of the same classes,"
        " or all; or the references on forget",
    )
    forget: Estimate = Field(description="of the subject, on the forgotten records that retraining would still know")
    never_seen: Estimate
    limit: float | None = Field(
        default=None, description="what the interval on forget must lie beyond: the level's interval and a margin"
    )
    detected: bool | None = Field(description="null: it cannot be judged, see 'reason'")
    reason: str | None = None


class Judgement(Part):
    """How a statistical verdict came about."""

    tier: str
    level: float = 0.05
    attempts: int = Field(default=1, description="methods or settings tried before this one; divides the level")
    holdout_half: Half = Field(default="all", description="which half of the hold-out judged")
    correction: str = "holm over the gates of the tier, for failing; all must pass, for passing"
    clusters: dict[str, int] | None = Field(
        default=None, description="split -> persons or recordings in it (data.group); null: independent records"
    )
    design_effect: float | None = Field(
        default=None, description="of the population attack's AUC; the records count as so many times fewer"
    )
    calibration: dict[str, Verdict] = Field(
        default_factory=dict, description="verdicts on the controls: references should pass, the original must fail"
    )
    reasons: list[str] = Field(default_factory=list)


class Cost(Part):
    """Work done, in numbers that do not depend on the machine."""

    samples_forward: int = 0
    samples_backward: int = 0
    optimizer_steps: int = 0


class Run(Part):
    """All that differs between two equal runs."""

    id: str
    started: str
    finished: str
    seconds: dict[str, float] = Field(default_factory=dict, description="wall time a phase")
    shares: dict[str, float] = Field(default_factory=dict, description="of the time a part, with --profile")
    peak_memory_bytes: int | None = None
    resumed: bool = False


MOST_REPORT = 2**28  # bytes of a report.json that is read back


class Report(Part):
    schema_version: str = SCHEMA_VERSION
    tool_version: str
    command: str
    run: Run
    manifest: Manifest
    subject: Checkpoint | None = None
    original: Checkpoint | None = None
    references: list[Checkpoint] = Field(default_factory=list)
    method: str | None = None
    inputs: list[str] = Field(default_factory=list, description="what the method was given, and nothing else")
    settings: dict[str, Any] = Field(default_factory=dict)
    found: dict[str, float] = Field(default_factory=dict, description="settings that the method found by itself")
    seed: int
    environment: dict[str, Any]
    metrics: dict[str, dict[str, dict[str, Estimate]]] = Field(
        default_factory=dict, description="checkpoint (original, subject, reference) -> split -> metric"
    )
    comparisons: list[Comparison] = Field(default_factory=list)
    confusions: list[Confusion] = Field(default_factory=list)
    layers: list[Layer] = Field(default_factory=list, description="of the subject, beside the original")
    attacks: list[Attack] = Field(default_factory=list)
    findings: list[Finding] = Field(default_factory=list)
    skipped: list[Skipped] = Field(default_factory=list)
    curves: list[Curve] = Field(default_factory=list)
    gates: list[Gate] = Field(default_factory=list)
    verdict: Verdict | None = Field(default=None, description="of the gates; null when none was asked")
    judgement: Judgement | None = None
    over_forgetting: OverForgetting | None = Field(
        default=None, description="of 'unlearn' and 'evaluate': is forget far worse than records never seen?"
    )
    cost: Cost = Field(default_factory=Cost)
    caveats: list[str] = Field(default_factory=list)


def to_json(report: Report) -> str:
    """Return the report as canonical JSON text: sorted keys, no NaN, one newline at the end."""
    return json.dumps(report.model_dump(mode="json"), sort_keys=True, indent=2, allow_nan=False) + "\n"


def write(report: Report, folder: Path) -> None:
    """Write `report.json` into a folder that is being built."""
    (folder / "report.json").write_text(to_json(report), encoding="utf-8")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the report."""
    return Report.model_json_schema()
