"""Files of named arrays: one pair of samples and labels per split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.console import pluralize
from unlearn_cli.data.formats.arrays import MARKS, SafetensorsFile
from unlearn_cli.data.formats.npz_file import ArrayHeader, NpzFile
from unlearn_cli.data.layouts.label_columns import are_classes, choose_task, sort_classes
from unlearn_cli.data.layouts.layout import COLUMNS, SORTED, DataLayout, complete_splits
from unlearn_cli.data.split_names import find_split
from unlearn_cli.errors import UserError
from unlearn_cli.schema.literals import Task

INPUTS = ("x", "images", "image", "inputs", "input", "data", "samples", "features", "pixels", "arr_0")
LABELS = ("y", "labels", "label", "targets", "target", "classes", "arr_1")


def recognise_arrays(path: Path, label_name: str | None = None) -> DataLayout:
    """Return the layout of an .npz or .safetensors file.

    Raises:
        UserError: no pair of samples and labels is recognised; names the arrays.
    """
    kind = path.suffix.lower().removeprefix(".")
    file = NpzFile(path, "data") if kind == "npz" else SafetensorsFile(path, "data", "")
    pairs = pair_arrays(file.headers, label_name)
    if "train" not in pairs:
        shapes = {name: str(list(header.shape)) for name, header in file.headers.items()}
        unread = {name: f"cannot be read: {reason}" for name, reason in file.unreadable.items()}
        listed = ", ".join(f"{name} {text}" for name, text in {**shapes, **unread}.items()) or "none"
        raise UserError(
            f"{path}: no samples and labels are recognised among its arrays ({listed}); name the labels with "
            "--label, or call the arrays x and y, or x_train and y_train"
        )
    sources = {split: {kind: {"path": path, "inputs": x, "labels": y}} for split, (x, y) in pairs.items()}
    completed, guesses = complete_splits(sources)
    inputs, labels = pairs["train"]
    header = file.headers[inputs]
    shape = shape_samples(header.shape[1:])
    if not header.shape[0]:
        raise UserError(f"{path}: contains no records; name a file with records")
    values = file.read(labels)
    refuse_nan(path, labels, values)
    task, classes = describe_labels(values)
    return DataLayout(
        kind="images" if len(shape) == 3 else "numbers",
        task=task,
        sources=completed,
        shape=shape,
        classes=classes,
        order=COLUMNS if are_marks(values) else SORTED,
        has_marks=are_marks(values),
        depth=65535 if len(shape) == 3 and header.dtype == np.uint16 else None,
        guesses=guesses,
    )


def describe_labels(values: np.ndarray[Any, Any]) -> tuple[Task, list[str]]:
    """Return the task and the classes of an array of labels: (n,), (n, 1), or one column of 0 and 1 per class."""
    if are_marks(values):
        return choose_task(values == 1), [str(number) for number in range(values.shape[1])]
    values = values.reshape(-1)
    if is_continuous(values):
        return "regression", []
    values = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
    numbers = values.astype(np.int64) if values.dtype.kind == "f" else values
    names = [str(value).lower() if values.dtype.kind == "b" else str(value) for value in np.unique(numbers).tolist()]
    return "classification", sort_classes(names)


def refuse_nan(path: Path, name: str, values: np.ndarray[Any, Any]) -> None:
    """Refuse labels that are not numbers."""
    if values.dtype.kind != "f":
        return
    wrong = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(wrong):
        raise UserError(
            f"{path}: {pluralize(len(wrong), 'record')} of '{name}' without a finite label, such as row {wrong[0]}; "
            "remove them"
        )


def are_marks(values: np.ndarray[Any, Any]) -> bool:
    """Return whether an array of labels has one column of 0 and 1, or of -1 and 1, per class."""
    return values.ndim == 2 and values.shape[1] > 1 and any(np.isin(values, pair).all() for pair in MARKS)


def pair_arrays(headers: dict[str, ArrayHeader], label_name: str | None = None) -> dict[str, tuple[str, str]]:
    """Return the names of samples and labels per split; names without a split are of train.

    `label_name` is the name of the labels of train, or the part of it that the labels of all splits share.
    """
    wanted = LABELS if label_name is None else (strip_split(label_name),)
    pairs: dict[str, tuple[str, str]] = {}
    for split in ("train", "validation", "test"):
        names = [name for name in headers if (find_split(name) or "train") == split]
        inputs, labels = (_find_role(names, roles) for roles in (INPUTS, wanted))
        if inputs and labels and headers[inputs].shape[:1] == headers[labels].shape[:1]:
            pairs[split] = (inputs, labels)
    return pairs


def strip_split(name: str) -> str:
    """Return a name without the word of its split: `angle` of `train_angle`."""
    words = name.lower().replace("-", "_").split("_")
    return "_".join(word for word in words if find_split(word) is None) or name


def _find_role(names: Sequence[str], roles: Sequence[str]) -> str | None:
    """Return the first name with one of the words; of several, that with the first word of the list."""
    words = {name: (*name.lower().replace("-", "_").split("_"), strip_split(name)) for name in names}
    return next((name for role in roles for name in names if role in words[name]), None)


def shape_samples(stored: tuple[int, ...]) -> list[int]:
    """Return [channels, height, width] of stored images, (H, W) or with the channels first or last; else [features]."""
    if len(stored) == 2:
        return [1, *stored]
    if len(stored) == 3:
        return list(stored) if stored[0] in (1, 3) else [stored[2], *stored[:2]]
    return [int(np.prod(stored))] if len(stored) == 1 else list(stored)


def is_continuous(labels: np.ndarray[Any, Any]) -> bool:
    """Return whether labels are quantities, not classes: fractions, or too many different numbers."""
    if labels.dtype.kind not in "iuf":
        return False
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.round(labels)):
        return True
    return not are_classes(len(np.unique(labels)), len(labels))
