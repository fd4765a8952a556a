"""Which columns of a table are the labels: one column of classes, quantities or sets of labels, or one per label."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from unlearn_cli.data.layouts.columns import Column, split_words
from unlearn_cli.data.layouts.layout import COLUMNS, LISTED, SORTED, Section
from unlearn_cli.data.tables.label_sets import read_label_sets
from unlearn_cli.data.tables.table_file import TableFile
from unlearn_cli.errors import UserError
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.sources import Table

LABELS = ("label", "labels", "class", "target", "y", "category", "species", "outcome", "diagnosis", "score", "price")
SETS = ("tags", "genres", "topics", "classes", "targets", "categories")  # columns of several labels per record
LABEL_WORDS = {"label", "class", "target", "score", "price", "value", "outcome", "diagnosis"}  # within a longer name
STARTS = ("label", "labels", "class", "target", "tag", "outcome", "y")  # of the names of one column per label
FRACTIONS = ("DOUBLE", "FLOAT", "DECIMAL", "REAL")  # types of columns in DuckDB
SEPARATORS = ("|", ";", ",")
MOST_CLASSES, FEW_CLASSES, RECORDS_PER_CLASS = 1000, 20, 10  # of a classification with numbers as labels
NAME_REASON = "the name of the column, or because it is the last one"
MARKS_REASON = "their names, or because only they have 0 or 1 in every row"


@dataclass(frozen=True)
class TableLabels:
    """The labels of a table: their columns, the keys of the manifest's section, the task, and the classes in order."""

    columns: Sequence[str]
    keys: Section
    task: Task
    classes: Sequence[str] = ()
    order: str = SORTED  # of the classes
    guesses: Mapping[str, str] = field(default_factory=dict)


def recognise_labels(
    file: TableFile, columns: Mapping[str, Column], given: Sequence[str] = (), *, are_images: bool = False
) -> TableLabels:
    """Return the labels of a table; `given` are the columns that the user names; `are_images`: the samples are images.

    Raises:
        UserError: the table lacks a column, or one of several has other cells than 0 and 1.
    """
    for name in given:
        file.quoted(name)  # refuses an unknown column
    names = list(given) or guess_labels(columns, are_images=are_images)
    guesses = {} if given or names[0].lower() in LABELS[:2] else {"label": NAME_REASON}
    if len(names) > 1:
        return read_marks(file, columns, names, guesses and {"label": MARKS_REASON})
    label = columns[names[0]]
    if label.is_list:
        return _read_sets(file, label.name, {}, guesses)
    separator = None if label.is_numeric else find_separator(file, label.name)
    if separator:
        keys = {} if separator == Table.model_fields["separator"].default else {"separator": separator}
        return _read_sets(
            file, label.name, keys, {**guesses, "task": f"cells such as {_find_example(label, separator)}"}
        )
    is_regression = label.is_numeric and (not label.is_whole or not are_classes(label.distinct, label.rows))
    classes = [] if is_regression else list_classes(file, label.name)
    keys = {"label": label.name, **({"unlabelled": "drop"} if label.empty else {})}
    task: Task = "regression" if is_regression else "classification"
    return TableLabels(names, keys, task, classes, find_order(file, label.name), guesses)


def find_order(file: TableFile, label: str) -> str:
    """Return the order of the classes of a column."""
    return LISTED if file.class_names.get(label) else SORTED


def guess_labels(columns: Mapping[str, Column], *, are_images: bool = False) -> list[str]:
    """Return the columns with usual names of labels, else the last one that is neither constant nor text.

    In a table of images or texts, all columns of 0 and 1 are labels, because they cannot be parts of a sample.
    """
    by_name = {name.lower().strip(): name for name in columns}
    named = next((by_name[name] for name in (*LABELS, *SETS) if name in by_name), None)
    if named:
        return [named]
    marks = [name for name, column in columns.items() if column.is_marks]
    similar_marks = _find_equal_starts(marks)
    if similar_marks:
        return similar_marks
    usable = [column for column in columns.values() if not (column.is_constant or column.is_text or column.is_picture)]
    similar = next((column.name for column in usable if split_words(column.name) & LABEL_WORDS), None)
    if similar:
        return [similar]
    if len(marks) > 1 and (are_images or any(column.is_text for column in columns.values())):
        return marks
    return [(usable or list(columns.values()))[-1].name]


def _find_equal_starts(names: Sequence[str]) -> list[str]:
    """Return the names that begin with the same usual word, such as label_cat and label_dog; at least two."""
    starts = {start: [name for name in names if re.match(rf"{start}[^a-z]", name.lower())] for start in STARTS}
    return next((group for group in starts.values() if len(group) > 1), [])


def find_separator(file: TableFile, name: str) -> str | None:
    """Return the text between several labels of a cell; None if cells have one label.

    Labels that are joined occur in several cells, so there are fewer of them than of different cells.
    """
    cells = [cell.strip() for cell in file.text(name, gaps=True).factorize()[0] if cell.strip()]
    if cells and all(cell.startswith("[") and cell.endswith("]") for cell in cells):
        return SEPARATORS[0]  # lists, which are recognised with any separator
    for separator in SEPARATORS:
        parts = [part.strip() for cell in cells for part in cell.split(separator)]
        is_joined = len(parts) > len(cells) and all(parts)
        if is_joined and (separator == SEPARATORS[0] or len(set(parts)) < len(cells)):
            return separator
    return None


def _find_example(label: Column, separator: str) -> str:
    return next((f"'{cell}'" for cell in label.cells if separator in cell and len(cell) < 40), "lists of labels")


def _read_sets(file: TableFile, name: str, keys: Section, guesses: Mapping[str, str]) -> TableLabels:
    spec = Table.model_validate({"path": str(file.path), "label": name, **keys})  # read from `file`, not opened again
    return TableLabels(
        [name],
        {"label": name, **keys},
        "multilabel",
        read_label_sets(spec, file).names,
        find_order(file, name),
        guesses,
    )


def read_marks(
    file: TableFile, columns: Mapping[str, Column], names: Sequence[str], guesses: Mapping[str, str] = {}
) -> TableLabels:
    """Return the labels of one column per label: classes if every record has exactly one.

    Raises:
        UserError: a cell is neither 0 nor 1; with the line.
    """
    if wrong := [name for name in names if columns[name].is_list]:
        raise UserError(
            f"{file.path}: column '{wrong[0]}' has lists; name only this column as label, or columns of 0 and 1"
        )
    spec = Table.model_validate({"path": str(file.path), "label": list(names)})
    task = choose_task(read_label_sets(spec, file).marks)
    return TableLabels(names, {"label": list(names)}, task, list(names), COLUMNS, guesses)


def choose_task(marks: np.ndarray) -> Task:
    """Return the task of labels (n, K) of 0 and 1: a classification if each record has exactly one."""
    return "classification" if bool((marks.sum(axis=1) == 1).all()) else "multilabel"


def are_classes(distinct: int, rows: int) -> bool:
    """Return whether this number of distinct whole numbers are classes: they are few, or each has several records."""
    return distinct <= min(MOST_CLASSES, max(FEW_CLASSES, rows // RECORDS_PER_CLASS))


def list_classes(file: TableFile, label: str) -> list[str]:
    """Return the different labels as written, in the order in which a manifest without `classes` numbers them.

    They are the names of the classes, if the file lists them.
    """
    if listed := file.class_names.get(label):
        return listed
    cells = [cell for (cell,) in file.query(f"DISTINCT {file.as_written(label)}").fetchall()]
    names = [cell for cell in cells if cell is not None]
    if file.layout is None and file.types[label].startswith(FRACTIONS):
        names = [str(int(float(name))) for name in names]  # a typed 1.0 is the class 1
    return sort_classes(names)


def describe_similar(classes: Sequence[str], *, are_folders: bool = False) -> list[str]:
    """Return a remark on classes that differ only in case or in blanks; nothing if there are none."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault("".join(name.split()).casefold(), []).append(name)
    pairs = [" and ".join(map(repr, names)) for names in groups.values() if len(names) > 1]
    more = f" and {len(pairs) - 1} more" if len(pairs) > 1 else ""
    advice = "to make them one, move the images into one folder" if are_folders else "label_names makes them one"
    return [f"classes {pairs[0]}{more} differ only in case or blanks; {advice}"] if pairs else []


def sort_classes(names: Sequence[str]) -> list[str]:
    """Sort names; integers by their value."""
    is_whole = all(name.lstrip("-").isdecimal() for name in names)
    return sorted(names, key=int) if is_whole else sorted(names)
