"""Tar shards: records by key and at random, labels and columns from their files, and what is wrong told in words."""

import json
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from tests.data.test_sources import HEIGHT, IMAGES, LABELS, WIDTH, opened, picture, samples, web_dataset
from unlearn_cli.data.strings import Strings
from unlearn_cli.errors import UserError
from unlearn_cli.storage.path_patterns import expand_range

SHAPE = [3, HEIGHT, WIDTH]


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    return path


def test_records_have_keys_and_are_read_at_random(tmp_path: Path) -> None:
    train = opened(web_dataset(tmp_path, IMAGES), SHAPE).split("train")
    assert train.records.ids.tolist() == [f"part/{row:04d}" for row in range(6)]
    order = np.array([5, 0, 3, 3])
    assert np.array_equal(train.records.inputs.take(order), IMAGES[order])
    assert train.records.inputs.take(order[:0]).shape == (0, *SHAPE)
    assert len({*train.records.fingerprints}) == 6


def test_people_and_records_are_forgotten_by_columns_and_keys(tmp_path: Path) -> None:
    source = web_dataset(tmp_path, IMAGES)
    people = opened(source, SHAPE, forget={"groups": {"column": "person", "values": ["p1"]}})
    assert people.split("forget").rows.tolist() == [1, 3, 5]
    records = opened(source, SHAPE, forget={"ids": ["part/0004"]})
    assert np.array_equal(samples(records.split("forget")), IMAGES[[4]])


def test_the_label_may_be_a_field_of_the_metadata(tmp_path: Path) -> None:
    path = web_dataset(tmp_path, IMAGES)["webdataset"]
    train = opened({"webdataset": {"path": path, "label": "json.kind"}}, SHAPE).split("train")
    assert np.array_equal(train.labels, LABELS)


def test_a_column_has_the_type_that_fits_all_of_its_values_in_all_shards(tmp_path: Path) -> None:
    """Shards are put together after each became compact."""
    png = BytesIO()
    picture(IMAGES[0]).save(png, "png")
    rows = [
        {"a": 1, "b": 0.5, "c": "x", "d": 1, "e": True, "f": 1}, {"a": 2, "b": 2.5, "c": "yy", "d": 0.5, "e": False},
        {"a": 3, "b": 1.5, "c": "z", "d": "x", "e": True, "f": 1}, {"a": 2**40, "b": 1, "c": "", "d": 2.0, "e": True},
    ]  # fmt: skip
    for shard in (0, 1):
        files: dict[str, bytes] = {}
        for row in (2 * shard, 2 * shard + 1):
            facts = json.dumps(rows[row]).encode()
            files |= {f"{row}.png": png.getvalue(), f"{row}.cls": b"0", f"{row}.json": facts}
        tar(tmp_path / f"{shard}.tar", files)
    records = opened({"webdataset": str(tmp_path / "{0..1}.tar")}, SHAPE).split("train").records
    for name in "abcde":
        expected, found = np.array([row[name] for row in rows]), records.column(name)
        assert found.tolist() == expected.tolist()
        assert isinstance(found, Strings) == (name == "c")
    with pytest.raises(UserError, match="no column 'f'"):
        records.column("f")


def test_labels_are_whole_numbers_where_all_of_them_are(tmp_path: Path) -> None:
    png = BytesIO()
    picture(IMAGES[0]).save(png, "png")
    files = {f"{row}.{suffix}": content for row, label in enumerate((b"7", b"-2", b"7"))
             for suffix, content in (("png", png.getvalue()), ("cls", label))}  # fmt: skip
    source = {"webdataset": str(tar(tmp_path / "a.tar", files))}
    assert opened(source, SHAPE, classes=[-2, 7]).split("train").records.labels.tolist() == [7, -2, 7]
    path = str(tar(tmp_path / "b.tar", {**files, "3.png": png.getvalue(), "3.cls": b"0.5"}))
    assert opened({"webdataset": path}, SHAPE, task="regression").split("train").labels.tolist() == [7, -2, 7, 0.5]
    path = str(tar(tmp_path / "c.tar", {**files, "3.png": b"x", "3.cls": b"cat"}))
    with pytest.raises(UserError, match="a label is not a number"):
        opened({"webdataset": path}, SHAPE, task="regression")


def test_labels_with_leading_zeros_are_names(tmp_path: Path) -> None:
    png = BytesIO()
    picture(IMAGES[0]).save(png, "png")
    files = {f"{row}.{suffix}": content for row, label in enumerate((b"7", b"02", b"007", b"02"))
             for suffix, content in (("png", png.getvalue()), ("cls", label))}  # fmt: skip
    found = opened({"webdataset": str(tar(tmp_path / "a.tar", files))}, SHAPE, forget={"classes": ["02"]})
    assert found.classes == ["007", "02", "7"]
    assert found.split("forget").rows.tolist() == [1, 3]
    with pytest.raises(UserError, match="no class '2'; did you mean '02'"):
        opened({"webdataset": str(tmp_path / "a.tar")}, SHAPE, forget={"classes": [2]})


def test_names_of_classes_are_labels_too(tmp_path: Path) -> None:
    png = BytesIO()
    picture(IMAGES[0]).save(png, "png")
    files = {"1.png": png.getvalue(), "1.cls": b"cat\n", "2.png": png.getvalue(), "2.cls": b"ant"}
    found = opened({"webdataset": str(tar(tmp_path / "a.tar", files))}, SHAPE)
    assert found.classes == ["ant", "cat"]
    assert found.split("train").labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"1.png": b"x"}, "the record '1' has no label.*label: json.label"),
        ({"1.cls": b"0"}, "the record '1' has no image"),
        ({"1.png": b"x", "1.cls": b"0", "2.png": b"x", "2.cls": b"0", "1.jpg": b"x"}, "the record '1' has no label"),
        ({"1.png": b"x", "1.cls": b"\xff"}, "is not UTF-8 text"),
        ({"1.png": b"x", "1.cls": b"0", "1.json": b"["}, "is not a JSON object"),
        ({}, "contains no records"),
    ],
)
def test_what_is_wrong_with_a_shard_is_told(files: dict[str, bytes], told: str, tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", files)
    with pytest.raises(UserError, match=told):
        opened({"webdataset": str(path)}, SHAPE)


def test_a_key_that_is_there_twice_is_told(tmp_path: Path) -> None:
    for shard in "01":
        tar(tmp_path / f"{shard}.tar", {"1.png": b"x", "1.cls": b"0"})
    with pytest.raises(UserError, match="duplicate key '1'"):
        opened({"webdataset": str(tmp_path / "{0..1}.tar")}, SHAPE)


def test_no_tar_and_compressed_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        opened({"webdataset": str(tmp_path / "no.tar")}, SHAPE)
    (tmp_path / "a.tar").write_bytes(b"x" * 2000)
    with pytest.raises(UserError, match="not an uncompressed tar"):
        opened({"webdataset": str(tmp_path / "a.tar")}, SHAPE)
    with tarfile.open(tmp_path / "b.tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("1.cls"))
    with pytest.raises(UserError, match="not an uncompressed tar"):
        opened({"webdataset": str(tmp_path / "b.tar")}, SHAPE)


def test_an_image_that_is_none_is_named_by_shard_and_key(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {"x/1.png": b"none", "x/1.cls": b"0"})
    with pytest.raises(UserError, match=r"a\.tar/x/1: cannot be read"):
        opened({"webdataset": str(path)}, SHAPE)


def test_a_range_stands_for_files() -> None:
    assert [path.name for path in expand_range(Path("d/t-{008..011}.tar"))] == [f"t-{n:03d}.tar" for n in range(8, 12)]
    assert expand_range(Path("d/t.tar")) == [Path("d/t.tar")]
