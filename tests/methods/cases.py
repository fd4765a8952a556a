"""What every method is run on in tests: a class or random digits, a range or random rows of a regression."""

from pathlib import Path

import pytest

from tests.shared import make_once
from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.plugin import Plugin

REGRESSION = """\
version: 1
task: regression
model: {architecture: mlp, arguments: {hidden: [32, 32]}}
input:
  shape: [10]
  mean: [48.5, 1.47, 26.4, 94.6, 189.1, 115.4, 49.8, 4.07, 4.64, 91.3]
  std: [13.1, 0.5, 4.4, 13.8, 34.6, 30.4, 12.9, 1.29, 0.52, 11.5]
target: {mean: 152.1, std: 77.0}
data:
  train: {sklearn: {name: diabetes, part: train}, rows: {not_every: 5}}
  validation: {sklearn: {name: diabetes, part: train}, rows: {every: 5}}
  test: {sklearn: {name: diabetes, part: test}}
forget: {where: [{column: label, op: ">=", value: 250}]}
"""
RANDOM_REGRESSION = REGRESSION.replace(
    'where: [{column: label, op: ">=", value: 250}]', "fraction: {share: 0.2, seed: 0}"
)
RANDOM = MANIFEST.replace("classes: [3]", "fraction: {share: 0.2, seed: 0}")
FAST: dict[str, list[str]] = {
    "retrain": ["epochs=4", "lr=0.01"], "distil": ["epochs=4", "lr=0.01"], "finetune": ["epochs=1"],
    "gkt": ["cycles=80", "generator_width=8"],
    "emmn": ["noise_size=32", "impair_steps=100"], "fisher": ["max_records=500"],
}  # fmt: skip
SHORT: dict[str, list[str]] = {
    **FAST, "distil": ["epochs=1"], "unsir": ["impair_lr=0.01", "impair_steps=12", "repair_steps=12"],
    "gkt": ["cycles=6", "generator_width=4"],
    "emmn": ["noise_size=16", "noise_steps=10", "impair_steps=20"], "bad_teacher": ["impair_steps=10"],
    "amnesiac": ["impair_steps=10"], "neggrad": ["steps=20"],
    "masked": ["steps=10"], "rank_match": ["steps=20"],
    "blindspot": ["blindspot_epochs=2", "student_epochs=3"], "gaussian_amnesiac": ["impair_epochs=2"],
    "fisher": ["max_records=200"],
}  # fmt: skip
METHODS = list(discovery.entries("methods"))
OF_BOTH_TASKS = ["rank_match"]  # whose loss on forget differs by the task: they run on a regression, too
CASES = [*METHODS, *(f"{name}-regression" for name in OF_BOTH_TASKS)]


def train_regression(folder: Path) -> None:
    """Train a small regression network on scikit-learn's diabetes table into `original`."""
    manifest = write_manifest(folder, REGRESSION)
    assert invoke("train", "-m", manifest, "-o", folder / "original", "--set", "epochs=30").exit_code == 0


def read_case(case: str) -> tuple[Plugin, str]:
    """Return the method of a case and its task."""
    method, _, of_regression = case.partition("-")
    loaded = plugin.load("methods", method)
    return loaded, of_regression or loaded.tasks[0]


def choose_settings(settings: dict[str, list[str]], case: str) -> list[str]:
    return settings.get(read_case(case)[0].name, [])


def command(
    case: str, originals: dict[str, Path], folder: Path, settings: list[str], device: str = "cpu"
) -> list[object]:
    """Return the command line that unlearns with a method what it suits: a class of digits, or a range of a label."""
    method, task = read_case(case)
    whole, part = (REGRESSION, RANDOM_REGRESSION) if task == "regression" else (MANIFEST, RANDOM)
    manifest = write_manifest(folder, part if method.part_of_classes else whole)
    words = [word for setting in settings for word in ("--set", setting)]
    return ["unlearn", originals[task], "-m", manifest, "--method", method.name, "--device", device, *words]


def make_originals(original: Path, folders: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the original of each task; that of the regression is trained once per test run."""
    regression = make_once(folders, "regression", train_regression)
    return {"classification": original, "regression": regression / "original" / "model.safetensors"}
