"""Folders of Hugging Face's datasets, as far as they can be read without pyarrow."""

import json
import sys
from pathlib import Path

import pytest

from unlearn_cli.data.tables.datasets_folder import list_arrow_files, read_arrow, read_class_names
from unlearn_cli.errors import UserError


def write_folder(folder: Path) -> Path:
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def test_the_files_are_those_of_the_state_in_its_order(tmp_path: Path) -> None:
    files = list_arrow_files(write_folder(tmp_path), "data.train")
    assert [file.name for file in files] == ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"needs pyarrow; install unlearn-cli\[datasets\]"):
        read_arrow(list_arrow_files(write_folder(tmp_path), "data.train"), "data.train")


@pytest.mark.parametrize(
    "info", [None, [], {"features": []}, {"features": {"y": 1}}, {"features": {"y": {"_type": "Value"}}}]
)
def test_features_without_classes_name_none(info: object) -> None:
    assert read_class_names(info) == {}


def test_classes_are_text() -> None:
    features = {"y": {"_type": "ClassLabel", "names": ["a", 7]}, "x": {"_type": "Image"}}
    assert read_class_names({"features": features}) == {"y": ["a", "7"]}
