"""Folders with files in MNIST's format: images and labels of train and test (t10k)."""

import re
from pathlib import Path

from unlearn_cli.data.formats.idx import read_header, read_idx
from unlearn_cli.data.layouts.label_columns import sort_classes
from unlearn_cli.data.layouts.layout import DataLayout, complete_splits, list_files

IMAGES, LABELS = re.compile(r"images.idx\d|idx3-ubyte"), re.compile(r"labels.idx\d|idx1-ubyte")
TEST = "t10k"  # of MNIST, for 10,000 test images


def recognise_idx_files(folder: Path) -> DataLayout | None:
    """Return the layout of a folder with pairs of files in MNIST's format; None if it has none for training."""
    files = list_files(folder)
    images = {_find_part(path): path for path in files if IMAGES.search(path.name)}
    labels = {_find_part(path): path for path in files if LABELS.search(path.name)}
    pairs = {part: (images[part], labels[part]) for part in images if part in labels}
    if "train" not in pairs:
        return None
    sources = {part: {"idx": {"images": samples, "labels": numbers}} for part, (samples, numbers) in pairs.items()}
    completed, guesses = complete_splits(sources)
    samples, numbers = pairs["train"]
    shape = [1, *read_header(samples, "data").shape[1:]]
    classes = sort_classes([str(number) for number in set(read_idx(numbers, "data").tolist())])
    return DataLayout("images", "classification", completed, shape, classes, guesses=guesses)


def _find_part(path: Path) -> str:
    return "test" if path.name.startswith(TEST) or "test" in path.name else "train"
