"""Converts stored labels to the targets of training: class numbers, numbers for a regression, or sets of labels."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from unlearn_cli.console import pluralize
from unlearn_cli.data.records import Records
from unlearn_cli.data.strings import Strings, Values
from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.schema.spelling import text_of

Classes = Sequence[str | int]
MOST_SHOWN = 12  # labels in a message
MAX_CLASSES = 2**20  # limit for class numbers without a list of classes


def list_classes(
    listed: Classes | None, labels: Values, num_classes: int | None, names: Sequence[str] | None, source: str
) -> list[str | int]:
    """Return the classes in the order of the network's outputs; `names` are those that the source lists.

    These are the manifest's classes; else, for text labels, the sorted names of train; else the numbers from 0.
    """
    if listed is not None:
        return list(listed)
    if isinstance(labels, Strings) or labels.dtype.kind in "US":
        return [str(name) for name in names or find_unique_labels(labels)[0]]
    if labels.dtype.kind == "b":
        return ["false", "true"]
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.floor(labels)).all()):
        raise UserError(f"{source}: labels are not integers; set 'task: regression' or fix the labels")
    if labels.max() >= MAX_CLASSES:
        raise UserError(f"{source}: label {labels.max():.0f} is too large for a class number; list 'classes'")
    return list(range(num_classes or int(labels.max()) + 1))


def find_used_numbers(labels: Values, classes: Classes | None) -> list[int]:
    """Return the different labels, if they are only some of the numbered classes that nobody listed, as 1 to K.

    Nothing is returned if all classes have records, or if labels are names.
    """
    if classes is None or isinstance(labels, Strings) or labels.dtype.kind not in "iuf":
        return []
    used = np.unique(labels)
    return [] if len(used) == len(classes) else [int(label) for label in used]


def describe_used_numbers(used: Sequence[int]) -> str:
    """Return what is unusual about labels that are only some of the numbers from 0, and the key that lists them."""
    shown = ", ".join(map(str, used)) if len(used) <= MOST_SHOWN else f"{used[0]}, {used[1]}, ..., {used[-1]}"
    fact = f"start at {used[0]}" if used[0] > 0 else f"are {len(used)} of the numbers from 0 to {used[-1]}"
    return f"the labels of train {fact}: set classes: [{shown}] in the manifest"


def encode_labels(records: Records, classes: Classes, *, is_numbered: bool = False) -> np.ndarray:
    """Convert the labels to class numbers (n,) int64; `is_numbered`: the manifest does not list the classes.

    Raises:
        UserError: a label is not among the classes.
    """
    values, inverse = find_unique_labels(records.labels)
    numbers = find_label_numbers(values, classes)
    if None in numbers:
        bad = str(values[numbers.index(None)])
        names = [str(name) for name in classes]
        if is_numbered and _are_numbered_from_1(values, len(classes)):
            raise UserError(
                f"{records.name}: label '{bad}' is not one of the {len(names)} classes, which are numbered from 0, but "
                f"{describe_used_numbers([int(value) for value in values])}"
            )
        raise UserError(
            f"{records.name}: label '{bad}' is not one of the {len(names)} classes; {did_you_mean(bad, names)}; "
            "list all classes, in the order of the model's outputs, as 'classes' in the manifest"
        )
    if numbers == values and isinstance(records.labels, np.ndarray) and records.labels.dtype == np.int64:
        return records.labels  # already class numbers: saves a copy of millions of labels
    return np.asarray(numbers, dtype=np.int64)[inverse]


def _are_numbered_from_1(labels: Sequence[Any], count: int) -> bool:
    """Return whether sorted labels are whole numbers from 1 or more to the number of classes."""
    are_whole = all(isinstance(label, int | float) and label == label // 1 for label in labels)
    return are_whole and labels[0] >= 1 and labels[-1] == count


def find_unique_labels(labels: Values) -> tuple[list[Any], np.ndarray]:
    """Return the distinct labels, sorted, and the index (n,) of each label among them."""
    if isinstance(labels, Strings):
        return labels.factorize()
    values, inverse = np.unique(labels, return_inverse=True)
    return values.tolist(), inverse


def find_label_numbers(labels: Sequence[Any], classes: Classes) -> list[int | None]:
    """Return the class number of each stored label; None for an unknown class.

    Names are compared as text. A number that is not a name is a position, unless some name is a number.
    """
    names = _number_classes(classes)
    counted = len(names) if has_positions(names) else 0
    return [_label_number(label, names, counted) for label in labels]


def _label_number(label: Any, names: dict[str, int], counted: int) -> int | None:
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if (number := names.get(text_of(label))) is not None:
        return number
    return label if isinstance(label, int) and 0 <= label < counted else None


def find_class_numbers(listed: Classes, classes: Classes, field: str) -> list[int]:
    """Return the numbers of listed classes, given by name or position; `field` is for messages.

    An int is a position only if no class has this name and no name of a class is a number.

    Raises:
        UserError: a class is unknown or listed twice, or names and positions are mixed.
    """
    names = _number_classes(classes)
    numbers = [_find_class_number(value, names, field) for value in listed]
    by_name = [str(value) in names for value in listed]
    if any(by_name) and not all(by_name):
        name, position = listed[by_name.index(True)], listed[by_name.index(False)]
        meant = [*names][int(position)]
        raise UserError(f"{field}: '{name}' is a name, but {position} is the position of '{meant}'; list only names")
    for i, number in enumerate(numbers):
        if number in numbers[:i]:
            raise UserError(f"{field}: the class '{[*names][number]}' is listed twice; remove one of the two")
    return sorted(numbers)


def _find_class_number(value: str | int, names: dict[str, int], field: str) -> int:
    if (number := names.get(str(value))) is not None:
        return number
    if isinstance(value, int) and 0 <= value < len(names) and has_positions(names):
        return value
    hint = did_you_mean(str(value), names)
    only_names = isinstance(value, int) and not has_positions(names)
    reason = "; a number is a position only if no class name is a number" if only_names else ""
    raise UserError(f"{field}: no class '{value}'; {hint}{reason}")


def has_positions(names: Iterable[str]) -> bool:
    """Return whether numbers can be positions of classes: only if no class name is a number."""
    return not any(_NUMBER.fullmatch(name.strip()) for name in names)


_NUMBER = re.compile(r"[-+]?\.?\d[\d_.,]*([eE][-+]?\d+)?|0[xob][0-9a-fA-F]+")


def _number_classes(classes: Classes) -> dict[str, int]:
    return {str(name): number for number, name in enumerate(classes)}


def list_labels(listed: Classes | None, records: Records) -> list[str | int]:
    """Return the labels of multilabel records in the order of the network's outputs.

    These are the manifest's classes; else the names in train; else, for an array without names, the numbers from 0.

    Raises:
        UserError: no record of train has a label, and the manifest lists none.
    """
    if listed is not None:
        return list(listed)
    if records.class_names is None:
        return list(range(records.labels.shape[1]))  # type: ignore[union-attr]  # an array
    if not records.class_names:
        raise UserError(f"{records.name}: no record has a label; list the labels as 'classes' in the manifest")
    return list(records.class_names)


def encode_label_sets(records: Records, classes: Classes) -> np.ndarray:
    """Return 1 for each label of a record, else 0, (n, K) uint8, in the order of the classes.

    Raises:
        UserError: a label is not among the classes, or an array without names has another number of labels.
    """
    marks, names = np.asarray(records.labels), records.class_names
    if names is None:
        if marks.shape[1] != len(classes):
            raise UserError(
                f"{records.name}: the array of labels has {marks.shape[1]} columns, but there are {len(classes)} "
                "labels; list one name per column in 'classes'"
            )
        return marks
    numbers = _number_classes(classes)
    if unknown := [name for name in names if name not in numbers]:
        raise _unknown_label(records, unknown[0], marks[:, names.index(unknown[0])], list(numbers))
    encoded = np.zeros((len(marks), len(classes)), dtype=np.uint8)
    encoded[:, [numbers[name] for name in names]] = marks
    return encoded


def _unknown_label(records: Records, label: str, marked: np.ndarray, labels: list[str]) -> UserError:
    rows = np.flatnonzero(marked)
    line = "" if not len(rows) or records.line_of is None else f" (line {records.line_of(int(rows[0]))})"
    return UserError(
        f"{records.name}: label '{label}'{line} is not one of the {len(labels)} labels; {did_you_mean(label, labels)};"
        " list all labels, in the order of the model's outputs, as 'classes' in the manifest"
    )


def count_labels(labels: np.ndarray, num_classes: int) -> list[int]:
    """Return the number of records of each class, or with each label: (n,) class numbers, or (n, K) 0 and 1."""
    if labels.ndim == 2:
        return labels.sum(axis=0, dtype=np.int64).tolist()
    return np.bincount(labels, minlength=num_classes).tolist()


def read_numeric_labels(records: Records) -> np.ndarray:
    """Convert the labels of a regression to float64 (n,).

    Raises:
        UserError: they are text, or a label is not finite.
    """
    if isinstance(records.labels, Strings) or records.labels.dtype.kind not in "uif":
        raise UserError(f"{records.name}: labels are text; a regression needs numbers")
    labels = records.labels.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(labels))
    if len(bad):
        count = pluralize(len(bad), "label is", "labels are")
        raise UserError(f"{records.name}: {count} NaN or infinite, the first in row {bad[0]}; correct the data")
    return labels
