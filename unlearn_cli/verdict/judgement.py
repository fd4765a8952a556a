"""The parts of a verdict, as in a report."""

from typing import Literal

from pydantic import Field

from unlearn_cli.schema.literals import Half
from unlearn_cli.stats.margins import AUC_MARGIN, LEVEL
from unlearn_cli.stats.results import Estimate, Part

UNDECIDED = "some gates are not decided"

Verdict = Literal["passed", "passed_screen", "failed", "inconclusive", "nothing_to_forget", "error"]


class Gate(Part):
    condition: str
    verdict: Verdict
    value: Estimate
    limit: float | None
    reason: str | None = None
    role: str = Field(default="subject", description="the judged checkpoint; roles other than subject are controls")
    margin: float | None = Field(default=None, description="largest distance from the limit that counts as equal")
    p_passed: float | None = Field(
        default=None, description="p-value of 'it is not within the margin'; the gate passes if it is small"
    )
    p_failed: float | None = Field(
        default=None, description="p-value of 'it is within the margin'; the gate fails if it is small"
    )
    of_utility: bool = Field(
        default=False, description="about the records that are kept; a control must fail a gate on forgetting"
    )
    required: bool = Field(default=True, description="false: the gate can fail the verdict, but is not needed to pass")
    passed_by_mask: bool | None = Field(
        default=None,
        description="whether the control 'mask', the original with one edited row per forgotten class, passes this "
        "gate, too; null: there is no such control",
    )


Measure = Literal["accuracy", "mae", "subset_accuracy"]


class OverForgetting(Part):
    """Forget compared with never-seen records: a network that never saw forget is not wrong on nearly all of it."""

    measure: Measure
    compared_with: Literal["group", "classes", "test", "references"] | None = Field(
        default=None,
        description="the original on never-seen records of the selection half: of the same group, of the same classes,"
        " or all; or the references on forget",
    )
    half: Literal["selection"] | None = Field(
        default=None,
        description="the half of test that the never-seen records are from, whatever half the report is of; null: none "
        "was read",
    )
    forget: Estimate = Field(
        description="of the subject, on the forgotten records that a retrained network would still predict well"
    )
    never_seen: Estimate
    limit: float | None = Field(
        default=None, description="over-forgetting is detected if the whole interval of `forget` is beyond this limit"
    )
    detected: bool | None = Field(description="null: not decided, see 'reason'")
    reason: str | None = None


class Judgement(Part):
    """The derivation of a statistical verdict."""

    tier: str
    level: float = LEVEL
    attempts: int = Field(
        default=1, description="number of judged methods or settings, including this one; divides the level"
    )
    auc_margin: float = Field(
        default=AUC_MARGIN, description="largest distance of an AUC from 1/2 that counts as equal"
    )
    references: int = Field(default=0, description="retrained networks that were compared with, each a training")
    training_seeds: int | None = Field(
        default=None,
        description="different seeds in the references' lineage; null: no reference, or a lineage has none",
    )
    holdout_half: Half = Field(default="all", description="the half of the hold-out that was used")
    correction: str = "to fail: Holm over the gates of the tier; to pass: all gates must pass"
    clusters: dict[str, int] | None = Field(
        default=None, description="split -> number of persons or recordings (data.group); null: independent records"
    )
    design_effect: float | None = Field(
        default=None, description="of the population attack's AUC; divides the effective number of records"
    )
    calibration: dict[str, Verdict] = Field(
        default_factory=dict, description="verdicts on the controls: references should pass, the original must fail"
    )
    reasons: list[str] = Field(default_factory=list)
    advice: list[str] = Field(
        default_factory=list, description="gates with a power below 80 %, and the records or references they need"
    )
