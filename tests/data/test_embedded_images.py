"""Images inside tables: bytes, {bytes, path} of Hugging Face, base64; classes by the names in the file's metadata."""

import base64
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from tests.data.test_sources import GREY, IMAGES, LABELS, opened, picture, samples
from unlearn_cli.data.dataset import Dataset, describe
from unlearn_cli.errors import UserError

SHAPE = [3, *IMAGES.shape[2:]]


def encode(image: np.ndarray, form: str = "PNG") -> bytes:
    content = BytesIO()
    picture(image).save(content, form)
    return content.getvalue()


PNGS = [encode(image) for image in IMAGES]


def write_parquet(path: Path, images: list[Any], cell: str, labels: Any = LABELS, metadata: str = "") -> dict[str, Any]:
    """Write a column of images, each by the SQL `cell` of the parameter i, and a column of labels."""
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (n INTEGER, i BLOB, label BIGINT)")
    rows = [(n, image, None if label is None else int(label)) for n, (image, label) in enumerate(zip(images, labels))]  # noqa: B905
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    extra = f", KV_METADATA {{huggingface: '{metadata}'}}" if metadata else ""
    connection.execute(f"COPY (SELECT {cell} AS image, label FROM t ORDER BY n) TO '{path}' (FORMAT parquet{extra})")
    return {"path": str(path), "label": "label", "image": "image"}


STRUCT = "{'bytes': i, 'path': 'img/' || n || '.png'}"
FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog", "1"]}}
METADATA = json.dumps({"info": {"features": FEATURES}})


def write_base64(folder: Path, encoder: Callable[[bytes], str]) -> dict[str, Any]:
    rows = "".join(f'"{encoder(png)}",{label}\n' for png, label in zip(PNGS, LABELS, strict=True))
    (folder / "t.csv").write_text(f"image,label\n{rows}", encoding="utf-8")
    return {"path": str(folder / "t.csv"), "label": "label", "image": "image"}


def plain(png: bytes) -> str:
    return base64.b64encode(png).decode()


def in_lines(png: bytes) -> str:
    return base64.encodebytes(png).decode()


def data_uri(png: bytes) -> str:
    return "data:image/png;base64," + plain(png)


@pytest.mark.parametrize("kind", [STRUCT, "i", plain, in_lines, data_uri])
def test_images_in_a_table_are_those_in_files(kind: Any, tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "t.parquet", PNGS, kind) if isinstance(kind, str) else write_base64(tmp_path, kind)
    dataset = opened({"table": table}, SHAPE, forget={"classes": [0]})
    assert np.array_equal(samples(dataset.split("train")), IMAGES)
    assert dataset.split("train").ids == ["0", "1", "2", "3", "4", "5"]
    assert dataset.split("forget").rows.tolist() == [0, 1, 2]


def test_the_paths_of_embedded_images_may_be_their_ids(tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "t.parquet", PNGS, STRUCT) | {"id": "image"}
    dataset = opened({"table": table}, SHAPE, forget={"ids": ["img/4.png"]})
    assert dataset.split("forget").rows.tolist() == [4]


def test_only_paths_of_hugging_face_are_files(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    for number, png in enumerate(PNGS):
        (tmp_path / f"img/{number}.png").write_bytes(png)
    table = write_parquet(tmp_path / "t.parquet", [None] * 6, STRUCT)
    assert np.array_equal(samples(opened({"table": table}, SHAPE).split("train")), IMAGES)
    table = write_parquet(tmp_path / "t.parquet", [*PNGS[:4], None, None], STRUCT)
    with pytest.raises(UserError, match="column 'image' has 4 images as bytes and 2 only as paths; embed all"):
        opened({"table": table}, SHAPE)


@pytest.mark.parametrize("bad", [b"not an image \x00\xff", None, PNGS[3][:60]])
def test_an_unreadable_image_is_named_by_its_row_and_never_printed(bad: bytes | None, tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "t.parquet", [*PNGS[:3], bad, *PNGS[4:]], "i")
    with pytest.raises(UserError) as error:
        samples(opened({"table": table}, SHAPE).split("train"))
    assert "row 3: cannot be read" in str(error.value) and str(error.value).isascii() and len(str(error.value)) < 400
    kept = opened({"table": {**table, "unreadable": "skip"}}, SHAPE)
    assert kept.split("train").ids == ["0", "1", "2", "4", "5"]
    assert [(notice.kind, notice.count) for notice in kept.notices] == [("unreadable images, left out", 1)]


def test_a_cell_that_is_not_base64_is_unreadable(tmp_path: Path) -> None:
    table = write_base64(tmp_path, plain)
    text = Path(table["path"]).read_text(encoding="utf-8").replace(plain(PNGS[1]), "nothing")
    Path(table["path"]).write_text(text, encoding="utf-8")
    kept = opened({"table": {**table, "unreadable": "skip"}}, SHAPE)
    assert kept.split("train").ids == ["0", "2", "3", "4", "5"]


def test_urls_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,label\nhttps://example.org/1.png,a\n", encoding="utf-8")
    with pytest.raises(UserError, match="column 'image' contains URLs, and nothing is downloaded"):
        opened({"table": {"path": str(tmp_path / "t.csv"), "label": "label", "image": "image"}}, SHAPE)


@pytest.mark.parametrize("cell", [STRUCT, "i"])
@pytest.mark.parametrize("keys", [{"features": ["image"]}, {"features": None}, {"text": ["image"]}, {"id": "image"},
                                  {"one_hot": ["image"]}])  # fmt: skip
def test_bytes_are_no_features_text_or_ids(cell: str, keys: dict[str, Any], tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "t.parquet", PNGS, cell)
    if keys == {"id": "image"}:
        table |= {"features": ["label"], "label": "image"}
    del table["image"]
    with pytest.raises((UserError, ValueError)) as error:
        opened({"table": {**table, **keys}}, [1])
    assert "PNG" not in str(error.value) and len(str(error.value)) < 400


def test_the_metadata_of_the_file_names_the_classes(tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "t.parquet", PNGS, STRUCT, metadata=METADATA)
    dataset = opened({"table": table}, SHAPE, forget={"classes": ["dog"]})
    assert dataset.classes == ["cat", "dog", "1"] and dataset.split("train").labels.tolist() == LABELS.tolist()
    assert dataset.split("forget").rows.tolist() == [3, 4]
    assert describe(dataset)["train"]["classes"] == {"cat": 3, "dog": 2, "1": 1}
    renamed = opened({"table": {**table, "label_names": {"1": "eel"}}}, SHAPE)
    assert renamed.classes == ["cat", "dog", "eel"]


@pytest.mark.parametrize(
    ("op", "value", "rows"), [("==", "dog", 2), ("in", ["cat", "1"], 4), ("!=", 1, 5), ("<", 2, 5), ("==", "eel", None),
                              ("==", 0, None)],
)  # fmt: skip
def test_conditions_take_the_names_of_classes(op: str, value: Any, rows: int | None, tmp_path: Path) -> None:
    """LABELS has 0, 1 and 2 three, two and one times; the last class has the name 1, so 0 and 1 are names."""
    table = write_parquet(tmp_path / "t.parquet", PNGS, STRUCT, metadata=METADATA)
    forget = {"where": [{"column": "label", "op": op, "value": value}]}
    if rows is None:
        with pytest.raises(UserError, match=f"column 'label': no class '{value}'"):
            opened({"table": table}, SHAPE, forget=forget)
        return
    assert len(opened({"table": table}, SHAPE, forget=forget).split("forget")) == rows


def test_numbers_of_classes_whose_names_are_not_numbers(tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "t.parquet", PNGS, STRUCT, metadata=METADATA.replace('"1"', '"eel"'))
    forget = {"where": [{"column": "label", "op": "==", "value": 0}]}
    assert len(opened({"table": table}, SHAPE, forget=forget).split("forget")) == 3


@pytest.mark.parametrize("missing", [-1, None])
def test_minus_one_is_no_label(missing: int | None, tmp_path: Path) -> None:
    labels = [0, 1, 2, missing, 0, 1]
    table = write_parquet(tmp_path / "t.parquet", PNGS, STRUCT, labels, METADATA)
    with pytest.raises(UserError, match=r"1 rows have no label \(-1\), the first is row 3"):
        opened({"table": table}, SHAPE)
    kept = opened({"table": {**table, "unlabelled": "drop"}}, SHAPE)
    assert kept.split("train").ids == ["0", "1", "2", "4", "5"] and kept.split("train").labels.tolist() == [
        0,
        1,
        2,
        0,
        1,
    ]
    table = write_parquet(tmp_path / "t.parquet", PNGS, STRUCT, [0, 1, 2, 3, 0, 1], METADATA)
    with pytest.raises(UserError, match="row 3: label 3 is not one of 3 classes"):
        opened({"table": table}, SHAPE)


def forget_dogs(table: dict[str, Any]) -> Dataset:
    return opened({"table": table}, SHAPE, forget={"classes": ["dog"]})


def test_several_parquet_files_are_one_table(tmp_path: Path) -> None:
    for part in range(2):
        write_parquet(tmp_path / f"train-0000{part}-of-00002.parquet", PNGS[part::2], STRUCT, LABELS[part::2], METADATA)
    for name in ("train-*.parquet", "train-{00000..00001}-of-00002.parquet"):
        dataset = forget_dogs({"path": str(tmp_path / name), "label": "label", "image": "image"})
        assert np.array_equal(samples(dataset.split("train")), IMAGES[[0, 2, 4, 1, 3, 5]])
    with pytest.raises(UserError, match="no file matches the pattern"):
        forget_dogs({"path": str(tmp_path / "test-*.parquet"), "label": "label", "image": "image"})
    with pytest.raises(UserError, match=r"is a folder of parquet files, .* such as .*/train-\*\.parquet"):
        forget_dogs({"path": str(tmp_path), "label": "label", "image": "image"})


def test_grey_images_and_other_formats_are_read_as_from_files(tmp_path: Path) -> None:
    images = [encode(image, "BMP") for image in GREY]
    table = write_parquet(tmp_path / "t.parquet", images, "i")
    assert np.array_equal(samples(opened({"table": table}, [1, *SHAPE[1:]]).split("train")), GREY)


@pytest.mark.parametrize("cell", [f"[{STRUCT}]", "[i]", "[137, 80, 78, 71]", "{'width': n}"])
def test_columns_of_lists_are_no_images_and_no_bytes_are_printed(cell: str, tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "t.parquet", PNGS, cell)
    with pytest.raises(
        UserError, match=r"column 'image' contains (lists|mappings); expected an image or the path"
    ) as caught:
        opened({"table": table}, SHAPE)
    assert "137" not in str(caught.value) and "PNG" not in str(caught.value)


def test_an_empty_cell_of_base64_is_left_out_if_the_manifest_says_so(tmp_path: Path) -> None:
    cells = ["", *map(plain, PNGS[1:])]
    rows = "".join(f"{cell},{label}\n" for cell, label in zip(cells, LABELS, strict=True))
    (tmp_path / "t.csv").write_text(f"image,label\n{rows}", encoding="utf-8")
    table = {"path": str(tmp_path / "t.csv"), "label": "label", "image": "image"}
    with pytest.raises(UserError, match="column 'image' is empty in row 0"):
        opened({"table": table}, SHAPE)
    split = opened({"table": {**table, "unreadable": "skip"}}, SHAPE).split("train")
    assert np.array_equal(samples(split), IMAGES[1:])
