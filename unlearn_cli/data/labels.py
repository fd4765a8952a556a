"""From stored labels to what a network is trained with: class numbers, or plain numbers for a regression."""

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
MAX_CLASSES = 2**20  # that are not listed; larger numbers are no numbers of classes


def list_classes(
    listed: Classes | None, labels: Values, num_classes: int | None, names: Sequence[str] | None, source: str
) -> list[str | int]:
    """Return the classes in the order of the head's outputs; `names` are those that the source itself lists.

    What the manifest lists; else, for labels that are names, the sorted names of train; else the numbers from 0.
    """
    if listed is not None:
        return list(listed)
    if isinstance(labels, Strings) or labels.dtype.kind in "US":
        return [str(name) for name in names or unique_labels(labels)[0]]
    if labels.dtype.kind == "b":
        return ["false", "true"]
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.floor(labels)).all()):
        raise UserError(f"{source}: labels are not whole numbers; for numbers as labels say 'task: regression'")
    if labels.max() >= MAX_CLASSES:
        raise UserError(f"{source}: label {labels.max():.0f} is too large for a class number; list 'classes'")
    return list(range(num_classes or int(labels.max()) + 1))


def encode_labels(records: Records, classes: Classes) -> np.ndarray:
    """Return class numbers (n,) int64.

    Raises:
        UserError: a label is not among the classes.
    """
    values, inverse = unique_labels(records.labels)
    numbers = find_label_numbers(values, classes)
    if None in numbers:
        bad = str(values[numbers.index(None)])
        names = [str(name) for name in classes]
        raise UserError(
            f"{records.name}: label '{bad}' is none of the {len(names)} classes; {did_you_mean(bad, names)}; "
            "list all classes, in the order of the model's outputs, as 'classes' in the manifest"
        )
    if numbers == values and isinstance(records.labels, np.ndarray) and records.labels.dtype == np.int64:
        return records.labels  # class numbers already: a copy of millions less
    return np.asarray(numbers, dtype=np.int64)[inverse]


def unique_labels(labels: Values) -> tuple[list[Any], np.ndarray]:
    """Return the different labels, sorted, and the number (n,) of each label among them."""
    if isinstance(labels, Strings):
        return labels.factorize()
    values, inverse = np.unique(labels, return_inverse=True)
    return values.tolist(), inverse


def find_label_numbers(labels: Sequence[Any], classes: Classes) -> list[int | None]:
    """Return the class number of each stored label; None if there is no such class.

    Names are looked up by their text. A number that is no name is a position, unless some name is a number.
    """
    names = _positions(classes)
    counted = len(names) if has_positions(names) else 0
    return [_label_number(label, names, counted) for label in labels]


def _label_number(label: Any, names: dict[str, int], counted: int) -> int | None:
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if (number := names.get(text_of(label))) is not None:
        return number
    return label if isinstance(label, int) and 0 <= label < counted else None


def find_class_numbers(listed: Classes, classes: Classes, field: str) -> list[int]:
    """Return the numbers of some of the classes, given by name or position; `field` is for messages.

    An int is a position only if no class has this name and no name of a class is a number.

    Raises:
        UserError: there is no such class, one is listed twice, or names and positions are mixed.
    """
    names = _positions(classes)
    numbers = [_class_number(value, names, field) for value in listed]
    by_name = [str(value) in names for value in listed]
    if any(by_name) and not all(by_name):
        name, position = listed[by_name.index(True)], listed[by_name.index(False)]
        meant = [*names][int(position)]
        raise UserError(f"{field}: '{name}' is a name and {position} the position of '{meant}'; list names only")
    for i, number in enumerate(numbers):
        if number in numbers[:i]:
            raise UserError(f"{field}: the class '{[*names][number]}' is named twice; name it once")
    return sorted(numbers)


def _class_number(value: str | int, names: dict[str, int], field: str) -> int:
    if (number := names.get(str(value))) is not None:
        return number
    if isinstance(value, int) and 0 <= value < len(names) and has_positions(names):
        return value
    hint = did_you_mean(str(value), names)
    only_names = isinstance(value, int) and not has_positions(names)
    reason = "; a number is a position only where no class is named by one" if only_names else ""
    raise UserError(f"{field}: there is no class '{value}'; {hint}{reason}")


def has_positions(names: Iterable[str]) -> bool:
    """Say whether a number may stand for a class by its position: only if none of the names could be that number."""
    return not any(_NUMBER.fullmatch(name.strip()) for name in names)


_NUMBER = re.compile(r"[-+]?\.?\d[\d_.,]*([eE][-+]?\d+)?|0[xob][0-9a-fA-F]+")


def _positions(classes: Classes) -> dict[str, int]:
    return {str(name): number for number, name in enumerate(classes)}


def read_numeric_labels(records: Records) -> np.ndarray:
    """Return the labels of a regression as float64 (n,).

    Raises:
        UserError: they are text, or one is not finite.
    """
    if isinstance(records.labels, Strings) or records.labels.dtype.kind not in "uif":
        raise UserError(f"{records.name}: labels are text; a regression needs numbers")
    labels = records.labels.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(labels))
    if len(bad):
        count = pluralize(len(bad), "label is", "labels are")
        raise UserError(f"{records.name}: {count} NaN or infinite, the first in row {bad[0]}; correct the data")
    return labels
