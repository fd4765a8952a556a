"""From stored labels to what a network is trained with: class numbers, or plain numbers for a regression."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from unlearn_cli.data.records import Records
from unlearn_cli.data.strings import Strings, Values
from unlearn_cli.errors import UserError, did_you_mean

Classes = Sequence[str | int]
MAX_CLASSES = 2**20  # that are not listed; larger numbers are no numbers of classes


def class_list(
    listed: Classes | None, labels: Values, num_classes: int | None, names: Sequence[str] | None, place: str
) -> list[str | int]:
    """Return the classes in the order of the head's outputs; `names` are those that the source itself lists.

    What the manifest lists; else, for labels that are names, the sorted names of train; else the numbers from 0.
    """
    if listed is not None:
        return list(listed)
    if isinstance(labels, Strings) or labels.dtype.kind in "US":
        return [str(name) for name in names or different(labels)[0]]
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.floor(labels)).all()):
        raise UserError(f"{place}: labels are not whole numbers; for numbers as labels say 'task: regression'")
    if labels.max() >= MAX_CLASSES:
        raise UserError(f"{place}: label {labels.max():.0f} is too large for a class number; list 'classes'")
    return list(range(num_classes or int(labels.max()) + 1))


def encode(records: Records, classes: Classes) -> np.ndarray:
    """Return class numbers (n,) int64.

    Names are looked up; so are numbers where the classes are numbers, and elsewhere they are positions.

    Raises:
        UserError: a label is not among the classes.
    """
    values, inverse = different(records.labels)
    numbers = [position(value, classes) for value in values]
    if None in numbers:
        bad = str(values[numbers.index(None)])
        known = [str(name) for name in classes]
        raise UserError(
            f"{records.name}: label '{bad}' is none of the {len(known)} classes; {did_you_mean(bad, known)}; "
            "list all classes, in the order of the model's outputs, as 'classes' in the manifest"
        )
    if numbers == values and isinstance(records.labels, np.ndarray) and records.labels.dtype == np.int64:
        return records.labels  # class numbers already: a copy of millions less
    return np.asarray(numbers, dtype=np.int64)[inverse]


def different(labels: Values) -> tuple[list[Any], np.ndarray]:
    """Return the different labels, sorted, and the number (n,) of each label among them."""
    if isinstance(labels, Strings):
        return labels.numbered()
    values, inverse = np.unique(labels, return_inverse=True)
    return values.tolist(), inverse


def position(value: str | float, classes: Classes) -> int | None:
    """Return the number of a class given by name or number; None if there is no such class."""
    names = [str(name) for name in classes]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if str(value) in names:
        return names.index(str(value))
    numbered = all(isinstance(name, int) for name in classes)
    return value if isinstance(value, int) and not numbered and 0 <= value < len(names) else None


def numbers(records: Records) -> np.ndarray:
    """Return the labels of a regression as float64 (n,).

    Raises:
        UserError: they are text, or one is not finite.
    """
    if isinstance(records.labels, Strings) or records.labels.dtype.kind not in "uif":
        raise UserError(f"{records.name}: labels are text; a regression needs numbers")
    labels = records.labels.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(labels))
    if len(bad):
        raise UserError(f"{records.name}: {len(bad)} labels are NaN or infinite, the first in row {bad[0]}; mend them")
    return labels
