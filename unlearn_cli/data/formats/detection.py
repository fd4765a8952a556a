"""Recognises folders of detection and segmentation (COCO, VOC, YOLO): their annotations are not classes of images."""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from unlearn_cli.data.formats.system_files import is_system_name
from unlearn_cli.data.images.pillow_images import SUFFIXES
from unlearn_cli.data.split_names import find_split

IMAGES = {"image", "images", "img", "imgs", "jpegimages", "photos", "pictures"}
BOXES = {"annotation", "annotations", "bboxes", "boxes", "imagesets", "label", "labels", "xmls"}
MASKS = {
    *("ground_truth", "groundtruth", "gt", "mask", "masks", "segmentation", "segmentationclass", "segmentationobject"),
    *("segmentations",),
}
ENDINGS = (".xml", ".json")  # of annotations
OF_SPLIT = "annotations.coco.json"  # the end of the name of the file of a split
YOLO_LINE = re.compile(r"\d+(\s+\d*\.?\d+(e-?\d+)?){4,}\s*")  # class, centre, width and height; or points
FEW = 200  # files of a folder that are looked at
DETECTION = (
    "annotations of detection and segmentation are not read, only classes of whole images; write each object as an "
    "image of its own into one folder per class"
)


def has_annotations(folder: Path) -> bool:
    """Return whether the folders in a folder, or in one of its splits, are images and annotations, not classes."""
    inner = _list_folders(folder)
    return _are_annotated(inner) or any(_are_annotated(_list_folders(path)) for path in inner if find_split(path.name))


def _are_annotated(folders: Sequence[Path]) -> bool:
    names = {path.name.lower() for path in folders}
    others = names - BOXES - MASKS
    if names <= others or not others or not all(name in IMAGES or find_split(name) for name in others):
        return False
    boxes = [path for path in folders if path.name.lower() in BOXES]
    return bool(names & MASKS) or any(_has_only_annotations(path) for path in boxes)


def _has_only_annotations(folder: Path) -> bool:
    files = list(islice(_list_files(folder), FEW))
    are_boxes = any(path.suffix.lower() in ENDINGS or (path.suffix == ".txt" and _has_boxes(path)) for path in files)
    return (are_boxes or not files) and not any(path.suffix.lower() in SUFFIXES for path in files)


def has_annotated_images(folder: Path) -> bool:
    """Return whether images have files of boxes next to them: 1.xml or 1.txt next to 1.jpg, or a file for all."""
    files = list(islice(_list_files(folder), FEW))
    if any(path.name.lower().endswith(OF_SPLIT) for path in files):
        return True
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    return any(image.with_suffix(".xml").is_file() or _has_boxes(image.with_suffix(".txt")) for image in images)


def _has_boxes(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return YOLO_LINE.fullmatch(file.readline(1000).decode("latin-1")) is not None


def _list_folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not is_system_name(path.name)]


def _list_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_system_name(name)]
        yield from (Path(parent) / name for name in names if not is_system_name(name))
