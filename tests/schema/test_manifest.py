"""The manifest: what it accepts, where it says that something is wrong, and what its digest stands for."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.tiny import ROOT
from unlearn_cli.cli import schema
from unlearn_cli.errors import UserError
from unlearn_cli.plugins.names import read_manifest
from unlearn_cli.schema import strict_yaml
from unlearn_cli.schema.manifest import Manifest

SAMPLES = (ROOT / "sample_configs").rglob("*.yaml")

MANIFESTS = sorted(path for path in SAMPLES if "\nmodel:" in path.read_text(encoding="utf-8"))

PLAIN = """\
version: 1
task: classification
model:
  architecture: mlp
  arguments: {hidden: [8]}
input:
  shape: [4]
data:
  train: {npz: train.npz}
  test: {npz: test.npz}
forget:
  classes: [cat, 3]
gates:
  - test_forget.accuracy <= 0.02
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "data.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        read_manifest(write(folder, text))
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(folder / "data.yaml"), "data.yaml")


def changed(old: str, new: str) -> str:
    assert PLAIN.count(old) == 1
    return PLAIN.replace(old, new)


def test_a_manifest_is_read_with_its_defaults(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, PLAIN))
    assert manifest.model.arguments == {"hidden": [8]}
    assert (manifest.input.scale, manifest.input.mean, manifest.input.std) == (None, 0.0, 1.0)
    assert manifest.forget is not None
    assert manifest.forget.classes == ["cat", 3]
    assert manifest.forget.only_classes
    assert manifest.classes is None
    assert manifest.sections == {"data", "test", "forget"}


def test_data_may_be_left_out(tmp_path: Path) -> None:
    text = changed("data:\n  train: {npz: train.npz}\n  test: {npz: test.npz}\n", "")
    assert read_manifest(write(tmp_path, text)).sections == {"forget"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  shape: [4]", "  shap: [4]", "data.yaml:6:1: input.shape: is missing; data.yaml:7:3: input.shap: unknown"),
        ("  classes:", "  class:", "data.yaml:12:3: forget.class: unknown key; did you mean 'classes'?"),
        ("  train: {npz:", "  train: {nzp:", "data.yaml:9:11: data.train.nzp: unknown key; did you mean 'npz'?"),
        ("data:", "dta:", "data.yaml:8:1: dta: unknown key; did you mean 'data'?"),
        ("version: 1", "version: 2", "data.yaml:1:1: version: expected 1"),
        ("task: classification", "task: clustering", "data.yaml:2:1: task: expected 'classification', 'regression' or"),
        ("task: classification\n", "", "data.yaml:1:1: task: is missing"),
        ("  shape: [4]", "  shape: [4, -1]", "data.yaml:7:14: input.shape.1: expected greater than"),
        ("  shape: [4]", "  shape: [4.5]", "data.yaml:7:11: input.shape.0: expected a valid integer"),
        ("  shape: [4]", "  shape: [4]\n  std: 0", "data.yaml:8:3: input.std: expected greater than 0"),
        ("  shape: [4]", "  shape: [4]\n  std: [1, 1, 1, 0]", "data.yaml:8:18: input.std.3: expected greater than 0"),
        ("  shape: [4]", "  shape: [4]\n  std: wide", "data.yaml:8:3: input.std: expected a valid number"),
        ("  shape: [4]", "  shape: [4]\n  mean: [0, 1]", "data.yaml:6:1: input: mean has 2 numbers; expected one"),
        ("  shape: [4]", "  shape: [4]\n  scale: .inf", "data.yaml:8:3: input.scale: expected a finite number"),
        ("  shape: [4]", "  shape: [4]\n  scale: .nan", "data.yaml:8:3: input.scale: expected a finite number"),
        ("mlp", "mpl", "data.yaml:3:1: model: 'mpl' is not a bundled architecture; did you mean 'mlp'?"),
        ("mlp", "timn/x", "data.yaml:3:1: model: 'timn/x': expected an architecture such as torchvision/resnet18"),
        ("{hidden: [8]}", "{weights: DEFAULT}", "data.yaml:3:1: model: the argument 'weights' would download weights"),
        ("[cat, 3]", "[cat, cat]", "data.yaml:11:1: forget: a class is listed twice"),
        ("gates:", "forgotten: {ids: [3]}\ngates:", "data.yaml:13:1: forgotten.ids_file: is missing; data"),
        ("gates:", "forgotten: {ids_file: {pth: x}}\ngates:", "data.yaml:13:13: forgotten.ids_file.path: is missing"),
        ("[cat, 3]", "[]", "data.yaml:11:1: forget: selects nothing"),
        ("[cat, 3]", "cat", "data.yaml:12:3: forget.classes: expected a valid list"),
        ("classes: [cat, 3]", "where: [a == b]", "data.yaml:12:11: forget.where.0: expected a mapping with the"),
        ("{hidden: [8]}", "[8]", "data.yaml:5:3: model.arguments: expected a mapping, such as {name: value}"),
        ("{npz: train.npz}", "[train.npz]", "data.yaml:9:3: data.train: expected a mapping with the keys dates, idx"),
        ("{npz: train.npz}", "{npz: a.npz, idx: {images: a, labels: b}}", "data.yaml:9:3: data.train: names 2"),
        ("{npz: train.npz}", "{npz: {path: a, lables: y}}", "data.yaml:9:26: data.train.npz.lables: unknown key; did"),
        ("{npz: train.npz}", "{npz: {labels: y}}", "data.yaml:9:11: data.train.npz.path: is missing"),
        ("{npz: train.npz}", "{npz: a.npz, rows: {every: 1}}", "data.yaml:9:30: data.train.rows.every: expected"),
        ("{npz: train.npz}", "{npz: a.npz, rows: {every: 2, first: 0.5}}", "data.yaml:9:23: data.train.rows: expected"),
        ("test_forget.accuracy <= 0.02", "test_forget.acuracy <= 0.02", "data.yaml:14:5: gates.0: condition"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_file_line_column_field_and_what_to_do(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert refusal(tmp_path, changed(old, new)).startswith(message)


def test_forgotten_records_without_data_are_refused(tmp_path: Path) -> None:
    data = "data:\n  train: {npz: train.npz}\n  test: {npz: test.npz}\n"
    text = changed(data, "forgotten: {ids_file: {path: x.csv}}\n")
    assert "'forgotten' names records of data.train, but 'data' is missing" in refusal(tmp_path, text)


def test_all_mistakes_are_told_at_once_from_top_to_bottom(tmp_path: Path) -> None:
    text = PLAIN.replace("version: 1", "version: 2").replace("[4]", "[0]").replace("classes", "classs")
    places = [part.partition(": ")[0] for part in refusal(tmp_path, text).split("; data.yaml")]
    assert [place.removeprefix("data.yaml") for place in places] == [":1:1", ":7:11", ":12:3"]


@pytest.mark.parametrize("text", ["", "just words", "- a\n- list\n"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "expected a mapping" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    "gate", ["forget.accuracy < ", "nowhere.accuracy <= 1", "forget.speed <= 1", "forget.mae <= 1"]
)
def test_gates_are_checked_when_the_manifest_is_read(tmp_path: Path, gate: str) -> None:
    assert gate.strip() in refusal(tmp_path, changed("test_forget.accuracy <= 0.02", gate))


def test_a_regression_has_no_classes(tmp_path: Path) -> None:
    assert "a regression has no classes" in refusal(tmp_path, changed("classification", "regression"))


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("{npz: x.npz}", "{npz: {path: x.npz}}"),
        ("{imagefolder: x}", "{imagefolder: {path: x}}"),
        ("{sklearn: digits}", "{sklearn: {name: digits, part: all}}"),
        ("{safetensors: x.safetensors}", "{safetensors: {path: x.safetensors, inputs: x, labels: y}}"),
    ],
)
def test_a_source_may_be_written_as_its_path_or_name_alone(tmp_path: Path, short: str, long: str) -> None:
    first, second = (read_manifest(write(tmp_path, changed("{npz: train.npz}", text))) for text in (short, long))
    assert first == second
    assert first.digest == second.digest


def test_relative_paths_start_at_the_folder_of_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", PLAIN)
    monkeypatch.chdir(tmp_path)
    assert read_manifest(Path("below/data.yaml")).folder == Path("below")


def test_the_digest_does_not_depend_on_comments_and_layout(tmp_path: Path) -> None:
    first = read_manifest(write(tmp_path, PLAIN)).digest
    text = PLAIN.replace("{hidden: [8]}", "\n    hidden:\n    - 8\n")
    text = text.replace("version: 1", "# what\nversion: 1   # first")
    assert read_manifest(write(tmp_path, text)).digest == first
    lines = text.splitlines()
    turned = "\n".join([*lines[2:], *lines[:2]])
    assert read_manifest(write(tmp_path, turned)).digest == first


def test_the_digest_does_not_depend_on_where_the_manifest_lies(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert read_manifest(write(tmp_path, PLAIN)).digest == read_manifest(write(tmp_path / "elsewhere", PLAIN)).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[4]", "[5]"), ("train.npz", "other.npz"), ("<= 0.02", "<= 0.03"), ("[8]", "[9]"),
        ("  shape: [4]", "  shape: [4]\n  scale: 2"),
    ],
)  # fmt: skip
def test_the_digest_changes_with_what_the_manifest_says(tmp_path: Path, old: str, new: str) -> None:
    assert read_manifest(write(tmp_path, PLAIN)).digest != read_manifest(write(tmp_path, changed(old, new))).digest


@pytest.mark.parametrize("other", ["[cat, 4]", "[cat, '3']"])
def test_the_digest_says_nothing_of_what_to_forget(tmp_path: Path, other: str) -> None:
    first, second = read_manifest(write(tmp_path, PLAIN)), read_manifest(write(tmp_path, changed("[cat, 3]", other)))
    assert first.digest == second.digest
    assert first.digest_with_forget != second.digest_with_forget


def published_schema() -> dict[str, Any]:
    return schema.run("manifest").document


def test_the_published_schema_is_a_valid_one() -> None:
    jsonschema.Draft202012Validator.check_schema(published_schema())


def test_every_sample_manifest_is_found() -> None:
    assert len(MANIFESTS) >= 6


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_every_sample_manifest_suits_the_published_schema(path: Path) -> None:
    document = strict_yaml.read(path).value
    jsonschema.Draft202012Validator(published_schema()).validate(document)
    assert isinstance(read_manifest(path), Manifest)


def test_the_published_schema_knows_short_forms() -> None:
    jsonschema.Draft202012Validator(published_schema()).validate(strict_yaml.parse(PLAIN, Path()).value)


def test_the_published_schema_refuses_an_unknown_key() -> None:
    document = {**strict_yaml.parse(PLAIN, Path()).value, "nonsense": 1}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(published_schema()).validate(document)


def test_prefix_and_rename_are_in_the_json_schema_and_not_in_digests_without_use(tmp_path: Path) -> None:
    text = changed("  architecture: mlp\n", "  architecture: mlp\n  prefix: model.\n  rename: {linear: head}\n")
    named = read_manifest(write(tmp_path, text))
    assert (named.model.prefix, named.model.rename) == ("model.", {"linear": "head"})
    jsonschema.Draft202012Validator(published_schema()).validate(strict_yaml.parse(text, Path()).value)
    plain = read_manifest(write(tmp_path, PLAIN))
    unused = read_manifest(write(tmp_path, changed("  architecture: mlp\n", "  architecture: mlp\n  prefix: ''\n")))
    assert plain.digest == unused.digest != named.digest


TABLE_KEYS = """\
version: 1
task: classification
model: {architecture: mlp}
input: {shape: [4]}
data:
  train:
    table:
      path: "${DATA}/t.data"
      label: [a, b]
      header: [a, b, 007, c]
      delimiter: ;
      encoding: utf-16
      skip_lines: 1
      label_names: {a: "1"}
      one_hot: {007: [x, 02], c: null}
      ordinal: [d]
      date_parts: {e: [year, weekday]}
      min_count: 3
  transform: [standardise: {}]
forget: {groups_file: {path: ~/p.txt, column: person}}
"""


def test_the_keys_of_tables_suit_the_published_schema(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator(published_schema()).validate(strict_yaml.parse(TABLE_KEYS, Path()).value)
    (tmp_path / "data.yaml").write_text(TABLE_KEYS, encoding="utf-8")
    described = read_manifest(tmp_path / "data.yaml")
    assert described.data is not None and described.data.train.table is not None
    table = described.data.train.table
    assert table.categories == {"007": ("one_hot", ("x", "02")), "c": ("one_hot", None), "d": ("ordinal", None)}
    assert table.header == ["a", "b", "007", "c"] and table.label_columns == ["a", "b"]
