"""Bad input to `unlearn`, data files with mistakes; one line, exit code 2, nothing written."""

import os
from collections.abc import Callable

import numpy as np
import pytest

from tests.commands.bad_input_cases import (
    Case,
    M,
    case,
    late,
)
from tests.commands.damaged_project import (
    array,
    both,
    compressed_and_corrupt,
    cut,
    field,
    folder_of,
    idx,
    removed,
    source,
    text,
    value,
)

FROM_1 = both(
    *(array(name, y=np.arange(count) % 3 + 1) for name, count in (("train.npz", 30), ("test.npz", 15))),
    field("classes", None),
    field("forget.classes", [1]),
)

CASES = [
    case("npz missing", removed("train.npz"), M, "data.train", "train.npz", "no such file"),
    case("npz truncated", cut("train.npz", -100), M, "train.npz", "npz"),
    case("npz empty", text("", "train.npz"), M, "train.npz", "npz"),
    case("npz corrupt", compressed_and_corrupt, M, "train.npz", "npz"),
    case("npz without the array", field("data.train", {"npz": {"path": "train.npz", "inputs": "X"}}), M, "train.npz",
         "no array 'X'"),
    case("npz with ids of another length", both(array(few=np.zeros(3)), field("data.train", {
        "npz": {"path": "train.npz", "ids": "few"}})), M, "train.npz", "ids 'few' have shape [3]"),
    case("npz of pickled objects", array(x=np.array([{}] * 30, dtype=object)), M, "train.npz", "plain npz file"),
    case("npz of one array", lambda f: np.save(f / "train.npy", np.zeros(3)) or os.replace(
        f / "train.npy", f / "train.npz"), M, "train.npz", "one array"),
    case("npz of a scalar", array(x=np.array(1.0)), M, "train.npz", "samples"),
    case("npz of text", array(x=np.full((30, 4), "a")), M, "train.npz", "expected numbers"),
    case("npz without records", array(x=np.zeros((0, 4)), y=np.zeros(0, np.int64)), M, "data.train", "no records"),
    case("safetensors missing", source(safetensors="x.safetensors"), M, "x.safetensors", "no such file"),
    case("safetensors of data truncated", both(source(safetensors="train.safetensors"), cut("train.safetensors", 300)),
         M, "train.safetensors", "not an intact safetensors file"),
    case("imagefolder missing", source(imagefolder="pictures"), M, "pictures", "no such folder"),
    case("imagefolder empty", both(source(imagefolder="empty"), field("input.shape", [1, 4, 4]), folder_of("empty")), M,
         "empty", "no images"),
    case("imagefolder for another shape", source(imagefolder="images"), M, "[1, 3 or 4, height, width]"),
    case("table of an unknown kind", source(table={"path": "train.xlsx", "label": "y"}), M, "train.xlsx", ".parquet"),
    case("table is no parquet", both(text("a,b\n", "train.parquet"), source(
        table={"path": "train.parquet", "label": "y"})), M, "train.parquet"),
    case("table is no jsonl", both(text("{a: 1\n", "train.jsonl"), source(
        table={"path": "train.jsonl", "label": "y"})), M, "train.jsonl"),
    case("image missing that a csv lists", both(removed("images/dog/0.png"), source(
        table={"path": "images.csv", "label": "label", "image": "file"}), field("input.shape", [1, 4, 4])), M,
        "images.csv", "images/dog/0.png"),
    case("image path that leaves its folder", both(text("file,label\n../../etc/x.png,cat\n", "images.csv"), source(
        table={"path": "images.csv", "label": "label", "image": "file"}), field("input.shape", [1, 4, 4])), M,
        "images.csv", "outside"),
    case("idx missing", source(idx={"images": "images.idx", "labels": "x.idx"}), M, "x.idx", "no such file"),
    case("idx truncated", both(source(idx={"images": "images.idx", "labels": "labels.idx"}), cut("images.idx", -1)), M,
         "images.idx", "truncated"),
    case("idx with a truncated header", both(source(idx={"images": "images.idx", "labels": "labels.idx"}),
                                             cut("images.idx", 6)), M, "images.idx", "truncated"),
    case("idx with a truncated gzip", both(source(idx={"images": "images.idx", "labels": "labels.idx"}),
                                           text(b"\x1f\x8b\x08\x00", "images.idx")), M, "images.idx", "unpacked"),
    case("idx of no dimension", both(source(idx={"images": "images.idx", "labels": "labels.idx"}),
                                     text(b"\0\0\x08\0\1", "labels.idx")), M, "labels.idx"),
    case("idx that is something else", both(source(idx={"images": "train.csv", "labels": "labels.idx"})), M,
         "train.csv", "idx"),
    case("idx images as labels", both(source(idx={"images": "images.idx", "labels": "images.idx"}), field(
        "input.shape", [1, 4, 4])), M, "images.idx", "labels"),
    case("idx of other lengths", both(source(idx={"images": "images.idx", "labels": "labels.idx"}), text(
        idx(np.zeros(5, np.uint8)), "labels.idx")), M, "6 images", "5 labels"),
    case("torchvision set missing", source(torchvision={"name": "MNIST", "root": "x", "part": "train"}), M, "no such"),
    late("torchvision set of no files", source(torchvision={"name": "CIFAR10", "root": ".", "part": "train"}), M,
         "original files of CIFAR10"),
    case("torchvision set unknown", source(torchvision={"name": "SVHN", "root": "x", "part": "train"}), M, "'MNIST'"),
    case("sklearn set unknown", source(sklearn="iris"), M, "data.train.sklearn"),
    case("sklearn set of that name unknown", source(sklearn={"name": "iris"}), M, "'digits'"),
    case("data has NaN", value("x", 7, np.nan), M, "train.npz", "NaN", "row 7"),
    case("data has numbers too large", value("x", 7, 1e300), M, "train.npz", "row 7"),
    case("label out of range", value("y", 7, 3), M, "label '3' is not one of the 3 classes"),
    case("label negative", value("y", 7, -1), M, "label '-1'"),
    case("label huge", both(value("y", 7, 1e12), field("classes", None), field("forget.classes", [1])), M, "label",
         "classes"),
    case("label infinite", both(value("y", 7, np.inf), field("classes", None), field("forget.classes", [1])), M,
         "not integers"),
    case("label in test unknown", both(field("classes", None), field("forget.classes", [1]), array(
        "test.npz", y=np.full(15, 9))), M, "data.test", "label '9'"),
    late("labels from 1", FROM_1, "model.safetensors", "it has 3 outputs instead of 4",
         "labels of train start at 1: set classes: [1, 2, 3] in the manifest"),
    case("labels from 1 and a number of classes", both(FROM_1, field("model.arguments.num_classes", 3)), M,
         "label '3' is not one of the 3 classes", "start at 1: set classes: [1, 2, 3]"),
    case("label complex", array(y=np.zeros(30, np.complex64)), M, "train.npz", "labels"),
    case("labels of floats", both(value("y", 7, 0.5), field("classes", None), field("forget.classes", [1])), M,
         "not integers", "task: regression"),
    case("labels of floats with classes", value("y", 7, 0.5), M, "label '0.5'"),
    case("labels fewer than samples", array(y=np.zeros(29, np.int64)), M, "[30, 4]", "[29]", "one label per sample"),
    case("labels of two columns", array(y=np.zeros((30, 2), np.int64)), M, "labels of shape [30, 2]"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, check_case: Callable[[Case], None]) -> None:
    check_case(case)
