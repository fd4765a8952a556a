"""deletion.yaml: what it accepts, and where it says that something is wrong, before anything is written."""

from pathlib import Path

import jsonschema
import pytest

from unlearn_cli.batch.settings import deletion
from unlearn_cli.errors import UserError
from unlearn_cli.schema import strict_yaml

PLAIN = """\
version: 1
manifest: data.yaml
initial: original/model.safetensors
methods: [bad_teacher, retrain]
settings:
  bad_teacher: {impair_steps: 75}
gates:
  - test.accuracy >= original - 0.03
attack: {tier: standard, references: [ref]}
deadline: {days: 28}
common: {device: cpu, batch_size: 64}
"""
MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp}
input: {shape: [2]}
data:
  train: {table: {path: train.csv, label: y, id: record}}
gates:
  - forget.accuracy <= 0.9
"""


def write(folder: Path, text: str = PLAIN, manifest: str = MANIFEST) -> Path:
    (folder / "data.yaml").write_text(manifest, encoding="utf-8")
    path = folder / "deletion.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, old: str, new: str) -> str:
    assert PLAIN.count(old) == 1
    before = write(folder, PLAIN.replace(old, new))
    with pytest.raises(UserError) as caught:
        deletion.read(before)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "")


def test_a_file_is_read_with_its_defaults_and_paths_start_from_its_folder(tmp_path: Path) -> None:
    found = deletion.read(write(tmp_path))
    assert (found.folder, found.path("ledger")) == (tmp_path, tmp_path / "ledger.sqlite")
    assert (found.key_file, found.lock_file) == (tmp_path / "ledger.key", tmp_path / "ledger.lock")
    assert found.path("initial") == tmp_path / "original" / "model.safetensors"
    assert [found.path(name) for name in deletion.FOLDERS] == [tmp_path / n for n in ("requests", "models", "runs")]
    assert found.settings == {"bad_teacher": {"impair_steps": 75}}
    assert (found.attack.tier, found.attack.inconclusive) == ("standard", "pass")
    assert (found.deadline.days, found.deadline.months, found.attempts, found.unknown_ids) == (28, None, 3, "set_aside")
    assert (found.retention.versions, found.retention.days, found.keep_ids) == (1, 30, False)
    assert (found.common.device, found.common.batch_size, found.common.seed) == ("cpu", 64, 0)


def test_a_month_is_the_deadline_when_none_is_said(tmp_path: Path) -> None:
    found = deletion.read(write(tmp_path, PLAIN.replace("deadline: {days: 28}\n", "")))
    assert (found.deadline.months, found.deadline.days) == (1, None)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version: 1\n", "", "deletion.yaml:1:1: version: is missing"),
        ("version: 1", "version: 2", "deletion.yaml:1:1: version: expected 1"),
        ("manifest: data.yaml\n", "", "deletion.yaml:1:1: manifest: is missing"),
        ("deadline", "dedline", "deletion.yaml:10:1: dedline: unknown key; did you mean 'deadline'?"),
        ("{days: 28}", "{day: 28}", "deletion.yaml:10:12: deadline.day: unknown key; did you mean 'days'?"),
        ("{days: 28}", "{days: 28, months: 1}", "deletion.yaml:10:1: deadline: expected either months or days"),
        ("{days: 28}", "{}", "deletion.yaml:10:1: deadline: expected either months or days"),
        ("{days: 28}", "{days: 0}", "deletion.yaml:10:12: deadline.days: expected greater than 0"),
        ("[bad_teacher, retrain]", "[]", "deletion.yaml:4:1: methods: List should have at least 1 item"),
        ("retrain]", "retrian]", "deletion.yaml:4:24: methods.1: unknown method; did you mean 'retrain'?"),
        ("retrain]", "bad_teacher]", "deletion.yaml:4:24: methods.1: a method is listed twice"),
        ("  bad_teacher:", "  unsir:", "deletion.yaml:6:3: settings.unsir: is not one of 'methods'"),
        ("impair_steps: 75", "impair_step: 75",
         "deletion.yaml:6:17: settings.bad_teacher.impair_step: bad_teacher has no such setting; did you mean"),
        ("impair_steps: 75", "impair_steps: many", "settings.bad_teacher.impair_steps: expected a valid integer"),
        ("standard", "thorough", "deletion.yaml:9:10: attack.tier: expected 'quick', 'standard' or 'audit'"),
        ("standard", "audit", "deletion.yaml:9:1: attack: the audit tier needs 'shadows'"),
        ("device: cpu", "allow_code: true", "deletion.yaml:11:10: common.allow_code: unknown key"),
        ("batch_size: 64", "batch_size: 1", "common.batch_size: expected greater than or equal to 2"),
        ("methods:", "ledger: ledger.key\nmethods:", "deletion.yaml:4:1: ledger: this suffix is for a file next to"),
        ("methods:", "requests: .\nmethods:", "deletion.yaml: 'models' is inside 'requests'"),
        ("methods:", "models: requests/models\nmethods:", "deletion.yaml: 'models' is inside 'requests'"),
        ("methods:", "models: runs\nmethods:", "deletion.yaml: 'runs' is inside 'models'"),
        ("methods:", "models: a/../runs/x\nmethods:", "deletion.yaml: 'models' is inside 'runs'"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert told in refusal(tmp_path, old, new)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.yaml", "deletion.yaml"]


def test_a_folder_above_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    text = f"requests: {tmp_path}\nmodels: /elsewhere/models\nruns: /elsewhere/runs\n{PLAIN}"
    with pytest.raises(UserError, match="'requests' is the folder of this file or above it"):
        deletion.read(write(tmp_path / "inner", text))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    told = refusal(tmp_path, "attack: {tier: standard, references: [ref]}\n", "attack: {teir: quick}\nattemps: 0\n")
    assert "attack.teir: unknown key" in told
    assert "attemps: unknown key" in told


@pytest.mark.parametrize("text", ["", "- a\n", "3\n"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="expected a mapping that begins with 'version: 1'"):
        deletion.read(write(tmp_path, text))


def test_the_manifest_comes_with_the_gates_of_both(tmp_path: Path) -> None:
    found = deletion.read_batch_manifest(deletion.read(write(tmp_path)))
    assert found.gates == ["forget.accuracy <= 0.9", "test.accuracy >= original - 0.03"]
    assert found.folder == tmp_path


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("gates:", "forget: {ids: [a]}\ngates:", "data.yaml: has a 'forget' section; remove it"),
        ("data:\n  train: {table: {path: train.csv, label: y, id: record}}\n", "", "data.yaml: has no 'data' section"),
        (", id: record", "", "data.yaml: data.train: its records have row numbers as ids"),
        ("{table: {path: train.csv, label: y, id: record}}", "{npz: train.npz}", "row numbers as ids"),
        ("{table: {path: train.csv, label: y, id: record}}", "{sklearn: digits}", "row numbers as ids"),
    ],
)
def test_a_manifest_that_is_none_for_a_batch_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert MANIFEST.count(old) == 1
    found = deletion.read(write(tmp_path, manifest=MANIFEST.replace(old, new)))
    with pytest.raises(UserError, match=told):
        deletion.read_batch_manifest(found)


@pytest.mark.parametrize(
    "source", ["{imagefolder: data}", "{webdataset: a.tar}", "{npz: {path: a.npz, ids: id}}",
               "{safetensors: {path: a.safetensors, ids: id}}"],
)  # fmt: skip
def test_sources_whose_ids_stay_are_accepted(tmp_path: Path, source: str) -> None:
    text = MANIFEST.replace("{table: {path: train.csv, label: y, id: record}}", source)
    found = deletion.read_batch_manifest(deletion.read(write(tmp_path, manifest=text)))
    assert found.data is not None
    assert deletion.has_stable_ids(found.data.train)


def test_a_gate_that_can_never_be_judged_is_refused(tmp_path: Path) -> None:
    found = deletion.read(write(tmp_path, PLAIN.replace("test.accuracy", "test.mae")))
    with pytest.raises(UserError, match="'mae' is not defined for classification"):
        deletion.read_batch_manifest(found)


@pytest.mark.parametrize("name", deletion.FOLDERS)
@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path, name: str, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"deletion.yaml: '{name}': .*/file is a file; name another folder"):
        deletion.read(write(tmp_path, f"{name}: {place}\n{PLAIN}"))


def test_the_schema_is_a_valid_one_and_fits(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(deletion.json_schema())
    validator = jsonschema.Draft202012Validator(deletion.json_schema())
    validator.validate(strict_yaml.read(write(tmp_path)).value)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**strict_yaml.read(tmp_path / "deletion.yaml").value, "nonsense": 1})
