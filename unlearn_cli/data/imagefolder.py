"""A folder with one folder of images a class; a record's id is its path below the folder."""

import os
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np

from unlearn_cli.data.images import SUFFIXES, ImageFiles
from unlearn_cli.data.records import Records, StoredInput, from_arrays
from unlearn_cli.data.strings import pack
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
    parts = [pack([_images(folder, label)]) for label in classes]
    names = pack(part.tolist() for part in parts)
    if not len(names):
        raise UserError(f"{name}: {folder}: no images in its folders; expected one folder of images a class")
    labels = np.repeat(np.array(classes), [len(part) for part in parts])
    records = from_arrays(name, ImageFiles(folder, names, input), labels, names)
    return replace(records, class_names=classes)


def _images(folder: Path, label: str) -> list[str]:
    """Return the paths of a class's images below the folder, in the order of their parts."""
    found: list[str] = []
    for parent, _, files in os.walk(folder / label):
        place = Path(parent).relative_to(folder).as_posix()
        found += [f"{place}/{file}" for file in files if PurePath(file).suffix.lower() in SUFFIXES]
    return sorted(found, key=lambda name: name.split("/"))
