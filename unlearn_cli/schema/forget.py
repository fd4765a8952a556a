"""The parts of the manifest that say what must be forgotten, and what has been."""

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic import NonNegativeInt as Count

from unlearn_cli.schema.sources import Condition, FilePath, Section
from unlearn_cli.schema.spelling import Name

Share = Annotated[float, Field(gt=0, le=1)]


class IdsFile(Section):
    path: FilePath
    column: str = "id"


class Groups(Section):
    """All records of a person: those with one of the values in a column."""

    column: str
    values: Annotated[list[Name], Field(min_length=1)]


class RandomFraction(Section):
    share: Share
    seed: Count = 0


class Expect(Section):
    """Refuse to run when the selection looks wrong."""

    min: Count | None = None
    max: Count | None = None
    max_share: Share | None = None


class Forgotten(Section):
    """What earlier runs made the network forget: no split holds it but one of its own, which is measured alone."""

    ids_file: IdsFile = Field(description="ids of train; those that are not there any more are ignored")


class Forget(Section):
    """What must be forgotten: the union of what is listed."""

    classes: list[Name] = Field(default_factory=list, description="by name; or by position, if no name is a number")
    ids: list[Name] = Field(default_factory=list)
    ids_file: IdsFile | None = None
    groups: Groups | None = None
    where: list[Condition] = Field(default_factory=list, description="conditions, all of which must hold")
    fraction: RandomFraction | None = None
    expect: Expect = Field(default_factory=Expect)

    @model_validator(mode="after")
    def check(self) -> Self:
        if not any((self.classes, self.ids, self.ids_file, self.groups, self.where, self.fraction)):
            raise ValueError("selects nothing; name classes, ids, ids_file, groups, where or fraction")
        if len({str(name) for name in self.classes}) < len(self.classes):
            raise ValueError("a class is listed twice")
        return self

    @property
    def only_classes(self) -> bool:
        return bool(self.classes) and not any((self.ids, self.ids_file, self.groups, self.where, self.fraction))
