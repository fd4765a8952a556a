"""The sections `forget` and `forgotten` of the manifest: the records to forget, and those that earlier runs forgot."""

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic import NonNegativeInt as Count

from unlearn_cli.schema.sources import Condition, FilePath, PathSection, Section, added
from unlearn_cli.schema.spelling import Name

Share = Annotated[float, Field(gt=0, le=1)]


class IdsFile(PathSection):
    """A file with ids of records: .txt with one per line, .json with a list, or a table."""

    column: str = Field(default="id", description="column of a table with the ids")


class Groups(Section):
    """All records of a person: the rows with one of the values in a column."""

    column: str = Field(description="column of the data with the group of a record")
    values: Annotated[list[Name], Field(min_length=1)] = Field(description="the groups to forget")

    @model_validator(mode="after")
    def check(self) -> Self:
        if "" in self.values:
            raise ValueError("the empty text is not a group: a record with an empty cell belongs to none")
        return self


class GroupsFile(Section):
    """A file with the values of groups: .txt with one per line, .json with a list, or a table."""

    path: FilePath = Field(description="of the file")
    column: str = Field(description="column of the data with the group of a record")
    values_column: str | None = Field(default=None, description="column of the file; default: the same name")


class RandomFraction(Section):
    """A random share of train, for experiments."""

    share: Share = Field(description="of the records of train")
    seed: Count = Field(default=0, description="of the random choice")


class Expect(Section):
    """Limits for the number of selected records; a run is refused outside of them."""

    min: Count | None = Field(default=None, description="least number of records")
    max: Count | None = Field(default=None, description="largest number of records")
    max_share: Share | None = Field(default=None, description="largest share of train")


class Forgotten(Section):
    """The records that earlier runs forgot. They are only in the split `forgotten`, which is measured."""

    ids_file: IdsFile = Field(description="ids of train; ids that are no longer in train are ignored")


class Forget(Section):
    """The records to forget: the union of all entries."""

    classes: list[Name] = Field(
        default_factory=list,
        description="names; or positions, if no name is a number; multilabel: records with one of these labels",
    )
    ids: list[Name] = Field(
        default_factory=list, description="ids as written; or patterns with * and ?, or folder/ for all below it"
    )
    ids_file: IdsFile | None = None
    groups: Groups | None = None
    groups_file: GroupsFile | None = added(None, "as groups, with the values in a file")
    where: list[Condition] = Field(default_factory=list, description="conditions, all of which must hold")
    fraction: RandomFraction | None = None
    expect: Expect = Field(default_factory=Expect)

    @model_validator(mode="after")
    def check(self) -> Self:
        if not (self.classes or self.where or self._has_other_entries):
            raise ValueError("selects nothing; add classes, ids, ids_file, groups, groups_file, where or fraction")
        if self.groups and self.groups_file and self.groups.column != self.groups_file.column:
            raise ValueError("groups and groups_file name two columns; use the same one")
        if len({str(name) for name in self.classes}) < len(self.classes):
            raise ValueError("a class is listed twice")
        return self

    @property
    def only_classes(self) -> bool:
        return bool(self.classes) and not self.where and not self._has_other_entries

    @property
    def _has_other_entries(self) -> bool:
        return any((self.ids, self.ids_file, self.groups, self.groups_file, self.fraction))
