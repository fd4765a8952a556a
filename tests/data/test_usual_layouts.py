"""Layouts of well-known data sets as they are downloaded: Tiny-ImageNet's validation, MedMNIST, Keras's mnist.npz."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.data.test_sources import GREY, LABELS, opened, picture, samples
from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest

SHAPE = [1, *GREY.shape[2:]]


def write_tiny_imagenet(folder: Path) -> None:
    """Write train/CLASS/images/*.png and val/images/*.png with val/val_annotations.txt."""
    lines = []
    for number, label in enumerate(LABELS):
        for path in (f"train/n0{label}/images/n0{label}_{number}.png", f"val/images/val_{number}.png"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            picture(GREY[number]).save(folder / path)
        (folder / f"train/n0{label}/n0{label}_boxes.txt").write_text("x\t0\t0\t1\t1\n")
        lines.append(f"val_{number}.png\tn0{label}\t0\t32\t44\t62\n")
    (folder / "val/val_annotations.txt").write_text("".join(lines))


def open_parts(data: dict[str, Any], shape: list[int] = SHAPE) -> Dataset:
    manifest = {"version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": shape}}
    manifest["data"] = data
    return open_dataset(Manifest.model_validate(manifest).data_sections)


def test_tiny_imagenet_is_read_as_it_is(tmp_path: Path) -> None:
    write_tiny_imagenet(tmp_path)
    picture(GREY[0]).save(tmp_path / "val/images/other.png")
    val = {"imagefolder": str(tmp_path / "val")}
    dataset = open_parts({"train": {"imagefolder": str(tmp_path / "train")}, "test": val, "validation": val})
    assert dataset.classes == ["n00", "n01", "n02"]
    assert dataset.split("train").labels.tolist() == LABELS.tolist()
    for name in ("test", "validation"):
        assert dataset.split(name).labels.tolist() == LABELS.tolist()
        assert np.array_equal(samples(dataset.split(name)), GREY)
    assert dataset.split("test").ids[0] == "images/val_0.png"
    assert {(notice.source, notice.kind): notice.count for notice in dataset.notices} == {
        ("data.train", "files that are not images of a supported format, left out"): 3,
        ("data.test", "files without an annotation, left out"): 1,
        ("data.validation", "files without an annotation, left out"): 1,
    }


def test_another_file_may_have_the_classes(tmp_path: Path) -> None:
    for number in range(2):
        picture(GREY[number]).save(tmp_path / f"{number}.png")
    (tmp_path / "list.csv").write_text("1.png,b\n0.png,a\n")
    folder = {"path": str(tmp_path), "annotations": str(tmp_path / "list.csv")}
    dataset = opened({"imagefolder": folder}, SHAPE, forget={"ids": ["1"]})
    assert np.array_equal(samples(dataset.split("train")), GREY[[1, 0]]) and not dataset.notices[1:]
    assert dataset.split("train").labels.tolist() == [1, 0] and dataset.split("forget").rows.tolist() == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.png,a\n9.png,b\n", "row 1: no image 9.png below the root folder"),
        ("0.png,a\n0.png,b\n", "the image '0.png' is annotated twice"),
        ("0.png\n1.png\n", "has one column; expected the name of a file and its class"),
        ("../x.png,a\n", "outside of the root folder|no image"),
    ],
)
def test_wrong_annotations_are_told(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(2):
        picture(GREY[number]).save(tmp_path / f"images/{number}.png")
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UserError, match=message.replace("no image 9", "no image images/9")):
        opened({"imagefolder": {"path": str(tmp_path), "annotations": str(tmp_path / "list.csv")}}, SHAPE)


NAMES = [("{}_images", "{}_labels"), ("x_{}", "y_{}"), ("X_{}", "y_{}"), ("{}_x", "{}_y")]


@pytest.mark.parametrize(("images", "labels"), NAMES)
@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_parts_of_one_file_have_their_usual_names(images: str, labels: str, kind: str, tmp_path: Path) -> None:
    parts = {"train": slice(None), "val": slice(0, 4), "test": slice(3, None)}
    arrays = {images.format(part): np.ascontiguousarray(GREY[rows, 0]) for part, rows in parts.items()}
    arrays |= {labels.format(part): LABELS[rows, None].astype(np.uint8) for part, rows in parts.items()}
    path = tmp_path / f"pathmnist.{kind}"
    np.savez(path, **arrays) if kind == "npz" else save_file(arrays, path)  # type: ignore[arg-type]
    dataset = open_parts({name: {kind: str(path)} for name in ("train", "test", "validation")})
    assert dataset.classes == ["0", "1", "2"]
    for part, rows in (("train", slice(None)), ("validation", slice(0, 4)), ("test", slice(3, None))):
        assert dataset.split(part).labels.tolist() == LABELS[rows].tolist()
        assert np.array_equal(samples(dataset.split(part)), GREY[rows])


def test_named_arrays_may_have_labels_in_a_column(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", a=GREY[:, 0], b=LABELS[:, None], key=np.array([f"k{i}" for i in range(6)])[:, None])
    source = {"npz": {"path": str(tmp_path / "t.npz"), "inputs": "a", "labels": "b", "ids": "key"}}
    dataset = opened(source, SHAPE, forget={"ids": ["k4"]})
    assert dataset.split("forget").rows.tolist() == [4]
    np.savez(tmp_path / "t.npz", a=GREY[:, 0], b=np.stack([LABELS, LABELS], axis=1))
    with pytest.raises(UserError, match=r"labels of shape \[6, 2\]; expected one label per sample"):
        opened({"npz": {"path": str(tmp_path / "t.npz"), "inputs": "a", "labels": "b"}}, SHAPE)


def test_a_file_with_x_and_y_has_no_other_parts(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=GREY, y=LABELS, train_images=GREY[:2], train_labels=LABELS[:2])
    assert len(opened({"npz": str(tmp_path / "t.npz")}, SHAPE).split("train")) == 6
