"""The categories in a checkpoint's metadata: written by training, kept by unlearning, used by every later run."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.tiny import invoke, write_manifest
from unlearn_cli.data.dataset import open_dataset
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.recorded_categories import KEY, choose_recorded_categories, read_categories
from unlearn_cli.schema.manifest import read

MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp, arguments: {hidden: [4]}}
input: {shape: [6]}
data:
  train:
    table: &adult {path: small.data, label: pay, header: [age, work, hours, pay], one_hot: [work], missing: ["?"]}
    rows: {not_every: 5}
  test:
    table: {path: small.data, label: pay, header: [age, work, hours, pay], one_hot: [work], missing: ["?"]}
    rows: {every: 5}
  transform: [standardise: {}]
forget: {fraction: {share: 0.05}}
"""
WORK = ("Private", "State-gov", "?")


def write_data(folder: Path, names: tuple[str, ...] = WORK) -> Path:
    """Write a table like Adult: no header, blanks after commas, `?` for an empty cell."""
    random = np.random.default_rng(0)
    ages = [20 + k % 50 for k in range(120)]
    rows = [(age, names[random.integers(3)], 30 + 7 * age % 20, ">50K" if age > 40 else "<=50K") for age in ages]
    (folder / "small.data").write_text("".join(", ".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return write_manifest(folder, MANIFEST)


def recorded(folder: Path) -> str:
    with safe_open(folder / "model.safetensors", "numpy") as file:
        return file.metadata()[KEY]


def test_a_table_like_adult_goes_through_all_commands(tmp_path: Path) -> None:
    manifest, original, unlearned = write_data(tmp_path), tmp_path / "original", tmp_path / "unlearned"
    fast = ["--set", "epochs=8", "--set", "lr=0.05", "--quiet"]
    assert invoke("train", "-m", manifest, "-o", original, *fast).exit_code == 0
    assert recorded(original) == '{"work": ["", "Private", "State-gov"]}'
    flags = ["-m", manifest, "-o", unlearned, "--method", "finetune", "--force", *fast]
    assert invoke("unlearn", original, *flags).exit_code == 0
    write_data(tmp_path, ("Private", "Private", "Federal"))  # the data has changed since
    result = invoke("evaluate", unlearned, "-m", manifest, "--original", original, "-o", tmp_path / "evaluated")
    assert result.exit_code == 0, result.stderr
    assert "rare or unknown categories, encoded as one category: " in result.stderr
    assert recorded(unlearned) == recorded(original)
    result = invoke("train", "-m", manifest, "-o", tmp_path / "reference", "--like", original, "--split", "retain")
    assert result.exit_code == 0 and recorded(tmp_path / "reference") == recorded(original)


def save(path: Path, metadata: str) -> Path:
    save_file({"w": np.zeros(1, dtype=np.float32)}, path, {KEY: metadata} if metadata else {})
    return path


def test_checkpoints_of_one_run_must_agree(tmp_path: Path) -> None:
    first, same, other, none = (
        save(tmp_path / f"{name}.safetensors", text)
        for name, text in (("a", '{"c": ["x"]}'), ("b", '{"c": ["x"]}'), ("c", '{"c": ["y"]}'), ("d", ""))
    )
    assert choose_recorded_categories([none, first, same]) == {"c": ("x",)}
    assert choose_recorded_categories([none]) is None
    with pytest.raises(UserError, match=r"c\.safetensors: was trained with other categories of column 'c' than"):
        choose_recorded_categories([first, other])


@pytest.mark.parametrize("text", ["", "[", "[1]", '{"c": "x"}', '{"c": [1]}', "[" * 100_000])
def test_damaged_metadata_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"unlearn_cli\.categories of its metadata is damaged"):
        read_categories({KEY: text}, Path("m.safetensors"))


def test_the_data_alone_gives_the_same_categories(tmp_path: Path) -> None:
    manifest = write_data(tmp_path)
    assert open_dataset(read(manifest).data_sections).categories == {"work": ("", "Private", "State-gov")}
