"""The parts of a verdict, as a report holds them."""

from typing import Literal

from pydantic import Field

from unlearn_cli.schema.literals import Half
from unlearn_cli.stats.margins import LEVEL
from unlearn_cli.stats.results import Estimate, Part

Verdict = Literal["passed", "passed_screen", "failed", "inconclusive", "nothing_to_forget", "error"]


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
    """Forget compared with never-seen records: a network that never saw forget does not get nearly all of it wrong."""

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
    detected: bool | None = Field(description="null: not decided, see 'reason'")
    reason: str | None = None


class Judgement(Part):
    """How a statistical verdict was reached."""

    tier: str
    level: float = LEVEL
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
