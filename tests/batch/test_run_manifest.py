from pathlib import Path

import pytest

from tests.tiny import write_manifest
from unlearn_cli.batch.run_manifest import format_run_manifest, split_gates
from unlearn_cli.schema import manifest
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.sources import Table
from unlearn_cli.schema.spelling import number_of, text_of
from unlearn_cli.storage.remote import parse_url

NAME = '\U0001f600 \x7f \x85 "no" 1e-4'
MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp, arguments: {hidden: [16], dropout: 1e-4}}
input: {shape: [2]}
classes: [NAME, "012", true-ish]
data:
  train: {table: {path: data/train.csv, label: y, id: record}, rows: {where: [{column: age, op: in, value: [1, 2]}]}}
  test: {table: {path: TEST, label: y}}
  validation: {table: {path: data/more.csv, label: y}}
gates: ["test.accuracy >= original - 0.03"]
"""


def made(folder: Path, test: str, runs: Path) -> Manifest:
    """Read a manifest, write that of a run of it, and return the latter."""
    quoted = '"' + NAME.replace('"', '\\"').replace("\x7f", "\\x7f").replace("\x85", "\\x85") + '"'
    text = MANIFEST.replace("NAME", quoted).replace("TEST", test)
    original = manifest.read(write_manifest(folder, text))
    text, _ = format_run_manifest(original, runs, selection="selection", classes=[NAME], forgotten=True)
    return manifest.read(write_manifest(runs, text))


def test_it_says_the_same_with_what_to_forget_and_what_was_forgotten(tmp_path: Path) -> None:
    (tmp_path / "runs" / "R0001").mkdir(parents=True)
    found = made(tmp_path, "data/test.csv", tmp_path / "runs" / "R0001")
    assert found.classes == [NAME, "012", "true-ish"]
    assert found.model.arguments == {"hidden": [16], "dropout": 1e-4}
    assert found.forget is not None and found.forget.ids_file is not None and found.forgotten is not None
    assert (found.forget.classes, str(found.forget.ids_file.path)) == ([NAME], "selection/forget.csv")
    assert str(found.forgotten.ids_file.path) == "selection/forgotten.csv"
    assert found.data is not None and isinstance(found.data.train.spec, Table) and found.data.train.rows is not None
    assert str(found.data.train.spec.path) == "../../data/train.csv"
    assert found.data.validation is not None and isinstance(found.data.validation.spec, Table)
    assert str(found.data.validation.spec.path) == "../../data/more.csv"


@pytest.mark.parametrize("place", ["/srv/test.csv", "s3://bucket/test.csv"])
def test_absolute_paths_and_urls_stay_what_they_are(place: str, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    found = made(tmp_path, place, tmp_path / "runs")
    assert found.data is not None and found.data.test is not None and isinstance(found.data.test.spec, Table)
    path = found.data.test.spec.path
    assert (parse_url(path) or str(path)) == place


def test_runs_may_lie_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "large" / "disk").mkdir(parents=True)
    (tmp_path / "batch").mkdir()
    (tmp_path / "batch" / "runs").symlink_to(tmp_path / "large" / "disk")
    found = made(tmp_path / "batch", "data/test.csv", tmp_path / "batch" / "runs")
    assert found.data is not None and isinstance(found.data.train.spec, Table)
    place = tmp_path / "large" / "disk" / found.data.train.spec.path
    assert place.resolve() == tmp_path / "batch" / "data" / "train.csv"


@pytest.mark.parametrize(
    ("classes", "forgotten", "kept"),
    [
        (False, False, ["test.accuracy >= 0.5", "retain.accuracy >= 0.5"]),
        (True, False, ["test_forget.accuracy <= 0.1", "test_retain.accuracy >= 0.5", "retain.accuracy >= 0.5"]),
        (False, True, ["forgotten.accuracy <= 0.1", "test.accuracy >= 0.5", "retain.accuracy >= 0.5"]),
    ],
)
def test_gates_apply_where_their_records_are(classes: bool, forgotten: bool, kept: list[str]) -> None:
    gates = [
        "test_forget.accuracy <= 0.1", "forgotten.accuracy <= 0.1", "test_retain.accuracy >= 0.5",
        "retain.accuracy >= 0.5",
    ]  # fmt: skip
    found, left_out = split_gates(gates, classes, forgotten)
    assert found == kept
    assert len(found) + len(left_out) == len(gates)


def test_values_of_conditions_are_quoted_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    listed = '[007, \'007\', 1e3, 0x1f, 7, 2.50, true, True, "a\\"b"]'
    text = MANIFEST.replace("NAME", "a").replace("TEST", "t.csv").replace("value: [1, 2]", f"value: {listed}")
    original = manifest.read(write_manifest(tmp_path, text))
    text, _ = format_run_manifest(original, tmp_path / "runs", selection="selection", classes=[], forgotten=False)
    found = manifest.read(write_manifest(tmp_path / "runs", text))
    first, second = (one.data.train.rows.where[0].value for one in (original, found))  # type: ignore[union-attr]
    assert isinstance(first, list) and isinstance(second, list)
    assert [*map(text_of, first)] == [*map(text_of, second)]
    assert [*map(number_of, first)] == [*map(number_of, second)] == [7, None, 1000, 31, 7, 2.5, True, True, None]


def test_the_path_of_a_tokenizer_starts_from_the_folder_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(
        "version: 1\ntask: classification\nmodel: {architecture: mlp}\ninput: {shape: [1, 4]}\ndata:\n"
        "  train: {table: {path: t.csv, label: y, text: [a]}}\n  transform: [tokens: {length: 4, tokenizer: tok}]\n",
        encoding="utf-8",
    )
    described = manifest.read(tmp_path / "data.yaml")
    text, _ = format_run_manifest(described, tmp_path / "runs" / "1", selection="s", classes=[], forgotten=False)
    assert '"tokenizer": "../../tok"' in text and '"../../t.csv"' in text
