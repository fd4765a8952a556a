import base64
import gzip
import io
import struct
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image

from unlearn_cli.data.layouts.recognise import recognise
from unlearn_cli.errors import UserError


def write_images(folder: Path, names: tuple[str, ...], size: tuple[int, int] = (8, 6), mode: str = "RGB") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new(mode, size).save(folder / name)


def encode_image() -> str:
    file = io.BytesIO()
    Image.new("RGB", (8, 6)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


BASE64 = encode_image()


def write_idx(path: Path, array: np.ndarray) -> None:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


@pytest.mark.parametrize("second", ["test", "Testing", "val"])
def test_a_folder_per_split_with_a_folder_per_class(tmp_path: Path, second: str) -> None:
    for part in ("train", second):
        for label in ("cat", "dog"):
            write_images(tmp_path / part / label, ("0.png", "1.png"))
    layout = recognise(tmp_path)
    assert layout.sources == {"train": {"imagefolder": tmp_path / "train"}, "test": {"imagefolder": tmp_path / second}}
    assert (layout.kind, layout.task, layout.classes, layout.shape) == (
        "images", "classification", ["cat", "dog"], [3, 6, 8]
    )  # fmt: skip
    assert list(layout.guesses) == (["data.test"] if second == "val" else [])


def test_classes_without_a_test_set_are_divided(tmp_path: Path) -> None:
    for label in ("02", "10"):
        write_images(tmp_path / label, ("0.png",), mode="L")
    write_images(tmp_path / "10" / "more", ("1.png",), (4, 4), "L")
    (tmp_path / "@eaDir").mkdir()
    layout = recognise(tmp_path)
    assert [source["rows"] for source in layout.sources.values()] == [{"not_every": 5}, {"every": 5}]
    assert (layout.shape, layout.same_size, layout.classes) == ([1, 6, 8], False, ["02", "10"])
    assert "data.test" in layout.guesses


def test_files_of_mnist(tmp_path: Path) -> None:
    for part, n in (("train", 4), ("t10k", 2)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", np.zeros((n, 5, 7)))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", np.arange(n) % 2)
    layout = recognise(tmp_path)
    assert (list(layout.sources), layout.shape, layout.classes) == (["train", "test"], [1, 5, 7], ["0", "1"])


MEDMNIST = {
    "train": ("train_images", "train_labels"),
    "test": ("test_images", "test_labels"),
    "validation": ("val_images", "val_labels"),
}
ARRAYS = {
    "keras": {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")},
    "medmnist": MEDMNIST,
    "plain": {"train": ("data", "target"), "test": ("data", "target")},
}


@pytest.mark.parametrize("name", ARRAYS)
def test_pairs_of_arrays(tmp_path: Path, name: str) -> None:
    pairs, arrays = ARRAYS[name], {}
    for inputs, labels in pairs.values():
        arrays |= {inputs: np.zeros((40, 4, 5, 3), np.uint8), labels: np.arange(40) % 3}
    np.savez(tmp_path / "d.npz", **arrays)
    layout = recognise(tmp_path / "d.npz")
    sources = {split: source["npz"] for split, source in layout.sources.items()}
    assert {split: (source["inputs"], source["labels"]) for split, source in sources.items()} == pairs
    assert (layout.shape, layout.classes, layout.task) == ([3, 4, 5], ["0", "1", "2"], "classification")


def test_labels_that_are_named_are_used_in_all_splits(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {f"{split}_{name}": np.random.default_rng(0).random((20, 4) if name == "x" else 20)
              for split in ("train", "test") for name in ("x", "angle", "speed")}  # fmt: skip
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(UserError, match=r"no samples and labels.*train_angle \[20\].*--label"):
        recognise(tmp_path / "d.npz")
    layout = recognise(tmp_path / "d.npz", ["train_angle"])
    assert [source["npz"]["labels"] for source in layout.sources.values()] == ["train_angle", "test_angle"]
    assert (layout.kind, layout.task, layout.classes) == ("numbers", "regression", [])


def test_a_table_of_numbers_with_id_person_and_text(tmp_path: Path) -> None:
    rows = [f"{n},{n % 3},{n * 0.5},{'abc'[n % 3]},{n % 2}" for n in range(30)]
    (tmp_path / "t.csv").write_text("id,patient,size,colour,class\n" + "\n".join(rows) + "\n")
    layout = recognise(tmp_path / "t.csv")
    assert layout.sources["train"]["table"] == {
        "path": tmp_path / "t.csv", "label": "class", "id": "id",
        "one_hot": {"colour": ["a", "b", "c"]}, "ignore": ["patient"]
    }  # fmt: skip
    assert (layout.group, layout.shape, layout.classes) == ("patient", [5], ["0", "1"])
    assert "label" in layout.guesses and "label" not in recognise(tmp_path / "t.csv", ["class"]).guesses


def test_a_table_of_texts_with_a_column_of_splits(tmp_path: Path) -> None:
    rows = [f"this is the text number {n},{n % 5}.5,{('train', 'train', 'test')[n % 3]}" for n in range(30)]
    (tmp_path / "t.csv").write_text("text,score,split\n" + "\n".join(rows) + "\n")
    layout = recognise(tmp_path / "t.csv")
    assert (layout.kind, layout.task, layout.shape) == ("text", "regression", [1])
    assert [source["rows"]["where"][0]["value"] for source in layout.sources.values()] == ["train", "test"]


def test_a_table_of_image_paths(tmp_path: Path) -> None:
    write_images(tmp_path / "pictures", ("0.png", "1.png"), (5, 5))
    (tmp_path / "t.csv").write_text("file,label\n0.png,a\n1.png,b\n")
    layout = recognise(tmp_path)
    table = layout.sources["train"]["table"]
    assert (table["image"], table["root"], layout.shape) == ("file", tmp_path / "pictures", [3, 5, 5])


def test_paths_without_suffix_below_nested_folders(tmp_path: Path) -> None:
    write_images(tmp_path / "img" / "img", tuple(f"{number}.jpg" for number in range(6)))
    write_images(tmp_path / "img" / "more", ("-1.png", "1.png"))  # cells of marks are not paths
    rows = "".join(f"{number},{(-1) ** number},{1 if number % 3 else -1}\n" for number in range(6))
    (tmp_path / "t.csv").write_text("image_id,Bald,Smiling\n" + rows)
    (tmp_path / "sample_submission.csv").write_text("image_id,Bald\n9,1\n")
    layout = recognise(tmp_path)
    table = layout.sources["train"]["table"]
    assert (table["image"], table["root"], table["suffix"]) == ("image_id", tmp_path / "img" / "img", ".jpg")
    assert (layout.task, table["label"], layout.shape) == ("multilabel", ["Bald", "Smiling"], [3, 6, 8])


@pytest.mark.parametrize("form", ["paths", "structs", "base64"])
def test_columns_of_images(form: str, tmp_path: Path) -> None:
    write_images(tmp_path / "images", tuple(f"{number}.png" for number in range(4)))
    path, name = tmp_path / "t.parquet", "'images/' || i || '.png'"
    cell = {"paths": name, "structs": f"{{'bytes': NULL::BLOB, 'path': {name}}}"}.get(form, f"'{BASE64}'")
    duckdb.execute(f"COPY (SELECT {cell} AS picture, i % 2 AS label FROM range(4) t(i)) TO '{path}'")
    layout = recognise(path)
    assert (layout.kind, layout.shape, layout.classes) == ("images", [3, 6, 8], ["0", "1"])
    assert layout.sources["train"]["table"] == {"path": path, "label": "label", "image": "picture"}


def test_the_label_that_only_the_table_for_training_has(tmp_path: Path) -> None:
    rows = [f"{number},{number % 2},{'NA' if number % 3 else number}" for number in range(20)]
    (tmp_path / "train.csv").write_text("PassengerId,Survived,Age\n" + "\n".join(rows) + "\n")
    (tmp_path / "test.csv").write_text("PassengerId,Age\n90,3\n")
    layout = recognise(tmp_path)
    table = layout.sources["train"]["table"]
    assert (table["label"], table["id"], layout.shape, layout.has_gaps) == ("Survived", "PassengerId", [1], True)
    assert layout.guesses["label"] == "the columns: only the table for training has it"
    assert "test.csv has no labels and is not used" in layout.remarks


def test_shards_of_each_split_with_the_names_of_classes(tmp_path: Path) -> None:
    names = '{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["b", "a"]}}}}'
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001-0123456789abcdef"):
        target = f"'{tmp_path}/{name}.parquet' (FORMAT parquet, KV_METADATA {{huggingface: '{names}'}})"
        duckdb.execute(f"COPY (SELECT i * 1.5 AS x, i % 2 AS label FROM range(8) t(i)) TO {target}")
    layout = recognise(tmp_path)
    paths = {split: source["table"]["path"] for split, source in layout.sources.items()}
    assert paths == {"train": tmp_path / "train-*.parquet", "test": tmp_path / "test-*.parquet"}
    assert (layout.classes, layout.shape) == (["b", "a"], [1])


def test_folders_without_classes_are_not_used(tmp_path: Path) -> None:
    """Tiny-ImageNet: test has no classes, val a file that names them."""
    for label in ("n1", "n2"):
        write_images(tmp_path / "train" / label / "images", ("0.png", "1.png"))
    for part in ("val", "test"):
        write_images(tmp_path / part / "images", ("0.png", "1.png"))
    (tmp_path / "val" / "val_annotations.txt").write_text("0.png\tn1\n1.png\tn2\n")
    layout = recognise(tmp_path)
    assert layout.sources["test"] == {"imagefolder": tmp_path / "val"} and list(layout.sources) == ["train", "test"]
    assert "test has no folder of a class of train and is not used" in layout.remarks


def test_annotations_of_detection_are_not_read(tmp_path: Path) -> None:
    write_images(tmp_path / "train2017", ("0.jpg",))
    (tmp_path / "annotations").mkdir()
    with pytest.raises(UserError, match="annotations of detection and segmentation are not read"):
        recognise(tmp_path)


def test_a_file_per_split(tmp_path: Path) -> None:
    for name in ("data_train", "data_test"):
        (tmp_path / f"{name}.csv").write_text("a,label\n1,x\n2,y\n")
    layout = recognise(tmp_path)
    assert {split: source["table"]["path"].name for split, source in layout.sources.items()} == {
        "train": "data_train.csv", "test": "data_test.csv"
    }  # fmt: skip
    (tmp_path / "data_train.csv").rename(tmp_path / "other.csv")
    with pytest.raises(UserError, match=r"several files of data \(data_test.csv, other.csv\)"):
        recognise(tmp_path)


def test_what_is_not_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        recognise(tmp_path / "absent")
    with pytest.raises(UserError, match="no layout of data is recognised"):
        recognise(tmp_path)
    write_images(tmp_path, ("0.png",))
    with pytest.raises(UserError, match="its images are in no folder of a class"):
        recognise(tmp_path)
    write_images(tmp_path / "cat", ("0.png",))
    with pytest.raises(UserError, match="only one folder has images, 'cat', but a classification has at least two"):
        recognise(tmp_path)
    (tmp_path / "t.csv").write_text("a,label\n")
    with pytest.raises(UserError, match="contains no records"):
        recognise(tmp_path)


MULTILABEL = {
    "text": ("tags\na|b\na\nb|c\n\n", {"label": "tags"}, ["a", "b", "c"]),
    "other separator": ("labels\na; b\na\nb\nb;a\nb; a\n", {"label": "labels", "separator": ";"}, ["a", "b"]),
    "json": ('labels\n"[""a"", ""b""]"\n[]\n', {"label": "labels"}, ["a", "b"]),
    "columns": (
        "label_b,label_a\n1,1\n0,0\n1,0\n", {"label": ["label_b", "label_a"]}, ["label_b", "label_a"]
    ),
}  # fmt: skip


def write_numbers(path: Path, labels: str) -> None:
    """Write a table of two columns of numbers and the lines of labels."""
    head, *lines = labels.splitlines()
    path.write_text(
        "\n".join([f"x,z,{head}", *(f"{number}.5,{number},{line}" for number, line in enumerate(lines))]) + "\n"
    )


@pytest.mark.parametrize("name", MULTILABEL)
def test_several_labels_of_a_record(tmp_path: Path, name: str) -> None:
    labels, keys, classes = MULTILABEL[name]
    write_numbers(tmp_path / "t.csv", labels)
    layout = recognise(tmp_path / "t.csv")
    table = layout.sources["train"]["table"]
    assert {key: table[key] for key in ("label", "separator") if key in table} == keys
    assert (layout.task, layout.classes, layout.shape) == ("multilabel", classes, [2])


def test_columns_with_a_single_1_per_row_are_classes(tmp_path: Path) -> None:
    write_numbers(tmp_path / "t.csv", "cat,dog\nyes,no\nno,yes\nno,yes\n")
    layout = recognise(tmp_path / "t.csv", ["dog", "cat"])
    assert (layout.task, layout.classes) == ("classification", ["dog", "cat"])
    assert layout.sources["train"]["table"]["label"] == ["dog", "cat"] and "label" not in layout.guesses


def test_columns_of_0_and_1_next_to_texts_are_labels(tmp_path: Path) -> None:
    rows = [f"a rather short comment {n},{n % 2},{int(n % 3 == 0)},{n}" for n in range(12)]
    (tmp_path / "t.csv").write_text("text,toxic,rude,id\n" + "\n".join(rows) + "\n")
    layout = recognise(tmp_path / "t.csv")
    assert (layout.task, layout.classes) == ("multilabel", ["toxic", "rude"]) and "label" in layout.guesses


def test_text_with_commas_is_a_class(tmp_path: Path) -> None:
    write_numbers(tmp_path / "t.csv", 'label\n"Paris, France"\n"Rome, Italy"\n"Rome, Italy"\n')
    assert recognise(tmp_path / "t.csv").classes == ["Paris, France", "Rome, Italy"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.eye(3)[np.arange(30) % 3], ("classification", ["0", "1", "2"])),
        (np.tile([[1, 1, 0], [0, 0, 0]], (15, 1)), ("multilabel", ["0", "1", "2"])),
        (np.arange(30)[:, None] % 2, ("classification", ["0", "1"])),
        (np.arange(30) % 2 == 0, ("classification", ["false", "true"])),
        (np.arange(30) % 3 * 1.0, ("classification", ["0", "1", "2"])),
    ],
)
def test_arrays_of_labels(tmp_path: Path, labels: np.ndarray, expected: tuple[str, list[str]]) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((30, 2)), y=labels)
    layout = recognise(tmp_path / "d.npz")
    assert (layout.task, layout.classes) == expected


@pytest.mark.parametrize(
    ("delimiter", "cells", "keys"),
    [
        (";", ("1,5", "NA", "2"), {"decimal": ",", "missing": ["NA"]}),
        (";", ("1.234,5", "7", "-1.000"), {"decimal": ",", "thousands": "."}),
        (",", ('"1,234"', '"12,000.5"', "7"), {"thousands": ","}),
        (";", ("1,234", "2,500", "7"), {"decimal": ","}),
        (",", ('"$1,234"', '"$12,000.5"', "$7"), {"thousands": ",", "units": ["$"]}),
        (",", ("12%", "NA", "7 %"), {"units": ["%"], "missing": ["NA"]}),
        (";", ("1 234,5 €", "7 €", "-2 €"), {"decimal": ",", "thousands": " ", "units": ["€"]}),
    ],
)
def test_numbers_with_other_marks(delimiter: str, cells: tuple[str, ...], keys: dict[str, Any], tmp_path: Path) -> None:
    rows = [f"{cells[n % 3]}{delimiter}{n}{delimiter}{n % 2}" for n in range(12)]
    (tmp_path / "t.csv").write_text("\n".join([delimiter.join(("a", "b", "label")), *rows]) + "\n")
    layout = recognise(tmp_path / "t.csv")
    table = layout.sources["train"]["table"]
    assert {key: table[key] for key in ("decimal", "thousands", "units", "missing") if key in table} == keys
    assert any(remark.startswith("numbers are read with") for remark in layout.remarks)


def test_classes_that_differ_only_in_blanks_or_case(tmp_path: Path) -> None:
    rows = [f"{n},{('Cat', 'cat', 'dog')[n % 3]}" for n in range(6)]
    (tmp_path / "t.csv").write_text("a,label\n" + "\n".join(rows) + '\n9," dog "\n')
    remark = next(iter(recognise(tmp_path / "t.csv").remarks))
    assert remark == "classes ' dog ' and 'dog' and 1 more differ only in case or blanks; label_names makes them one"


def test_columns_without_numbers_are_shown(tmp_path: Path) -> None:
    rows = [f"v{n},{n % 2}" for n in range(6)]
    (tmp_path / "t.csv").write_text("price,label\n" + "\n".join(rows) + "\n")
    with pytest.raises(UserError, match=r"there are price \('v0'\); write numbers without units"):
        recognise(tmp_path / "t.csv")


def test_numbers_of_two_forms_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b,label\n"1,5","1,234.5",0\n"2,5","2,000.5",1\n')
    with pytest.raises(UserError, match="columns a, b have decimal commas and commas between thousands"):
        recognise(tmp_path / "t.csv")


def test_labels_that_are_not_a_number_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 2)), y=np.array([0, 1, np.nan, 1]))
    with pytest.raises(UserError, match="1 record of 'y' without a finite label, such as row 2"):
        recognise(tmp_path / "d.npz")


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match=r"is not text|NUL"):
        recognise(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("before", "delimiter", "skipped"),
    [("# made by a tool\n# on a day, early\n", ",", 2), ("sep=;\n", ";", 1), ("#", ",", 0), ("", ",", 0)],
)
def test_comments_before_a_table(before: str, delimiter: str, skipped: int, tmp_path: Path) -> None:
    rows = [delimiter.join((str(number), str(number % 7), str(number % 2))) for number in range(20)]
    (tmp_path / "t.csv").write_text(before + "\n".join([delimiter.join(("a", "b", "label")), *rows]) + "\n")
    layout = recognise(tmp_path / "t.csv")
    assert layout.sources["train"]["table"].get("skip_lines", 0) == skipped and layout.shape == [2]


def test_lists_of_mappings_are_no_labels(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": 1, "labels": [{"x": 1}]}\n{"a": 2, "labels": []}\n')
    with pytest.raises(UserError, match="column 'labels' contains lists of mappings; expected lists of labels"):
        recognise(tmp_path / "t.jsonl")


def test_arrays_without_names_and_names_as_bytes(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", np.zeros((6, 2)), np.array([b"cat", b"dog"] * 3))
    layout = recognise(tmp_path / "d.npz")
    assert layout.sources["train"]["npz"] == {"path": tmp_path / "d.npz", "inputs": "arr_0", "labels": "arr_1"}
    assert layout.classes == ["cat", "dog"]


def test_arrays_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((6, 2)), y=np.array(["a", None] * 3, dtype=object))
    with pytest.raises(UserError, match=r"\(x \[6, 2\], y cannot be read: it contains objects, which are pickles"):
        recognise(tmp_path / "d.npz")
    np.savez(tmp_path / "e.npz", x=np.zeros((0, 2)), y=np.zeros(0))
    with pytest.raises(UserError, match=r"e\.npz: contains no records"):
        recognise(tmp_path / "e.npz")


@pytest.mark.parametrize(
    ("column", "shape"),
    [("NULL::DOUBLE", [1]), ("{'u': n}", [1]), ("MAP {'u': n}", [1]), ("n::VARCHAR", [1]), ("[n]", [1]), ("n", [2])],
)
def test_columns_of_a_typed_table_that_are_no_numbers(column: str, shape: list[int], tmp_path: Path) -> None:
    rows = f"SELECT {column} AS a, n AS b, n % 2 AS label FROM range(20) AS t(n)"
    duckdb.sql(f"COPY ({rows}) TO '{tmp_path / 't.parquet'}'")
    layout = recognise(tmp_path / "t.parquet")
    assert (layout.kind, layout.shape) == ("numbers", shape)


def test_nan_is_an_empty_cell_of_a_typed_table(tmp_path: Path) -> None:
    rows = "SELECT CASE WHEN n = 3 THEN 'nan'::DOUBLE ELSE n END AS a, n % 2 AS label FROM range(20) AS t(n)"
    duckdb.sql(f"COPY ({rows}) TO '{tmp_path / 't.parquet'}'")
    assert recognise(tmp_path / "t.parquet").has_gaps


def test_folders_that_differ_only_in_case(tmp_path: Path) -> None:
    for name in ("cat", "Cat", "dog"):
        write_images(tmp_path / name, ("0.png",))
    (remark,) = recognise(tmp_path).remarks
    assert (
        remark
        == "classes 'Cat' and 'cat' differ only in case or blanks; to make them one, move the images into one folder"
    )


def test_urls_of_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,label\nhttps://example.org/1.png,a\nhttps://example.org/2.png,b\n")
    with pytest.raises(UserError, match="column 'image' contains URLs, and nothing is downloaded; download the images"):
        recognise(tmp_path / "t.csv")
