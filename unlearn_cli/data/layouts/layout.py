"""The layout of data: the sources of a manifest, and facts about the records that the other sections need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unlearn_cli.data.formats.system_files import is_system_name
from unlearn_cli.data.layouts.features import FeatureColumns
from unlearn_cli.data.split_names import find_split
from unlearn_cli.schema.literals import Task

Kind = Literal["images", "numbers", "text"]
Section = Mapping[str, Any]  # of a manifest, as YAML has it

SORTED, LISTED, COLUMNS = "the sorted names", "as the data lists them", "as the columns of labels"  # order of classes
EVERY = 5  # without a test set, every fifth record is in test


@dataclass(frozen=True)
class DataLayout:
    """Sources of a manifest by split, with paths as `Path`, and facts about the training records.

    `shape` is that of a stored sample: [channels, height, width] of images (the most frequent size), [features], or
    [columns of text]. `guesses` are keys of the manifest (`data.test`) with the reason of a guess.
    """

    kind: Kind
    task: Task
    sources: Mapping[str, Section]
    shape: Sequence[int]
    classes: Sequence[str] = ()  # none for a regression
    order: str = SORTED  # of the classes
    has_marks: bool = False  # the labels are columns of 0 and 1
    same_size: bool = True  # all images that were read have one size
    depth: int | None = None  # the divisor of pixels with more than 8 bits
    features: FeatureColumns | None = None  # of a table, with which its columns can be read in other ways
    has_gaps: bool = False  # features have empty cells
    unreadable: str = ""  # which of the opened images cannot be read
    group: str | None = None  # column with the person or recording of a record
    data: Section = field(default_factory=dict)  # other keys of the section `data`
    guesses: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()  # on records and columns that the sources do not use


def assign_splits(names: Sequence[str]) -> dict[str, str]:
    """Return the name for each split, if each split has at most one and train is among them; otherwise nothing."""
    splits = [find_split(name) for name in names]
    chosen = {split: name for split, name in zip(splits, names, strict=True) if split}
    unique = len(chosen) == sum(split is not None for split in splits)
    return chosen if unique and "train" in chosen else {}


def complete_splits(sources: Mapping[str, Section]) -> tuple[dict[str, Section], dict[str, str]]:
    """Return sources that have a test set, and the guesses: without one, validation, or every fifth record of train."""
    ordered = {split: sources[split] for split in ("train", "test", "validation") if split in sources}
    if "test" in ordered:
        return ordered, {}
    if "validation" in ordered:
        reason = "the only other set of records; the model should not have been trained on it"
        return {"train": ordered["train"], "test": ordered["validation"]}, {"data.test": reason}
    train = {**ordered["train"], "rows": {"not_every": EVERY}}
    reason = f"no test set was recognised, so every {EVERY}th record is in test; name records without training"
    return {"train": train, "test": {**ordered["train"], "rows": {"every": EVERY}}}, {"data.test": reason}


def list_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are not those of a system, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not is_system_name(path.name))
