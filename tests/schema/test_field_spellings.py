"""Cases from the field whose names look like numbers: what is selected is what is written so in the data."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import ROOT, invoke

CASES = ROOT.parent / "shared" / "cases"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases lie beside a checkout, not in it")


def copy_case(folder: Path, name: str) -> Path:
    return Path(shutil.copytree(CASES / name, folder / name))


def case(folder: Path, name: str) -> Path:
    """Copy a case, with a checkpoint of its architecture: a dry run refuses any other."""
    copy = copy_case(folder, name)
    result = invoke("train", "-m", copy / "data.yaml", "-o", copy / "m", "--set", "epochs=1", "--quiet")
    assert result.exit_code == 0, result.stderr
    return copy


def dry_run(folder: Path, forget: str | None = None) -> dict[str, Any]:
    manifest = folder / "data.yaml"
    if forget:
        manifest.write_text(re.sub(r"(?m)^forget:.*$", f"forget: {forget}", manifest.read_text()))
    options = ("--method", "bad_teacher", "--out", folder / "out", "--dry-run", "--json", "--force")
    result = invoke("unlearn", folder / "m" / "model.safetensors", "-m", manifest, *options)
    if result.exit_code:
        return {"exit": result.exit_code, "error": result.stderr.splitlines()[-1]}
    return json.loads(result.stdout)["splits"]["forget"]


def rows(table: Path, column: str, cell: str) -> int:
    header, *lines = table.read_text().splitlines()
    return [line.split(",")[header.split(",").index(column)] for line in lines].count(cell)


def test_the_folder_02_is_the_class_02(tmp_path: Path) -> None:
    folder = case(tmp_path, "class_leading_zero")
    assert dry_run(folder)["classes"] == {"01": 0, "02": 4, "03": 0, "10": 0}
    refused = dry_run(folder, "{classes: [2]}")
    assert refused["exit"] == 2
    assert "did you mean '02'?" in refused["error"]


@pytest.mark.parametrize(
    ("name", "column", "section"),
    [
        ("group_leading_zero", "person", "{{groups: {{column: person, values: [{}]}}}}"),
        ("id_leading_zero", "id", "{{ids: [{}]}}"),
    ],
)
def test_007_is_what_is_written_007(name: str, column: str, section: str, tmp_path: Path) -> None:
    folder = case(tmp_path, name)
    for cell in ("007", "7"):
        assert dry_run(folder, section.format(cell))["n"] == rows(folder / "t.csv", column, cell) > 0
    refused = dry_run(folder, section.format("0x7"))
    assert refused["exit"] == 2
    assert "did you mean" in refused["error"]


def test_a_hash_that_looks_like_a_number_is_an_id(tmp_path: Path) -> None:
    folder = case(tmp_path, "id_like_number")
    assert dry_run(folder)["n"] == rows(folder / "t.csv", "id", "12e45678") == 1


def test_a_request_of_007_is_about_person_007(tmp_path: Path) -> None:
    folder = copy_case(tmp_path, "batch_request_leading_zero")
    result = invoke("batch", "run", folder / "deletion.yaml", "--dry-run", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["records"] == rows(folder / "t.csv", "person", "007") == 9
