"""`~` and `${NAME}` in paths: of manifests, of settings, and of options; never in ids or labels, never in a report."""

from pathlib import Path

import pytest

from tests.tiny import invoke
from unlearn_cli.batch.run_manifest import format_run_manifest
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import read
from unlearn_cli.storage.path_variables import expand_path, has_variables
from unlearn_cli.storage.remote import locate


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "home" / "secret").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATA", str(tmp_path / "home" / "secret"))
    monkeypatch.setenv("PART", "train")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("~/a", "{home}/a"), ("~", "{home}"), ("${DATA}/x.csv", "{home}/secret/x.csv"),
        ("x/${PART}.csv", "x/train.csv"),
        ("${PART}/${PART}", "train/train"), ("a/~/b", "a/~/b"), ("~ada/x", "~ada/x"), ("$PART/x", "$PART/x"),
    ],
)  # fmt: skip
def test_only_the_two_forms_are_replaced(text: str, expected: str, tmp_path: Path) -> None:
    assert expand_path(Path(text)) == Path(expected.format(home=tmp_path / "home"))
    assert has_variables(Path(text)) == (expected != text)


@pytest.mark.parametrize("text", ["${PART", "x/${PART}/${DATA", "${"])
def test_a_brace_that_is_not_closed_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"'\$\{' without '\}'; write \$\{NAME\} for an environment variable"):
        expand_path(Path(text))


@pytest.mark.parametrize("text", ["~", "''", "null", ""])
def test_an_empty_path_is_not_the_current_folder(text: str, tmp_path: Path) -> None:
    manifest = tmp_path / "data.yaml"
    manifest.write_text(
        "version: 1\ntask: classification\nmodel: {architecture: mlp}\ninput: {shape: [1]}\n"
        f"data:\n  train: {{imagefolder: {{path: {text}}}}}\n"
    )
    with pytest.raises(UserError, match=r"data.yaml:6:25: data.train.imagefolder.path: is empty; write a path"):
        read(manifest)


@pytest.mark.parametrize("text", ["${UNSET}/x", "${EMPTY}/x", "${}/x"])
def test_an_unset_variable_is_told_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"the environment variable '\w*' is not set; set it, or write the path"):
        expand_path(Path(text))


def test_paths_are_relative_to_the_folder_after_the_replacement(tmp_path: Path) -> None:
    assert locate(Path("${PART}.csv"), tmp_path) == tmp_path / "train.csv"
    assert locate(Path("~/x"), Path("/other")) == tmp_path / "home" / "x"


MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp, arguments: {hidden: [2]}}
input: {shape: [1]}
data:
  train: {table: {path: "${DATA}/t.csv", label: y, id: id}}
  test: {table: {path: ~/secret/t.csv, label: y, id: id}}
forget: {ids: ["${PART}", ~a]}
"""


def write_project(folder: Path, text: str = MANIFEST) -> Path:
    rows = "".join(f"r{i},{i},{i % 2}\n" for i in range(8))
    (folder / "home/secret/t.csv").write_text(f"id,f,y\n${{PART}},9,0\n~a,8,1\n{rows}", encoding="utf-8")
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    return folder / "data.yaml"


def test_the_report_has_no_replaced_path_and_ids_are_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = invoke("train", "-m", manifest, "-o", "~/out", "--set", "epochs=1", "--quiet")
    assert result.exit_code == 0, result.stderr
    report = (tmp_path / "home/out/report.json").read_text(encoding="utf-8")
    assert '"n": 2' in report and "secret" not in report.replace("~/secret", "") and str(tmp_path) not in report


def test_an_unset_variable_of_a_manifest_is_told_before_anything_else(tmp_path: Path) -> None:
    manifest = write_project(tmp_path, MANIFEST.replace("DATA", "UNSET"))
    result = invoke("train", "-m", manifest, "-o", tmp_path / "out")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "data.yaml: data.train: ${UNSET}/t.csv: the environment variable 'UNSET' is not set" in result.stderr
    result = invoke("train", "-m", manifest, "-o", "${UNSET}/out")
    assert result.exit_code == 2 and "'UNSET' is not set" in result.stderr


def test_a_variable_between_braces_must_be_quoted(tmp_path: Path) -> None:
    manifest = write_project(tmp_path, MANIFEST.replace('"${DATA}/t.csv"', "${DATA}/t.csv"))
    with pytest.raises(UserError, match=r"is not valid YAML: .*; quote text with \$\{NAME\} between braces"):
        read(manifest)


def test_the_manifest_of_a_batch_run_keeps_variables_that_are_absolute(tmp_path: Path) -> None:
    manifest = read(write_project(tmp_path, MANIFEST.replace("~/secret/t.csv", '"home/${PART}.csv"')))
    text, _ = format_run_manifest(manifest, tmp_path / "runs" / "1", selection="s", classes=[], forgotten=False)
    assert "${DATA}/t.csv" in text and "../../home/train.csv" in text
