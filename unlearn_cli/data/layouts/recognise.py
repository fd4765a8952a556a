"""Recognises the layout of a folder or file of data."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from unlearn_cli.data.formats.detection import DETECTION, has_annotated_images, has_annotations
from unlearn_cli.data.layouts.arrays import recognise_arrays
from unlearn_cli.data.layouts.folders import (
    find_images,
    find_split_files,
    list_folders,
    merge_splits,
    recognise_image_folders,
)
from unlearn_cli.data.layouts.idx_files import recognise_idx_files
from unlearn_cli.data.layouts.layout import DataLayout, assign_splits
from unlearn_cli.data.layouts.table_text import list_columns
from unlearn_cli.data.layouts.tables import recognise_table
from unlearn_cli.data.tables.datasets_folder import DICT, STATE
from unlearn_cli.errors import UserError

EXPECTED = (
    "expected one folder of images per class (perhaps in train and test), a .csv, .jsonl, .parquet, .npz or "
    ".safetensors file, or a folder of save_to_disk"
)
NAMES = ("data", "dataset", "datasets", "images", "imgs")  # of folders with all data
ARRAYS = (".npz", ".safetensors")


def recognise(path: Path, labels: Sequence[str] = ()) -> DataLayout:
    """Return the layout of the data at a path; `labels` are its columns or its array of labels; default: guessed.

    Raises:
        UserError: it does not exist, cannot be read, or has no layout that is known.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; name the folder or file of your data")
    layout = recognise_folder(path, labels) if path.is_dir() else recognise_file(path, labels)
    if layout is None:
        raise UserError(f"{path}: no layout of data is recognised{describe_images(path)}; {EXPECTED}")
    return layout


def describe_images(folder: Path) -> str:
    """Return what a folder of images lacks, for messages; '' without images."""
    if not folder.is_dir() or not find_images(folder):
        return ""
    classes = [inner.name for inner in list_folders(folder)]
    if has_annotated_images(folder):
        return f": {DETECTION}"
    if len(classes) == 1:
        return f": only one folder has images, '{classes[0]}', but a classification has at least two"
    return "" if classes else ": its images are in no folder of a class, and no table names their classes"


def recognise_file(path: Path, labels: Sequence[str]) -> DataLayout:
    """Return the layout of a file: of arrays by its suffix, otherwise a table."""
    is_arrays = path.suffix.lower() in ARRAYS
    if is_arrays and len(labels) > 1:
        raise UserError(f"{path}: {len(labels)} arrays of labels are named; name one array, (n,) or (n, K)")
    return recognise_arrays(path, *labels) if is_arrays else recognise_table(path, labels)


def recognise_next_to_weights(folder: Path, labels: Sequence[str]) -> DataLayout | None:
    """Return the layout of the data in a folder that also has files of weights; None if it has no data.

    Raises:
        UserError: there are data, but they cannot be read.
    """
    return recognise_folder(folder, labels, ignored=(".safetensors",))


def recognise_folder(folder: Path, labels: Sequence[str], ignored: tuple[str, ...] = ()) -> DataLayout | None:
    """Return the layout of a folder, or of the folder `data` or the only one inside; None without one.

    Files with the suffixes `ignored` are left out.

    Raises:
        UserError: it cannot be listed or read, or has annotations of detection.
    """
    try:
        if has_annotations(folder):
            raise UserError(f"{folder}: {DETECTION}")
        if saved := find_saved_splits(folder):
            return recognise_split_files(saved, labels)
        return (
            recognise_image_folders(folder)
            or recognise_idx_files(folder)
            or recognise_split_files(find_split_files(folder, ignored), labels)
            or _recognise_inner(folder, labels)
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{folder}: cannot be listed ({reason}); fix its permissions") from None


def recognise_split_files(files: Mapping[str, Path], labels: Sequence[str]) -> DataLayout | None:
    """Return the layout of one file, or of one file per split; None without files.

    If only the table for training has the column of labels, as in competitions, the others are left out.
    """
    if len(files) < 2:
        return recognise_file(files["train"], labels) if files else None
    wanted, labelled = list(labels), dict(files)
    if not any(path.suffix.lower() in ARRAYS for path in files.values()):
        wanted, labelled = find_labelled(files, labels)
    layout = merge_splits({split: recognise_file(path, wanted) for split, path in labelled.items()})
    guesses = {} if labels or not wanted else {"label": "the columns: only the table for training has it"}
    omitted = [f"{path.name} has no labels and is not used" for split, path in files.items() if split not in labelled]
    return replace(layout, guesses={**layout.guesses, **guesses}, remarks=[*layout.remarks, *omitted])


def find_saved_splits(folder: Path) -> dict[str, Path]:
    """Return the folder, or the folders in it by split, that save_to_disk of Hugging Face's datasets wrote; or none.

    Raises:
        UserError: the names of several folders do not say which is for training.
    """
    if (folder / STATE).is_file():
        return {"train": folder}
    inner = [path.name for path in list_folders(folder) if (path / STATE).is_file()]
    if not (folder / DICT).is_file() or not inner:
        return {}
    splits = assign_splits(inner) or ({"train": inner[0]} if len(inner) == 1 else {})
    if not splits:
        names = ", ".join(inner)
        raise UserError(f"{folder}: contains several splits ({names}), none of which is train; name one of them")
    return {split: folder / name for split, name in splits.items()}


def find_labelled(files: Mapping[str, Path], labels: Sequence[str]) -> tuple[list[str], dict[str, Path]]:
    """Return the columns of labels, if they are given or evident, and the tables that have them."""
    columns = {split: list_columns(path) for split, path in files.items()}
    others = {name for split, names in columns.items() if split != "train" for name in names}
    only = [name for name in columns["train"] if name not in others]
    wanted = list(labels) or (only if len(only) == 1 else [])
    labelled = {split: path for split, path in files.items() if split == "train" or set(wanted) <= {*columns[split]}}
    return wanted, labelled


def _recognise_inner(folder: Path, labels: Sequence[str]) -> DataLayout | None:
    """Return the layout of the folder inside that has a usual name of data, or that is the only one."""
    folders = list_folders(folder)
    named = [inner for inner in folders if inner.name.lower() in NAMES]
    inner = named[:1] or (folders if len(folders) == 1 else [])
    return recognise_folder(inner[0], labels) if inner else None
