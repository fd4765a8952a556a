"""Folders and files of Hugging Face's datasets, written by the library itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.test_sources import opened, samples
from unlearn_cli.data.layouts.recognise import recognise
from unlearn_cli.errors import UserError

datasets = pytest.importorskip("datasets")
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
SHAPE = [3, 8, 8]
OUTSIDE = '{"_data_files": [{"filename": "../x"}]}'


def make_dataset(rows: range) -> Any:
    labels = datasets.ClassLabel(names=["ant", "bee", "10"])
    features = datasets.Features({"image": datasets.Image(), "label": labels, "key": datasets.Value("string")})
    columns = {
        "image": [Image.fromarray(PIXELS[row]) for row in rows],
        "label": [row % 3 for row in rows],
        "key": [f"k{row:02d}" for row in rows],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def check(path: Path) -> None:
    table = {"path": str(path), "label": "label", "image": "image", "id": "key"}
    dataset = opened({"table": table}, SHAPE, forget={"classes": ["bee"]})
    assert np.array_equal(samples(dataset.split("train")), PIXELS.transpose(0, 3, 1, 2))
    assert dataset.classes == ["ant", "bee", "10"]
    assert dataset.split("forget").ids == ["k01", "k04", "k07", "k10"]
    assert dataset.split("train").records.where is not None


@pytest.mark.parametrize("shards", [1, 3])
def test_a_saved_folder_is_a_table(shards: int, tmp_path: Path) -> None:
    make_dataset(range(12)).save_to_disk(tmp_path / "saved", num_shards=shards)
    check(tmp_path / "saved")


def test_the_splits_of_a_dictionary_are_named(tmp_path: Path) -> None:
    splits = datasets.DatasetDict({"train": make_dataset(range(12)), "test": make_dataset(range(3))})
    splits.save_to_disk(tmp_path / "saved")
    check(tmp_path / "saved" / "train")
    with pytest.raises(UserError, match="contains several splits; name one of them: saved/train, saved/test"):
        check(tmp_path / "saved")


def test_selected_rows_are_saved_in_their_order(tmp_path: Path) -> None:
    make_dataset(range(12)).select([5, 2, 9]).save_to_disk(tmp_path / "saved")
    dataset = opened({"table": {"path": str(tmp_path / "saved"), "label": "label", "image": "image"}}, SHAPE)
    assert np.array_equal(samples(dataset.split("train")), PIXELS[[5, 2, 9]].transpose(0, 3, 1, 2))


def test_exported_parquet_has_images_and_classes(tmp_path: Path) -> None:
    make_dataset(range(12)).to_parquet(tmp_path / "train.parquet")
    check(tmp_path / "train.parquet")


def test_numbers_and_text_are_columns(tmp_path: Path) -> None:
    rows = {"f": [1.5, 2.5, 3.5, 4.5], "work": ["a", "b", "a", "b"], "y": ["no", "yes", "no", "yes"]}
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "saved")
    where = [{"column": "f", "op": ">", "value": 3}]
    dataset = opened(
        {"table": {"path": str(tmp_path / "saved"), "label": "y", "one_hot": ["work"]}}, [4], forget={"where": where}
    )
    assert samples(dataset.split("train")).tolist() == [[1.5, 1, 0, 0], [2.5, 0, 1, 0], [3.5, 1, 0, 0], [4.5, 0, 1, 0]]
    assert dataset.split("forget").rows.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "state.json").write_text("{"), "state.json: is not a JSON object"),
        (lambda folder: (folder / "state.json").write_text("{}"), "lists no files of the folder"),
        (lambda folder: (folder / "state.json").write_text(OUTSIDE), "lists no files of the folder"),
        (lambda folder: (folder / "state.json").unlink(), "is a folder without state.json"),
        (lambda folder: (folder / "data-00000-of-00001.arrow").unlink(), "no such file"),
        (lambda folder: (folder / "data-00000-of-00001.arrow").write_bytes(b"abc" * 50), "is not an Arrow file"),
        (lambda folder: (folder / "data-00000-of-00001.arrow").write_bytes(b""), "is not an Arrow file"),
    ],
)  # fmt: skip
def test_damage_is_told_in_one_line(damage: Any, message: str, tmp_path: Path) -> None:
    make_dataset(range(12)).save_to_disk(tmp_path / "saved")
    damage(tmp_path / "saved")
    with pytest.raises(UserError, match=message) as error:
        check(tmp_path / "saved")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shards", [1, 3])
def test_the_layout_of_a_saved_folder(shards: int, tmp_path: Path) -> None:
    make_dataset(range(12)).save_to_disk(tmp_path / "d", num_shards=shards)
    layout = recognise(tmp_path / "d")
    assert (layout.classes, layout.shape, layout.order) == (["ant", "bee", "10"], SHAPE, "as the data lists them")
    table = {"path": tmp_path / "d", "label": "label", "id": "key", "image": "image"}
    assert layout.sources["train"] == {"table": table, "rows": {"not_every": 5}}


def test_the_layout_of_saved_splits(tmp_path: Path) -> None:
    parts = {"train": make_dataset(range(8)), "validation": make_dataset(range(8, 12))}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "d")
    sources = recognise(tmp_path / "d").sources
    assert [sources[split]["table"]["path"].name for split in ("train", "test")] == ["train", "validation"]
    datasets.DatasetDict({"en": parts["train"], "de": parts["validation"]}).save_to_disk(tmp_path / "e")
    with pytest.raises(UserError, match=r"several splits \(de, en\), none of which is train; name one of them"):
        recognise(tmp_path / "e")
