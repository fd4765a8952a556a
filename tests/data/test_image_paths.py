"""A table's image paths: found fast where they are plain files, and never followed out of their root."""

import os
from pathlib import Path

import pytest

from tests.data.test_sources import GREY, HEIGHT, WIDTH, opened, picture, samples
from unlearn_cli.data import strings
from unlearn_cli.data.images.image_paths import check_paths
from unlearn_cli.data.strings import pack
from unlearn_cli.errors import UserError

SHAPE = [1, HEIGHT, WIDTH]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images in folders, links inside the root and out of it, and a secret beside it."""
    root = tmp_path / "root"
    for folder in (root / "a", root / "b" / "c", tmp_path / "secret"):
        folder.mkdir(parents=True)
        picture(GREY[0]).save(folder / "1.png")
    (root / "a" / "inside.png").symlink_to(root / "b" / "c" / "1.png")
    (root / "inside").symlink_to(root / "b", target_is_directory=True)
    (root / "a" / "out.png").symlink_to(tmp_path / "secret" / "1.png")
    (root / "out").symlink_to(tmp_path / "secret", target_is_directory=True)
    (root / "circle").symlink_to(root / "circle")
    return root.resolve()


@pytest.mark.parametrize(
    "name", ["a/1.png", "b/c/1.png", "./a//1.png", "b/../a/1.png", "a/inside.png", "inside/c/1.png", "../root/a/1.png"]
)
def test_files_below_the_root_are_fine_however_they_are_written(name: str, root: Path) -> None:
    check_paths(pack([["a/1.png", name, str(root / "a" / "1.png")]]), root, "table")


@pytest.mark.parametrize(
    "name", ["a/out.png", "out/1.png", "../secret/1.png", "a/../../secret/1.png", "/etc/passwd", "..", "../nowhere.png"]
)
def test_no_path_leaves_the_root_by_dots_or_links(name: str, root: Path) -> None:
    with pytest.raises(UserError, match=r"table: the image of row 1 is outside of the root folder; set 'root'"):
        check_paths(pack([["a/1.png", name]]), root, "table")


@pytest.mark.parametrize("name", ["a/2.png", "d/1.png", "a", "a/", "", "a/1.png/x", "circle", "circle/1.png", "a\0b/1"])
def test_what_is_no_file_is_missed(name: str, root: Path) -> None:
    with pytest.raises(UserError, match=r"table: row 1: no image .* below the root folder"):
        check_paths(pack([["a/1.png", name]]), root, "table")


def test_the_first_bad_row_of_many_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strings, "CHUNK", 4)
    monkeypatch.setattr("unlearn_cli.data.images.image_paths.CHUNK", 4)
    names = ["a/1.png", "b/c/1.png", "a/inside.png"] * 3 + ["a/no.png", "a/out.png"]
    with pytest.raises(UserError, match=r"row 9: no image a/no\.png"):
        check_paths(pack([names]), root, "table")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_files_in_a_folder_that_may_not_be_listed_are_found(root: Path) -> None:
    (root / "a").chmod(0o111)
    check_paths(pack([["a/1.png"]]), root, "table")
    (root / "a").chmod(0o755)


def test_rows_may_name_one_image_many_times(root: Path) -> None:
    rows = "\n".join(f"r{row},{'a/1.png' if row % 3 else 'b/c/1.png'},{row % 2}" for row in range(30))
    (root / "t.csv").write_text(f"id,file,y\n{rows}\n", encoding="utf-8")
    table = {"path": str(root / "t.csv"), "label": "y", "id": "id", "image": "file"}
    dataset = opened({"table": table}, SHAPE, forget={"ids": ["r3", "r10"]})
    assert dataset.split("forget").rows.tolist() == [3, 10]
    assert (samples(dataset.split("train")) == GREY[0]).all()


def test_names_without_suffix(root: Path) -> None:
    table = root / "t.csv"
    table.write_text("name,label\na/1,0\nb/c/1,1\n")
    source = {"table": {"path": str(table), "label": "label", "image": "name", "id": "name"}}
    with pytest.raises(UserError, match="row 0: no image a/1 below"):
        opened(source, SHAPE)
    dataset = opened({"table": {**source["table"], "suffix": ".png"}}, SHAPE)
    assert len(dataset.split("train")) == 2


def test_missing_images_of_a_table_are_counted_or_left_out(root: Path) -> None:
    table = root / "t.csv"
    rows = ["a/1.png", "a/2.png", "b/c/1.png", "x/3.png"]
    table.write_text("image,y\n" + "".join(f"{name},{row % 2}\n" for row, name in enumerate(rows)))
    spec = {"path": str(table), "label": "y", "image": "image"}
    with pytest.raises(UserError, match=r"row 1: no image a/2.png .*; 2 of 4 images are missing; .*'unreadable: skip'"):
        opened({"table": spec}, SHAPE, classes=[0, 1])
    split = opened({"table": {**spec, "unreadable": "skip"}}, SHAPE, classes=[0, 1]).split("train")
    assert len(split) == 2 and ("unreadable images, left out", 2) in [
        (notice.kind, notice.count) for notice in split.records.notices
    ]
    table.write_text("image,y\n,0\na/1.png,1\nb/c/1.png,0\n")
    with pytest.raises(UserError, match="column 'image' is empty in row 0"):
        opened({"table": spec}, SHAPE, classes=[0, 1])
    split = opened({"table": {**spec, "unreadable": "skip"}}, SHAPE, classes=[0, 1]).split("train")
    assert split.labels.tolist() == [1, 0]
    table.write_text("image,y\na/1.png,0\na/2.png,1\na/out.png,1\n")
    with pytest.raises(UserError, match="the image of row 2 is outside of the root folder"):
        opened({"table": {**spec, "unreadable": "skip"}}, SHAPE, classes=[0, 1])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (
            "im\\0.png",
            r"no image im\\0\.png below the root folder; correct the paths, with / instead of \\, or the root",
        ),
        ("b'" + "iVBORw0K" * 90, r"no image b'(iVBORw0K)+iV\.\.\. below the root folder; expected paths of images, or"),
        ("7;" * 90 + "7", r"no image (7;)+\.\.\. below the root folder; expected paths of images, or images as base64"),
    ],
)
def test_a_cell_that_is_no_path_is_shortened(cell: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        check_paths(pack([[cell]]), tmp_path, "table")
