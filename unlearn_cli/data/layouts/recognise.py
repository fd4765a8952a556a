"""Recognises the layout of a folder or file of data."""

from functools import partial
from pathlib import Path

from unlearn_cli.data.layouts.arrays import recognise_arrays
from unlearn_cli.data.layouts.folders import recognise_image_folders, recognise_split_files
from unlearn_cli.data.layouts.idx_files import recognise_idx_files
from unlearn_cli.data.layouts.layout import DataLayout
from unlearn_cli.data.layouts.tables import recognise_table
from unlearn_cli.errors import UserError

ARRAYS = (".npz", ".safetensors")


def recognise(path: Path, label: str | None = None) -> DataLayout:
    """Return the layout of the data at a path; `label` is the column or array of labels, which is guessed otherwise.

    Raises:
        UserError: it does not exist, cannot be read, or has no layout that is known.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; name the folder or file of your data")
    layout = recognise_folder(path, label) if path.is_dir() else recognise_file(path, label)
    if layout is None:
        raise UserError(
            f"{path}: no layout of data is recognised; expected one folder of images per class (perhaps in train and "
            "test), or a .csv, .jsonl, .parquet, .npz or .safetensors file"
        )
    return layout


def recognise_file(path: Path, label: str | None) -> DataLayout:
    """Return the layout of a file: of arrays by its suffix, otherwise a table."""
    return recognise_arrays(path, label) if path.suffix.lower() in ARRAYS else recognise_table(path, label)


def recognise_folder(folder: Path, label: str | None) -> DataLayout | None:
    try:
        return (
            recognise_image_folders(folder)
            or recognise_idx_files(folder)
            or recognise_split_files(folder, partial(recognise_file, label=label))
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{folder}: cannot be listed ({reason}); fix its permissions") from None
