"""Folders of detection and segmentation are named as such: their annotations are not classes of images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.test_sources import opened
from unlearn_cli.data.layouts.recognise import recognise
from unlearn_cli.errors import UserError

BOX = "0 0.5 0.5 0.25 0.25\n"
FOLDERS = {
    "YOLO": ("images/train/0.jpg", "images/val/0.jpg", "labels/train/0.txt", "data.yaml"),
    "YOLO without splits": ("images/0.jpg", "Labels/0.txt"),
    "COCO": ("train2017/0.jpg", "val2017/0.jpg", "annotations/instances_train2017.json"),
    "VOC": ("JPEGImages/0.jpg", "Annotations/0.xml", "ImageSets/Main/train.txt"),
    "masks": ("images/0.jpg", "masks/0.png"),
}
NOT_OF_CLASSES = {
    "YOLO in splits": ("train/images/0.jpg", "train/labels/0.txt", "val/images/0.jpg", "val/labels/0.txt"),
    "darknet": ("obj/0.jpg", "obj/0.txt"),
    "a file per split": ("train/0.jpg", "train/_annotations.coco.json", "val/0.jpg"),
    "boxes next to images": ("train/0.jpg", "train/0.xml"),
}
CLASSES = {
    "labels with images": ("labels/0.jpg", "logos/0.jpg"),
    "captions": ("cat/0.jpg", "cat/0.txt", "dog/0.jpg", "labels.txt"),
    "images and masks as goods": ("masks/0.jpg", "gloves/0.jpg"),
}


def write(folder: Path, names: Sequence[str]) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".jpg", ".png"):
            Image.fromarray(np.full((8, 8), number, np.uint8)).save(path)
        else:
            path.write_text(BOX if path.suffix == ".txt" else "{}")
    return folder


@pytest.mark.parametrize("name", [*FOLDERS, *NOT_OF_CLASSES])
def test_annotations_are_named(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "d", {**FOLDERS, **NOT_OF_CLASSES}[name])
    with pytest.raises(UserError, match="annotations of detection and segmentation are not read, only classes"):
        recognise(folder)


@pytest.mark.parametrize("name", FOLDERS)
def test_annotations_are_no_classes_of_an_imagefolder(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "d", FOLDERS[name])
    with pytest.raises(UserError, match=r"data.train: .*annotations of detection and segmentation are not read"):
        opened({"imagefolder": str(folder)}, [1, 8, 8])


@pytest.mark.parametrize("name", CLASSES)
def test_classes_with_such_names_are_classes(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "d", CLASSES[name])
    classes = sorted({path.partition("/")[0] for path in CLASSES[name] if "/" in path})
    assert recognise(folder).classes == opened({"imagefolder": str(folder)}, [1, 8, 8]).classes == classes


def test_splits_are_no_classes(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", ("train/a/0.jpg", "train/b/0.jpg", "val/a/0.jpg"))
    with pytest.raises(UserError, match=r"its folders are splits \(train, val\), not classes; name one of them"):
        opened({"imagefolder": str(folder)}, [1, 8, 8])
