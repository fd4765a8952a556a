"""A folder with one folder of images per class; a record's id is its path below the folder.

Hidden and system files and folders are not data. Any other file is a record if its suffix or its content is that of an
image. Links to files are followed; links to folders are followed within the source, unless the folder is already read.
A class folder may be a link to anywhere. Everything that is left out is counted.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Literal

import numpy as np

from unlearn_cli.data.formats.annotated_folder import find_annotations, read_annotated
from unlearn_cli.data.formats.detection import DETECTION, has_annotations
from unlearn_cli.data.formats.system_files import is_system_name
from unlearn_cli.data.images.image_files import ImageFiles
from unlearn_cli.data.images.pillow_images import SUFFIXES, contains_image
from unlearn_cli.data.notices import make_notices
from unlearn_cli.data.records import Records, StoredInput, from_arrays
from unlearn_cli.data.split_names import are_splits
from unlearn_cli.data.strings import concatenate, pack
from unlearn_cli.errors import UserError
from unlearn_cli.schema.image_steps import DEFAULT_MODES
from unlearn_cli.schema.sources import ImageFolder

Kind = Literal["folder", "file", "broken link", "other"]


def imagefolder(spec: ImageFolder, name: str, input: StoredInput, task: str) -> Records:
    """List the images; files without the suffix of an image are recognised by their content.

    Raises:
        UserError: the folder does not exist or may not be listed, or a class has no image.
    """
    folder = spec.path
    if not folder.is_dir():
        flaw = "is a file; unpack an archive, and" if folder.exists() else "no such folder;"
        raise UserError(f"{name}: {folder}: {flaw} name a folder with one folder of images per class")
    if task == "regression":
        raise UserError(
            f"{name}: {folder}: folders are classes, but a regression needs numbers; use a table with a column of "
            "image paths"
        )
    if len(input.shape) != 3 or input.shape[0] not in DEFAULT_MODES:
        raise UserError(f"{name}: images have shape [1, 3 or 4, height, width], but input.shape is {input.shape}")
    annotations = find_annotations(folder, spec.annotations)
    if annotations is not None:
        skips = spec.unreadable == "skip"
        return read_annotated(folder, annotations, name, input, allow_missing=skips)
    left_out: Counter[str] = Counter()
    classes = _list_class_folders(folder, name, left_out)
    _refuse_splits(classes, f"{name}: {folder}")
    if has_annotations(folder):
        raise UserError(f"{name}: {folder}: {DETECTION}")
    parts = [pack([_Class(folder, label, name, left_out).images()]) for label in classes]
    _refuse_empty(classes, [len(part) for part in parts], f"{name}: {folder}")
    names = concatenate(parts)
    labels = np.repeat(np.array(classes), [len(part) for part in parts])
    records = from_arrays(name, ImageFiles(folder, names, input), labels, names)
    return replace(records, class_names=classes, id_folder=folder, notices=make_notices(name, dict(left_out)))


def _list_class_folders(folder: Path, name: str, left_out: Counter[str]) -> list[str]:
    classes = []
    for entry in _scan_folder(folder, name):
        kind = _find_kind(entry)
        if is_system_name(entry.name):
            left_out[_describe_hidden(kind)] += 1
        elif kind == "folder":
            classes.append(entry.name)
        else:
            left_out["files outside of the class folders, left out"] += 1
    return sorted(classes)


def _refuse_splits(folders: list[str], source: str) -> None:
    if are_splits(folders):
        raise UserError(
            f"{source}: its folders are splits ({', '.join(folders)}), not classes; name one of them for each split"
        )


def _refuse_empty(classes: list[str], counts: list[int], source: str) -> None:
    if not sum(counts):
        raise UserError(f"{source}: no images in its folders; expected one folder of images per class")
    empty = [f"'{label}'" for label, count in zip(classes, counts, strict=True) if not count]
    if empty:
        named = ", ".join(empty[:10]) + (f" and {len(empty) - 10} more" if len(empty) > 10 else "")
        raise UserError(
            f"{source}: no images in the class folder{'' if len(empty) == 1 else 's'} {named}; put images there, or "
            "remove the folder and list the model's classes in 'classes'"
        )


@dataclass
class _Class:
    """The traversal of one class's folder."""

    root: Path
    label: str
    source: str
    left_out: Counter[str]
    names: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)  # still to be read
    links: list[str] = field(default_factory=list)  # to folders: read last, because they may lead to another folder
    read: set[str] = field(default_factory=set)  # by their real paths

    def images(self) -> list[str]:
        """Return the paths of the class's images below the root, in the order of their parts."""
        own = os.path.realpath(self.root / self.label)
        inside = (os.path.realpath(self.root), own)
        if not _lies_in(own, inside[0]):
            self.left_out["class folders that are links to outside of the source, followed"] += 1
        self.folders.append(self.label)
        while self.folders or self.links:
            is_link = not self.folders
            folder = self.links.pop(0) if is_link else self.folders.pop()
            real = os.path.realpath(self.root / folder)
            if is_link and not any(_lies_in(real, parent) for parent in inside):
                self.left_out["links to folders outside of the source, left out"] += 1
            elif real in self.read or (is_link and _lies_in(own, real)):
                self.left_out["links to folders that are already read, left out"] += 1
            else:
                self.read.add(real)
                self._take_all(folder)
        return sorted(self.names, key=lambda name: name.replace("/", "\0"))

    def _take_all(self, folder: str) -> None:
        for entry in sorted(_scan_folder(self.root / folder, self.source), key=attrgetter("name")):
            kind, path = _find_kind(entry), f"{folder}/{entry.name}"
            if is_system_name(entry.name):
                self.left_out[_describe_hidden(kind)] += 1
            elif kind == "folder":
                (self.links if entry.is_symlink() else self.folders).append(path)
            elif _is_image(entry, kind):
                self.names.append(path)
            else:
                self.left_out[_REASONS[kind]] += 1


_REASONS = {
    "file": "files that are not images of a supported format, left out",
    "broken link": "broken links, left out",
    "other": "neither files nor folders, left out",
}


def _is_image(entry: os.DirEntry[str], kind: Kind) -> bool:
    """Return whether a file is an image; a broken link to one is a record, which is refused or omitted when read."""
    name = entry.name
    if name[name.rfind(".") :].lower() in SUFFIXES:
        return kind in ("file", "broken link")
    return kind == "file" and contains_image(Path(entry.path))


def _describe_hidden(kind: Kind) -> str:
    return f"hidden and system {'folders' if kind == 'folder' else 'files'}, left out"


def _find_kind(entry: os.DirEntry[str]) -> Kind:
    """Return the kind of an entry; links are followed."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:  # links form a loop
        return "broken link"
    return "broken link" if entry.is_symlink() and not os.path.exists(entry.path) else "other"


def _scan_folder(folder: Path, name: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{name}: {folder}: cannot be listed ({reason}); fix its permissions or remove it") from None


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
