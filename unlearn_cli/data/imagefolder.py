"""A folder with one folder of images a class; a record's id is its path below the folder."""

import os
from pathlib import Path

import numpy as np

from unlearn_cli.data.images import SUFFIXES, ImageFiles
from unlearn_cli.data.records import Records, StoredInput, from_arrays
from unlearn_cli.errors import UserError
from unlearn_cli.sources import ImageFolder


def imagefolder(spec: ImageFolder, name: str, input: StoredInput, task: str) -> Records:
    """List the images; none is opened yet."""
    folder = spec.path
    if not folder.is_dir():
        raise UserError(f"{name}: {folder}: there is no such folder; name a folder with one folder of images a class")
    if task == "regression":
        raise UserError(
            f"{name}: {folder}: folders give classes, not numbers; use a table with a column of image paths"
        )
    if len(input.shape) != 3 or input.shape[0] not in (1, 3):
        raise UserError(f"{name}: images have shape [1 or 3, height, width], but input.shape is {input.shape}")
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    paths = [path for label in classes for path in _images(folder / label)]
    if not paths:
        raise UserError(f"{name}: {folder}: no images in its folders; expected one folder of images a class")
    ids = np.array([path.relative_to(folder).as_posix() for path in paths])
    labels = np.array([path.relative_to(folder).parts[0] for path in paths])
    records = from_arrays(name, ImageFiles(paths, input), labels, ids)
    return Records(name, records.inputs, labels, ids, records.column, records.where, classes)


def _images(folder: Path) -> list[Path]:
    found = [Path(parent, file) for parent, _, files in os.walk(folder) for file in files]
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES)
