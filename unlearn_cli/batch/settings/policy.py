"""The rules of a deletion batch in deletion.yaml: the attack, the deadline, and what to keep."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator
from pydantic import NonNegativeInt as Count

from unlearn_cli.plugins.run_options import SharedOptions
from unlearn_cli.schema.sources import FilePath, Section


class AttackPolicy(Section):
    """How the unlearned checkpoint is attacked before it is promoted."""

    tier: Literal["quick", "standard", "audit"] | None = Field(default="quick", description="null: no attack")
    inconclusive: Literal["fail", "pass"] = Field(
        default="pass", description="how an undecided verdict counts; a few records can never decide one"
    )
    references: list[FilePath] = Field(default_factory=list, description="checkpoints retrained without forget")
    shadows: FilePath | None = Field(default=None, description="folder of shadow runs, for the audit tier")

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.tier == "audit" and self.shadows is None:
            raise ValueError("the audit tier needs 'shadows', a folder that 'unlearn-cli shadow' wrote")
        return self


class Deadline(Section):
    """The time within which a request must be carried out, from its receipt."""

    months: Annotated[PositiveInt, Field(le=120)] | None = Field(default=None, description="calendar months; or days")
    days: Annotated[PositiveInt, Field(le=3660)] | None = Field(default=None, description="instead of months")

    @model_validator(mode="after")
    def check(self) -> Self:
        if (self.months is None) == (self.days is None):
            raise ValueError("expected either months or days")
        return self


class Retention(Section):
    """The files that `batch vacuum` keeps."""

    versions: Count = Field(default=1, description="superseded versions to keep, in addition to the current one")
    days: Count = Field(default=30, description="age up to which these and the files of ended requests are kept")


class CommonOptions(SharedOptions, Section):
    """The options of the commands that a run calls, with the names of the command line."""
