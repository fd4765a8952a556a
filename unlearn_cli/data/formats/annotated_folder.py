"""A folder of images with a file of their classes, as Tiny-ImageNet has it for validation: val_annotations.txt.

Each line has the name of a file and its class, separated by a tab, a comma or another delimiter of tables; further
cells, such as bounding boxes, are ignored. The images lie next to the file or in the folder `images`.
Source of the layout: http://cs231n.stanford.edu/tiny-imagenet-200.zip
"""

import os
from dataclasses import replace
from pathlib import Path

from unlearn_cli.data.formats.system_files import is_system_name
from unlearn_cli.data.images.image_files import ImageFiles
from unlearn_cli.data.images.image_paths import check_paths
from unlearn_cli.data.notices import make_notices
from unlearn_cli.data.records import Records, StoredInput, from_arrays
from unlearn_cli.data.strings import Strings, pack
from unlearn_cli.data.tables.csv_layout import CsvOptions
from unlearn_cli.data.tables.table_file import TableFile
from unlearn_cli.errors import UserError

USUAL = "val_annotations.txt"
IMAGES = "images"


def find_annotations(folder: Path, given: Path | None) -> Path | None:
    """Return the file of classes: the manifest's, else the usual one if the folder has it."""
    if given is not None:
        return given
    usual = folder / USUAL
    return usual if usual.is_file() else None


def read_annotated(
    folder: Path, annotations: Path, name: str, input: StoredInput, *, allow_missing: bool = False
) -> Records:
    """List the annotated images; a record's id is its path below the folder.

    Raises:
        UserError: the file has no second column, an image is annotated twice, or an annotated image is missing
            and may not be.
    """
    file = TableFile(annotations, name, options=CsvOptions(header=False, has_keys=False))
    if len(file.types) < 2:
        raise UserError(f"{file.location}: has one column; expected the name of a file and its class in each line")
    names, labels = file.text("column_0"), file.text("column_1")
    repeated = names.find_duplicate()
    if repeated is not None:
        raise UserError(f"{file.location}: the image '{repeated}' is annotated twice; remove one of the lines")
    inside = f"{IMAGES}/" if (folder / IMAGES).is_dir() else ""
    paths = pack([f"{inside}{text}" for text in chunk] for chunk in names.chunks())
    check_paths(paths, folder.resolve(), file.location, allow_missing=allow_missing)
    records = from_arrays(name, ImageFiles(folder, paths, input), labels, paths)
    unused = _count_others(folder / inside, annotations, names)
    notices = make_notices(name, {"files without an annotation, left out": unused})
    return replace(records, class_names=labels.factorize()[0], id_folder=folder, notices=notices)


def _count_others(folder: Path, annotations: Path, names: Strings) -> int:
    """Return the number of files in the folder that are not annotated."""
    annotated = {*(text for chunk in names.chunks() for text in chunk), annotations.name}
    with os.scandir(folder) as entries:
        return sum(
            entry.is_file() and not is_system_name(entry.name) and entry.name not in annotated for entry in entries
        )
