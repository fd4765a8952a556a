"""Folders of images: one folder per class, in one folder per split or not; and folders with one file per split."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from unlearn_cli.console import pluralize
from unlearn_cli.data.formats.system_files import is_system_name
from unlearn_cli.data.images.pillow_images import SUFFIXES
from unlearn_cli.data.layouts.image_sizes import ImageSizes, measure_images
from unlearn_cli.data.layouts.label_columns import describe_similar
from unlearn_cli.data.layouts.layout import DataLayout, Section, assign_splits, complete_splits, list_files
from unlearn_cli.errors import UserError

MOST_LISTED = 20_000  # images that are listed to choose a sample
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".data", ".dat")  # a .txt is often a description
SUBMISSION = "submission"  # in the name of an example of the file that a competition asks for
SHARD = re.compile(r"-\d+-of-\d+(-[0-9a-f]{16})?\.parquet$")  # of Hugging Face
ANNOTATIONS = "val_annotations.txt"  # of Tiny-ImageNet, next to a folder with images of all classes
DEEPEST = 4  # levels of folders below a class
OF_A_FILE = ("path", "root", "delimiter", "encoding", "header")  # keys of a table that depend on its file
DATA_SUFFIXES = (*TABLE_SUFFIXES, ".jsonl", ".parquet", ".arrow", ".npz", ".safetensors")


def list_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_system_name(path.name))


def find_images(folder: Path) -> list[Path]:
    """Return up to MOST_LISTED images below a folder, in the order of their paths."""
    return list(islice(_iterate_images(folder, DEEPEST), MOST_LISTED))


def _iterate_images(folder: Path, depth: int) -> Iterator[Path]:
    entries = sorted(path for path in folder.iterdir() if not is_system_name(path.name))
    yield from (path for path in entries if path.suffix.lower() in SUFFIXES and path.is_file())
    if depth:
        for path in entries:
            if path.is_dir():
                yield from _iterate_images(path, depth - 1)


def recognise_image_folders(folder: Path) -> DataLayout | None:
    """Return the layout of a folder with one folder of images per class; None if it is not one.

    The classes may be in one folder per split (`train`, `val`, `test`), as in ImageNet.
    """
    splits = assign_splits([path.name for path in list_folders(folder)])
    parts = {split: folder / name for split, name in splits.items()} or {"train": folder}
    parts = {split: part for split, part in parts.items() if list_folders(part)}
    if "train" not in parts:
        return None
    classes = [path.name for path in list_folders(parts["train"])]
    images = [image for name in classes for image in islice(_iterate_images(parts["train"] / name, DEEPEST), 1)]
    if len(classes) < 2 or not images:
        return None
    sizes = measure_images(find_images(parts["train"]), folder)
    sources = {split: {"imagefolder": part} for split, part in parts.items() if has_classes(part, classes)}
    layout = make_image_layout(sources, classes, sizes)
    omitted = [f"{part.name} has no folder of a class of train and is not used" for split, part in parts.items()
               if split not in sources]  # fmt: skip
    return replace(layout, remarks=[*describe_similar(classes, are_folders=True), *layout.remarks, *omitted])


def has_classes(part: Path, classes: Sequence[str]) -> bool:
    """Return whether a folder has folders of the classes, or a file that names the classes of its images."""
    return (part / ANNOTATIONS).is_file() or any((part / name).is_dir() for name in classes)


def make_image_layout(
    sources: Mapping[str, Section],
    classes: list[str],
    sizes: ImageSizes,
) -> DataLayout:
    """Return the layout of sources of image files."""
    completed, guesses = complete_splits(sources)
    return DataLayout(
        kind="images",
        task="classification",
        sources=completed,
        shape=sizes.shape,
        classes=classes,
        same_size=len(sizes.sizes) == 1,
        depth=65535 if sizes.deep else None,
        guesses=guesses,
        remarks=describe_sizes(sizes),
        unreadable=describe_unreadable(sizes),
    )


def describe_sizes(sizes: ImageSizes) -> list[str]:
    """Return remarks on images that cannot be read, and on several depths."""
    number = sum(sizes.sizes.values())
    remarks = []
    if sizes.unreadable:
        remarks.append(describe_unreadable(sizes))
    if sizes.deep and sizes.deep < number:
        verb = "has" if sizes.deep == 1 else "have"
        remarks.append(f"{sizes.deep} of {number} images {verb} more than 8 bits per pixel, the others 8")
    return remarks


def describe_unreadable(sizes: ImageSizes) -> str:
    """Return how many images cannot be read, and the first; '' if all can."""
    if not sizes.unreadable:
        return ""
    opened = pluralize(sum(sizes.sizes.values()) + sizes.unreadable, "image that was opened", "images that were opened")
    return f"{sizes.unreadable} of {opened} cannot be read, the first is {sizes.first}"


def find_split_files(folder: Path, ignored: tuple[str, ...] = ()) -> dict[str, Path]:
    """Return the only file of data in a folder as train, or the file of each split: train.csv, test.csv; perhaps none.

    Files with the suffixes `ignored` are left out, and so are examples of what a competition asks for.

    Raises:
        UserError: several files, and their names do not say which is for training.
    """
    files = [path for path in list_files(folder) if has_data_suffix(path) and not path.name.lower().endswith(ignored)]
    files = [path for path in files if SUBMISSION not in path.name.lower()] or files
    files = list(dict.fromkeys(map(join_shards, files)))
    if len(files) < 2:
        return {"train": files[0]} if files else {}
    splits = assign_splits([path.name for path in files])
    if not splits:
        names = ", ".join(path.name for path in files[:5]) + (", ..." if len(files) > 5 else "")
        raise UserError(f"{folder}: has several files of data ({names}); name one, or call them train and test")
    return {split: folder / name for split, name in splits.items()}


def join_shards(path: Path) -> Path:
    """Return the pattern of all shards of a parquet table: train-*.parquet for train-00000-of-00002.parquet."""
    return path.with_name(SHARD.sub("-*.parquet", path.name))


def merge_splits(layouts: Mapping[str, DataLayout]) -> DataLayout:
    """Return the layout of the file for training with the sources of all files."""
    train = layouts["train"]
    sources = {split: _take_keys(layout, train) for split, layout in layouts.items()}
    completed, guesses = complete_splits(sources)
    others = {key: reason for key, reason in train.guesses.items() if key != "data.test"}
    return replace(train, sources=completed, guesses={**others, **guesses})


def _take_keys(layout: DataLayout, train: DataLayout) -> Section:
    """Return the source of a file's records; the columns of a table are those of the file for training."""
    source = {key: value for key, value in layout.sources["train"].items() if key != "rows"}
    if "table" not in source or "table" not in train.sources["train"]:
        return source
    own = {key: value for key, value in source["table"].items() if key in OF_A_FILE}
    shared = {key: value for key, value in train.sources["train"]["table"].items() if key not in OF_A_FILE}
    return {**source, "table": {**own, **shared}}


def has_data_suffix(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(DATA_SUFFIXES)
